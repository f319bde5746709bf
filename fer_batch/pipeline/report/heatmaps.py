"""The page of heatmaps: where evidence for every target lies on the standard face, and when (methods 11)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.partition.heatmap_difference import FOLDER
from fer_batch.pipeline.partition.heatmap_figures import (
    Heatmap,
    HeatmapFigures,
    figures_of,
    heatmaps_of,
    masks_of,
)
from fer_batch.pipeline.report.data import target_order
from fer_batch.pipeline.report.queries import literal
from fer_batch.prototypes.moments import MOMENTS
from fer_batch.report.comparison import Comparison, Section, comparison_files
from fer_batch.report.page import DataTable, Picture, Query, RunSummary
from fer_batch.storage.manifest import json_of
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.visualize.figure import save
from fer_batch.visualize.standard_sheets import Panel, heatmap_panel, sheet_figure

FILE = "heatmaps.html"
ACROSS = 5  # panels
TERMS = (
    ("Heatmap", "Mean over all frames in which the target is found, right or wrong, of what speaks for it: the "
     "positive part of each map over its largest value, warped to the standard face by the frame's landmarks."),
    ("Colours", "JET, from the lowest value of a map to its highest: colours compare places in a map, not one map with "
     "another. Dashed: where evidence is expected."),
    ("IoU, precision, recall, F1", "Of the pixels above the map's Otsu threshold with the regions of the target."),
    ("mu", "Share of the heatmap that lies in the regions; chance is the share of the picture that they cover."),
    ("Onset, apex, offset", "The first frame of an episode, that of highest probability, and the last: one map of each "
     "for every episode, however long it is. An episode is a run of three frames or more in which the target is found; "
     "where the recording begins or ends within it, its onset or offset is not seen."),
)  # fmt: skip


def heatmaps_page(store: Store, partition: Partition, summary: RunSummary) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the page and its pictures."""
    found = heatmaps_of(store, partition)
    found.sort(key=lambda one: target_order(one.target))
    whole = [one for one in found if not one.moment]
    masks = masks_of(found)
    figures = {one.target: figures_of(one, masks[one.target]) for one in whole if one.target in masks}
    sections = [_sheet(whole, masks, figures), *_moments(found, masks), *_differences(store, partition)]
    contents = Comparison(
        "heatmaps", "Where the evidence lies, on one face", _lead(figures), tuple(sections), TERMS,
        queries=(_query(partition),),
    )  # fmt: skip
    yield from comparison_files(summary, contents)


def _lead(figures: Mapping[str, HeatmapFigures]) -> str:
    known = [own for own in figures.values() if not math.isnan(own.mu)]
    if not known:
        return "No target has regions where its evidence is expected."
    above = sum(own.mu > own.chance for own in known)
    whose = "has more of its evidence in its regions" if above == 1 else "have more of their evidence in their regions"
    return f"{above} of {len(known)} {'target' if len(known) == 1 else 'targets'} {whose} than chance would put there."


def _sheet(
    whole: Sequence[Heatmap], masks: Mapping[str, NDArray[np.bool_]], figures: Mapping[str, HeatmapFigures]
) -> Section:
    pictures = []
    for start in range(0, len(whole), ACROSS):
        part = whole[start : start + ACROSS]
        panels = [_panel(one, masks) for one in part]
        names = [one.target for one in part]
        sheet = sheet_figure([panels], [""], names, colour_bar=start + ACROSS >= len(whole))
        pictures.append(Picture(save(sheet), f"Heatmaps of {', '.join(names)} on the standard face"))
    return Section("Every target", tables=(_table(whole, figures),), figures=tuple(pictures))


def _panel(one: Heatmap, masks: Mapping[str, NDArray[np.bool_]]) -> Panel:
    return heatmap_panel(one.values, f"n {one.n:,}", masks.get(one.target))


def _table(whole: Sequence[Heatmap], figures: Mapping[str, HeatmapFigures]) -> DataTable:
    rows: list[tuple[object, ...]] = []
    for one in whole:
        own = figures.get(one.target, (math.nan,) * len(HeatmapFigures._fields))
        rows.append((one.target, one.n, *(None if math.isnan(value) else value for value in own)))
    columns = ("Target", "Maps", "IoU", "Precision", "Recall", "F1", "mu", "Chance")
    return DataTable("Heatmaps and the regions of their targets", columns, tuple(rows), decimals=3)


def _moments(found: Sequence[Heatmap], masks: Mapping[str, NDArray[np.bool_]]) -> Iterator[Section]:
    by_target: dict[str, dict[str, Heatmap]] = {}
    for one in found:
        if one.moment:
            by_target.setdefault(one.target, {})[one.moment] = one
    if not by_target:
        return
    panels = [[_panel(own[m], masks) if m in own else None for m in MOMENTS] for own in by_target.values()]
    figure = save(sheet_figure(panels, list(by_target), list(MOMENTS), colour_bar=True))
    alt = f"Heatmaps of {', '.join(by_target)} at the onset, apex and offset of episodes"
    lead = "The same at three moments of every episode; n is the number of episodes."
    yield Section("Onset, apex, offset", lead, figures=(Picture(figure, alt),))


def _differences(store: Store, partition: Partition) -> Iterator[Section]:
    """What `fer-batch heatmaps OUT --compare A B` found of this partition."""
    for name in store.names(FOLDER):
        if not name.endswith(".json"):
            continue
        kept = json_of(store, f"{FOLDER}/{name}", ("partitions", "conditions", "lines"))
        picture = f"{FOLDER}/{name.removesuffix('.json')}.png"
        if list(partition.key.values()) in kept["partitions"] and store.exists(picture):
            a, b = kept["conditions"]
            figure = Picture(store.read_bytes(picture), f"Mean maps of {a} and of {b}, and their difference")
            notes = tuple(f"{line.strip()}." for line in kept["lines"])
            yield Section(f"Difference: {a} and {b}", figures=(figure,), notes=notes)


def _query(partition: Partition) -> Query:
    here = "\n  AND ".join(f"{name} = {literal(value)}" for name, value in partition.key.items())
    columns = '"group", moment, normalisation, n, height, width, scale, relevance'
    return Query(
        "Heatmaps on the standard face", f"SELECT {columns}\nFROM heatmaps\nWHERE face = 'standard'\n  AND {here}"
    )
