"""What every network of a study looks at, on one standard face (Gaya-Morey et al. 2024; methods 11, 16.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.partition.heatmap_files import HeatmapFiles
from fer_batch.pipeline.partition.heatmap_scores import HeatmapScores, heatmap_scores
from fer_batch.pipeline.partition.standard_masks import mask_of
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.comparison import Compared
from fer_batch.pipeline.study.comparisons.options import check_options
from fer_batch.pipeline.study.comparisons.standard_example import example
from fer_batch.pipeline.study.comparisons.standard_page import NetworkFacts, VariantMaps, page
from fer_batch.pipeline.study.comparisons.standard_rows import rows_of_variant
from fer_batch.pipeline.study.computed import computed
from fer_batch.pipeline.study.heatmap_files import NetworkMaps, Written
from fer_batch.pipeline.study.standard_maps import Sums, pooled, read_sums, sums_task
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.types import InputError


def standard_heatmaps(work: StudyWork, *, scale: Literal["none", "max"] = "none") -> Compared:
    """Mean maps of every class on the standard face, against the masks of expressions and among networks.

    Parameters
    ----------
    work
        The study.
    scale
        `none`: maps are summed in their own unit, as LIME's weights are in the paper. `max`: every map over its largest
        value, so that images with large scores do not outweigh others; for relevance in logits.

    Raises
    ------
    InputError
        If the option is neither, or no map has landmarks.
    """
    check_options("standard_heatmaps", {"scale": scale})
    paths = _sums(work, scale)
    facts = facts_of(work)
    dataset = next((cell.job.name for cell in work.cells if cell.job), work.study.config.name)
    files = Written(work.store, work.study.config.name, dataset)
    written: list[str] = []
    found = []
    for variant in work.variants:
        cells = work.of_variant(variant)
        sums = {cell.key: read_sums(work.store, paths[cell.key]) for cell in cells}
        maps = _variant(variant, cells, sums, facts)
        written += files.tables(variant, cells[0].method, maps.networks, maps.over, scale)
        written += files.pictures(variant, maps.networks, maps.masks)
        found.append(maps)
    masks = {name: mask for one in found for name, mask in one.masks.items()}
    written += files.masks(masks)
    files.remove_others(written)
    rows = tuple(row for one in found for row in rows_of_variant(one))
    return Compared(page(found, tuple(facts.values()), masks, files.folder, example(work)), rows)


def _sums(work: StudyWork, scale: str) -> Mapping[str, str]:
    """Where the sums of every cell that is done are, by its key."""
    tasks = {cell.key: sums_task(work, cell, scale) for cell in work.done}
    results = computed(work, "heatmaps", list(tasks.values()))
    if not any(one["n"] for one in results):
        raise InputError("compare.standard_heatmaps needs landmarks of faces, and no image that was explained has any; "
                         "give faces.detector one that finds them, such as dlib")  # fmt: skip
    return {key: str(one["path"]) for key, one in zip(tasks, results, strict=True)}


def _variant(
    variant: str, cells: Sequence[Cell], by_cell: Mapping[str, Sums], facts: Mapping[str, NetworkFacts]
) -> VariantMaps:
    networks = []
    for name in dict.fromkeys(cell.network.name for cell in cells):
        folds = tuple((cell.network.fold, by_cell[cell.key]) for cell in cells if cell.network.name == name)
        networks.append(NetworkMaps(name, facts[name].title, folds, pooled([sums for _, sums in folds])))
    networks.sort(key=lambda one: one.title)
    over = pooled([one.total for one in networks])
    masks = {name: mask for name, own in sorted(over.items()) if own.n and (mask := mask_of(name)) is not None}
    scores = _scores(networks, masks, [one.title for one in facts.values() if one.pretrained])
    return VariantMaps(variant, tuple(networks), over, masks, scores)


def _scores(
    networks: Sequence[NetworkMaps], masks: Mapping[str, NDArray[np.bool_]], pretrained: Sequence[str]
) -> HeatmapScores | None:
    """Figures as `fer-batch heatmaps --evaluate` has them of the same maps; None where no class has a mask."""
    grey = {one.title: one.grey for one in networks}
    maps = {name: {title: own[name] for title, own in grey.items() if name in own} for name in masks}
    files = HeatmapFiles(maps, masks)
    return heatmap_scores(files, [one for one in pretrained if one in files.networks]) if maps else None


def facts_of(work: StudyWork) -> dict[str, NetworkFacts]:
    """What is known of every network, by its name.

    Parameters
    ----------
    work
        The study.
    """
    starts = {one.outcome.model: one.config.network.checkpoint for one in work.trainings}
    networks = {cell.network.title: cell.network for cell in work.done}
    names = list(dict.fromkeys(network.name for network in networks.values()))
    titles = short_titles(names)
    return {
        name: NetworkFacts(
            name=name,
            title=titles[name],
            start=starts.get(name) or "",
            trained=name in starts,
            accuracy=tuple(
                accuracy(one.logits, one.labels) if one.model.head == "softmax" else float("nan")
                for one in networks.values()
                if one.name == name
            ),
        )
        for name in names
    }


def short_titles(names: Sequence[str]) -> dict[str, str]:
    """Names of networks without the digest of their training, where that still tells them apart."""
    short = [name.rpartition("-")[0] or name for name in names]
    return {name: one if short.count(one) == 1 else name for name, one in zip(names, short, strict=True)}


def accuracy(logits: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    """Share of the samples with a truth whose class is found; NaN where none has one.

    Parameters
    ----------
    logits : shape (n, A)
    labels : shape (n, A)
        1 at the class of a sample, else 0; NaN where it is not known.
    """
    known = ~np.isnan(labels).any(axis=1) & (np.nan_to_num(labels) == 1).any(axis=1)
    if not known.any():
        return float("nan")
    return float((logits[known].argmax(1) == labels[known].argmax(1)).mean())
