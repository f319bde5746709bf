"""Heatmaps of a partition on the standard face, and their figures: rows of table `evaluation` and of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.evaluate.localisation import relevance_mass
from fer_batch.evaluate.overlap import foreground, overlap
from fer_batch.evaluate.similarity import correlations
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.partition.standard_masks import mask_of
from fer_batch.prototypes.moments import MOMENTS
from fer_batch.storage.parquet import Partition, unpack_maps
from fer_batch.storage.store import Store

_WHERE = (pc.field("face") == "standard") & (pc.field("normalisation") == "max") & pc.field("fold").is_null()
Row = dict[str, str | float | int | None]


@dataclass(frozen=True)
class Heatmap:
    """One row of table `heatmaps` on the standard face, of maps over their largest values.

    Attributes
    ----------
    target
    moment
        `onset`, `apex` or `offset` of episodes; empty for all frames in which the target is found.
    n
        Maps.
    values : shape (275, 224), float32
    """

    target: str
    moment: str
    n: int
    values: NDArray[np.float32]


class HeatmapFigures(NamedTuple):
    """Of one heatmap with the mask of its target; NaN where undefined.

    `iou`, `precision`, `recall` and `f1` are those of the pixels above the Otsu threshold, `mu` is the share of the
    heatmap that lies in the mask, and `chance` the share of the picture that the mask covers (methods E-2, E-6, E-7).
    """

    iou: float
    precision: float
    recall: float
    f1: float
    mu: float
    chance: float


def has_heatmaps(store: Store, partition: Partition) -> bool:
    """Whether any map of the partition is on the standard face."""
    return PartitionReader(store, partition).table("heatmaps", ["n"], _WHERE).num_rows > 0


def heatmaps_of(store: Store, partition: Partition) -> list[Heatmap]:
    """All heatmaps of a partition, by target and moment."""
    columns = ["group", "moment", "n", "height", "width", "scale", "relevance"]
    rows = PartitionReader(store, partition).table("heatmaps", columns, _WHERE)
    names = zip(*(rows[name].to_pylist() for name in columns[:3]), strict=True)
    found = [
        Heatmap(target, moment or "", n, values)
        for (target, moment, n), values in zip(names, unpack_maps(rows), strict=True)
    ]
    order = ("", *MOMENTS)
    return sorted(found, key=lambda one: (one.target, order.index(one.moment)))


def masks_of(heatmaps: Sequence[Heatmap]) -> dict[str, NDArray[np.bool_]]:
    """The mask of every target that has one, by target, shape (275, 224)."""
    targets = {one.target for one in heatmaps}
    return {target: mask for target in sorted(targets) if (mask := mask_of(target)) is not None}


def figures_of(heatmap: Heatmap, mask: NDArray[np.bool_]) -> HeatmapFigures:
    """How a heatmap agrees with a mask of its size."""
    own = overlap(foreground(heatmap.values)[None], mask[None])
    iou, precision, recall, f1 = (float(values[0]) for values in (own.iou, own.precision, own.recall, own.f1))
    mu = float(relevance_mass(heatmap.values[None], mask[None])[0])
    return HeatmapFigures(iou, precision, recall, f1, mu, float(mask.mean()))


def heatmap_rows(store: Store, partition: Partition) -> Iterator[Row]:
    """Rows of table `evaluation`: the figures of every heatmap, their means over targets, and correlations.

    Those of a moment have its name in `group`; a correlation the names of the two targets that it is of. Where two
    targets have correlated heatmaps, the network looks at one place for both.

    Parameters
    ----------
    store, partition
        Where table `heatmaps` is published.
    """
    found = heatmaps_of(store, partition)
    masks = masks_of(found)
    for moment in ("", *MOMENTS):
        own = [one for one in found if one.moment == moment]
        yield from _overlaps([one for one in own if one.target in masks], masks, moment or None)
    yield from _correlations([one for one in found if not one.moment])


def _overlaps(found: Sequence[Heatmap], masks: Mapping[str, NDArray[np.bool_]], group: str | None) -> Iterator[Row]:
    if not found:
        return
    figures = [figures_of(one, masks[one.target]) for one in found]
    for metric in HeatmapFigures._fields[:-1]:
        values = [float(getattr(one, metric)) for one in figures]
        for one, value, own in zip(found, values, figures, strict=True):
            chance = own.chance if metric in ("precision", "mu") else None
            yield _row(f"heatmap_{metric}", value, one.n, target=one.target, group=group, baseline=chance)
        known = [value for value in values if not math.isnan(value)]
        mean = sum(known) / len(known) if known else math.nan
        yield _row(f"heatmap_{metric}", mean, sum(one.n for one in found), group=group)


def _correlations(found: Sequence[Heatmap]) -> Iterator[Row]:
    if len(found) < 2:
        return
    maps = np.stack([one.values for one in found])
    for suffix, matrix in (("", correlations(maps)), ("_uncentred", correlations(maps, centred=False))):
        for i, j in combinations(range(len(found)), 2):
            pair = f"{found[i].target}, {found[j].target}"
            yield _row(f"heatmap_correlation{suffix}", float(matrix[i, j]), 2, group=pair)


def _row(
    metric: str,
    value: float,
    n: int,
    target: str | None = None,
    group: str | None = None,
    baseline: float | None = None,
) -> Row:
    known = None if math.isnan(value) else value
    return {"target": target, "metric": metric, "value": known, "n": n, "baseline": baseline, "group": group}
