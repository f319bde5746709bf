"""Sheets of mean attention and mean class maps by class, and of single images (SA-k; methods 14, SA 4, 6 to 9)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.localisation import resized
from fer_batch.pipeline.study.comparisons.cue_pairs import Family, layers_of
from fer_batch.pipeline.study.cue_figures import Column, FoldCues, NetworkCues
from fer_batch.pipeline.study.cue_measures import FACE, UNITS
from fer_batch.report.page import Picture
from fer_batch.visualize.figure import save
from fer_batch.visualize.heatmap import jet
from fer_batch.visualize.standard_sheets import Panel, sheet_figure

_LEAST = 112  # px of a panel's side
_NOTE = ("Every map from its lowest value (blue) to its highest (red): colours compare places in a map, not one map "
         "with another.")  # fmt: skip


def mean_sheet(network: NetworkCues) -> Picture:
    """Mean maps of every class over all test images of a network: Action Units, layers, explanations.

    Parameters
    ----------
    network
        With its sums.
    """
    rows: list[Column | str] = [FACE, UNITS, *network.columns]
    panels = [[_mean_panel(network, row, name) for name in network.classes] for row in rows]
    titles = ["mean face", "Action Units", *map(_title, network.columns)]
    counts = (network.sums.get((UNITS, name)) for name in network.classes)
    columns = [f"{name} ({own.n if own else 0})" for name, own in zip(network.classes, counts, strict=True)]
    figure = sheet_figure(panels, titles, columns, f"Mean maps, {network.title}", _NOTE)
    return Picture(save(figure), f"Mean attention and mean class maps of {network.title}: {', '.join(columns)}")


def pair_sheet(family: Family) -> Picture | None:
    """Mean attention of the last layer and mean class maps, without and with maps of Action Units, row under row.

    Parameters
    ----------
    family
        Networks that differ in their alignment; None without a pair among them.
    """
    if family.without is None or not family.chosen:
        return None
    none, one = family.without, family.chosen[0]
    classes = one.cues.classes
    rows = [("Action Units", [_mean_panel(one.cues, UNITS, name) for name in classes])]
    for column in (*one.cues.layers[-1:], *one.cues.explanations):
        for cues, said in ((none.cues, "without"), (one.cues, f"with, {layers_of(one)}, lambda {one.weight:g}")):
            rows.append((f"{_title(column)}: {said}", [_mean_panel(cues, column, name) for name in classes]))
    title = f"Without and with maps of Action Units{f': {family.title}' if family.title else ''}"
    figure = sheet_figure([panels for _, panels in rows], [name for name, _ in rows], classes, title, _NOTE)
    return Picture(save(figure), f"{title}: mean maps of {', '.join(classes)}")


def example_sheet(network: NetworkCues) -> Picture | None:
    """The first image of every class with its map of Action Units, attention of the last layer, and class maps.

    A class whose own units lie outside every crop has attention and no class maps, and is left out.

    Parameters
    ----------
    network
        Its best fold is shown; None where no class has every map there.
    """
    fold = next((one for one in network.folds if one.network.best), network.folds[0])
    rows: list[Column | str] = [UNITS, *network.layers[-1:], *network.explanations]
    classes = [name for name in network.classes if all((row, name) in fold.sums for row in rows)]
    if not classes:
        return None
    panels = [[_panel(_image(fold, name)) for name in classes]]
    panels += [[_map_panel(fold.sums[row, name].first, _side(fold)) for name in classes] for row in rows]
    titles = ["image", "Action Units", *(_title(row) for row in rows[1:] if isinstance(row, Column))]
    figure = sheet_figure(panels, titles, classes, f"One image of each class, {network.title}", _NOTE)
    return Picture(save(figure), f"One image of each class under {network.title}: {', '.join(classes)}")


def _title(column: Column) -> str:
    return f"attention {column.name}" if column.metric == "att_cos" else column.name


def _side(fold: FoldCues) -> int:
    """Side of a panel: a multiple of the network's images."""
    size = fold.samples.images.size
    return size * max(1, math.ceil(_LEAST / size))


def _mean_panel(network: NetworkCues, row: Column | str, name: str) -> Panel | None:
    own = network.sums.get((row, name))
    if own is None:
        return None
    side = _side(network.folds[0])
    return _panel(_grey(own.mean, side)) if row == FACE else _map_panel(own.mean, side)


def _map_panel(values: NDArray[np.float64], side: int) -> Panel:
    return _panel(jet(resized(values[None], (side, side))[0]))


def _panel(image: NDArray[np.uint8]) -> Panel:
    return Panel(image, lines=False)


def _grey(values: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    levels = np.clip(np.round(resized(values[None], (side, side))[0] * 255), 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def _image(fold: FoldCues, name: str) -> NDArray[np.uint8]:
    """The image of an example at the size of a panel."""
    crop, side = fold.example(name), _side(fold)
    if crop.shape[0] > side:
        step = math.ceil(crop.shape[0] / side)
        crop = crop[::step, ::step]
    channels = resized(np.moveaxis(crop, -1, 0).astype(np.float64), (side, side))
    return np.moveaxis(np.clip(np.round(channels), 0, 255), 0, -1).astype(np.uint8)
