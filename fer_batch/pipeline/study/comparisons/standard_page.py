"""The page of standardised heatmaps: masks, sheets, overlaps, dendrograms and accuracy (methods 14, SH 4 to 10)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.overlap import foreground, overlap
from fer_batch.evaluate.published_heatmaps import GAYA_MOREY, printed_name
from fer_batch.pipeline.partition.heatmap_scores import HeatmapScores
from fer_batch.pipeline.study.comparisons.standard_scores import likeness_section, overlap_section
from fer_batch.pipeline.study.heatmap_files import NetworkMaps
from fer_batch.pipeline.study.standard_maps import Sums
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.page import DataTable, Picture
from fer_batch.visualize.figure import save
from fer_batch.visualize.fold_bars import fold_bars_figure
from fer_batch.visualize.standard_sheets import Panel, heatmap_panel, mask_panel, sheet_figure

_PRETRAINED, _SCRATCH, _OTHER = "Pretrained networks", "Networks from scratch", "Networks"
_EXAMPLE = "One of the images: each triangle of the mesh goes to its place on the standard face, and the map with it."
TERMS = (
    ("Heatmap", "Mean, over all images that a network predicts as the class, right or wrong, of what speaks for it "
     "(the positive part of each map), every map warped to the standard face by the landmarks of its image. Images "
     "count once: means over folds and networks are of all their images together."),
    ("Colours", "JET, from the lowest value of a map to its highest: colours compare places in a map, not one map with "
     "another. Dashed: the mask. Thin lines: the standard face."),
    ("IoU", "Of the pixels above the map's Otsu threshold with the mask of the expression. It says whether evidence is "
     "where Action Units show, not whether answers are right."),
    ("Dendrogram", "Average linkage of 1 - correlation, the maps' means subtracted: networks that merge early look at "
     "the same places."),
)  # fmt: skip


@dataclass(frozen=True)
class NetworkFacts:
    """What the page says of a network.

    Attributes
    ----------
    name, title
        Its partition, and what pages call it.
    start
        The file that its training started from; empty where it started from nothing.
    trained
        Whether the study trained it: of a network that was given the start is not known.
    accuracy
        Of each fold on its test people; NaN where it is not known.
    """

    name: str
    title: str
    start: str
    trained: bool
    accuracy: tuple[float, ...]

    @property
    def pretrained(self) -> bool:
        """Whether its training started from a file."""
        return bool(self.start)

    @property
    def kind(self) -> str:
        """Headline of the sheet that shows it."""
        return _OTHER if not self.trained else _PRETRAINED if self.start else _SCRATCH


@dataclass(frozen=True)
class VariantMaps:
    """Heatmaps of all networks under one explanation.

    Attributes
    ----------
    variant
        The explanation.
    networks
        By title.
    over
        Sums over all networks by class: H_c.
    masks
        Of the classes that have one, shape (275, 224), bool.
    scores
        Of the networks' maps with the masks and among each other; None where no class has a mask.
    """

    variant: str
    networks: tuple[NetworkMaps, ...]
    over: Sums
    masks: Mapping[str, NDArray[np.bool_]]
    scores: HeatmapScores | None

    @property
    def classes(self) -> list[str]:
        """Classes that have a heatmap."""
        return sorted(name for name, own in self.over.items() if own.n)


def page(
    variants: Sequence[VariantMaps],
    networks: Sequence[NetworkFacts],
    masks: Mapping[str, NDArray[np.bool_]],
    folder: str,
    example: Picture | None = None,
) -> Comparison:
    """The page.

    Parameters
    ----------
    variants
        Every explanation.
    networks
        Every network.
    masks
        By class.
    folder
        Of the maps as PNG files, relative to the output.
    example
        One image on its way to the standard face.
    """
    sections = [_networks(networks, variants)]
    if example is not None:
        sections.append(Section("From an image to the standard face", _EXAMPLE, figures=(example,)))
    if masks:
        sections.append(_masks(masks))
    for maps in variants:
        suffix = f": {maps.variant}" if len(variants) > 1 else ""
        sections += [_over(maps, suffix), *_sheets(maps, networks, suffix)]
        if maps.scores is not None:
            sections.append(overlap_section(maps.scores, maps.networks, maps.masks, suffix))
            sections.append(likeness_section(maps.scores, suffix))
    sections.append(_files(folder, variants))
    return Comparison("standard_heatmaps", "What every network looks at, on one face", _lead(variants),
                      tuple(sections), TERMS)  # fmt: skip


def _lead(variants: Sequence[VariantMaps]) -> str:
    found = []
    for maps in variants:
        means = _mean_ious(maps)
        if means:
            best, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
            said = f"mean IoU with the masks {_two(_mean(list(means.values())))}"
            span = f", from {_two(means[least])} ({least}) to {_two(means[best])} ({best})" if len(means) > 1 else ""
            found.append(f"{maps.variant}: {said}{span}")
    return f"{'; '.join(found)}." if found else "No class has a mask, so maps are drawn and not scored."


def _mean_ious(maps: VariantMaps) -> dict[str, float]:
    """Mean IoU over classes of every network that has one."""
    found: dict[str, list[float]] = {}
    for one in maps.scores.expressions.values() if maps.scores else ():
        for name, value in zip(one.networks[:-1], one.overlap.iou.tolist(), strict=False):
            found.setdefault(name, []).append(value)
    return {name: float(np.nanmean(values)) for name, values in found.items() if not np.isnan(values).all()}


def _two(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def _networks(networks: Sequence[NetworkFacts], variants: Sequence[VariantMaps]) -> Section:
    counted = {one.name: [0, 0] for one in networks}
    for maps in variants:
        for network in maps.networks:
            for own in network.total.values():
                counted[network.name][0] += own.n
                counted[network.name][1] += own.n_undefined
    rows = tuple(
        (one.title, _start(one), len(one.accuracy), _rounded(_mean(one.accuracy)), *counted[one.name])
        for one in networks
    )
    columns = ("Network", "Started from", "Folds", "Accuracy", "Maps", "Left out")
    caption = (
        "Accuracy: mean over folds, on the people whom the network of the fold never saw. Left out: images without "
    )
    table = DataTable("The networks", columns, rows, f"{caption}landmarks, and maps that are undefined.", decimals=3)
    marked = {one.title for one in networks if one.pretrained}
    figures: tuple[Picture, ...] = ()
    if any(math.isfinite(value) for one in networks for value in one.accuracy):
        bars = fold_bars_figure([one.title for one in networks], [one.accuracy for one in networks],
                                "accuracy on the test people of each fold", marked,
                                "brown: pretrained" if marked else "")  # fmt: skip
        figures = (Picture(save(bars), f"Accuracy of {len(networks)} networks, mean and folds"),)
    tables = (table, *_folds(networks))
    return Section("Networks", tables=tables, figures=figures, notes=_published_accuracy(networks))


def _folds(networks: Sequence[NetworkFacts]) -> Iterator[DataTable]:
    """Accuracy of every fold of every network, where one has several folds (row SH-d of methods 16.5)."""
    most = max((len(one.accuracy) for one in networks), default=0)
    if most < 2 or not any(math.isfinite(value) for one in networks for value in one.accuracy):
        return
    rows = tuple(
        (one.title, *map(_rounded, one.accuracy), *[None] * (most - len(one.accuracy)), _rounded(_mean(one.accuracy)))
        for one in networks
    )
    columns = ("Network", *(f"Fold {number}" for number in range(most)), "Mean")
    yield DataTable("Accuracy of every fold", columns, rows, "Of the folds that are done, in their order.", decimals=3)


def _published_accuracy(networks: Sequence[NetworkFacts]) -> tuple[str, ...]:
    if not any(one.trained and printed_name(one.title) for one in networks):
        return ()
    return (f"Published: 80 to 84 % for all of the twelve networks but ResNet50, 74 % ({GAYA_MOREY}).",)


def _start(network: NetworkFacts) -> str:
    if not network.trained:
        return "not known: it was given"
    return network.start.rstrip("/").rpartition("/")[2] if network.start else "nothing (from scratch)"


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else value


def _masks(masks: Mapping[str, NDArray[np.bool_]]) -> Section:
    panels = [mask_panel(mask, f"{mask.mean():.3f} of the picture") for mask in masks.values()]
    figure = sheet_figure([panels], [""], list(masks))
    alt = f"Masks of {', '.join(masks)} on the standard face"
    lead = "Where the Action Units of each class show on the standard face."
    return Section("Masks", lead, figures=(Picture(save(figure), alt),))


def _panel(maps: VariantMaps, sums: Sums, name: str) -> Panel | None:
    own = sums.get(name)
    if own is None or not own.n:
        return None
    mask = maps.masks.get(name)
    if mask is None:
        return heatmap_panel(own.mean, f"n {own.n:,}")
    iou = overlap(foreground(own.mean)[None], mask[None]).iou[0]
    return heatmap_panel(own.mean, f"IoU {'–' if math.isnan(iou) else _two(iou)}, n {own.n:,}", mask)


def _over(maps: VariantMaps, suffix: str) -> Section:
    names = maps.classes
    figure = sheet_figure([[_panel(maps, maps.over, name) for name in names]], [""], names, colour_bar=True)
    alt = f"Heatmaps of {', '.join(names)} over all networks, {maps.variant}"
    lead = f"All networks and folds together, {len(maps.networks)} networks; n is the number of images."
    return Section(f"Every class{suffix}", lead, figures=(Picture(save(figure), alt),))


def _sheets(maps: VariantMaps, networks: Sequence[NetworkFacts], suffix: str) -> list[Section]:
    """A sheet of every kind of network: from scratch, pretrained, or given."""
    kinds = {one.name: one.kind for one in networks}
    found = []
    for kind in (_SCRATCH, _PRETRAINED, _OTHER):
        own = [one for one in maps.networks if kinds[one.name] == kind]
        if own:
            panels = [[_panel(maps, one.total, name) for name in maps.classes] for one in own]
            figure = sheet_figure(panels, [one.title for one in own], maps.classes, colour_bar=True)
            alt = f"Heatmaps of {len(own)} networks by class, {maps.variant}"
            found.append(Section(f"{kind}{suffix}", figures=(Picture(save(figure), alt),)))
    return found


def _files(folder: str, variants: Sequence[VariantMaps]) -> Section:
    lead = (
        f"All heatmaps are PNG files in {folder}/EXPLANATION/grey/CLASS/NETWORK.png, and in jet/ in colour; their "
        "values are in table heatmaps (face = 'standard')."
    )
    return Section("Files", lead) if variants else Section("Files")
