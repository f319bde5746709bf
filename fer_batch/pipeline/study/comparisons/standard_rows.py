"""Figures of standardised heatmaps as rows of table `evaluation` (methods E-6 to E-9)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.overlap import foreground, overlap
from fer_batch.evaluate.similarity import Dendrogram
from fer_batch.pipeline.partition.heatmap_scores import METRICS, ExpressionScores
from fer_batch.pipeline.study.comparison import Measured
from fer_batch.pipeline.study.comparisons.standard_page import VariantMaps
from fer_batch.pipeline.study.comparisons.standard_scores import shares_inside
from fer_batch.pipeline.study.standard_maps import Sums


def rows_of_variant(maps: VariantMaps) -> Iterator[Measured]:
    """Every figure of one explanation.

    Overlap and mu of H_jkc (with `fold`) and H_jc under the name of the network, of H_c under that of the study;
    correlations and dendrograms under that of the study, `group` saying of which networks.

    Parameters
    ----------
    maps
        Its heatmaps.
    """
    for network in maps.networks:
        several = [(fold, sums) for fold, sums in network.folds if fold is not None]
        for fold, sums in [(None, network.total), *several]:
            yield from _overlaps(maps, sums, network.name, fold)
    yield from _overlaps(maps, maps.over, "", None)
    if maps.scores is not None:
        for target, found in maps.scores.expressions.items():
            yield from _likeness(maps.variant, target, found, maps.scores.pretrained)


def _overlaps(maps: VariantMaps, sums: Sums, model: str, fold: int | None) -> Iterator[Measured]:
    known = [name for name in maps.masks if name in sums and sums[name].n]
    if not known:
        return
    seen = np.stack([foreground(sums[name].mean) for name in known])
    n = sum(sums[name].n for name in known)
    found = overlap(seen, np.stack([maps.masks[name] for name in known]))
    for metric in METRICS:
        values: NDArray[np.float64] = getattr(found, metric)
        for name, value in zip(known, values.tolist(), strict=True):
            share = float(maps.masks[name].mean())
            chance = share if metric == "precision" else None
            yield Measured(
                f"heatmap_{metric}", _plain(value), sums[name].n, maps.variant, model, chance, name, fold=fold
            )
        yield Measured(f"heatmap_{metric}", _mean(values), n, maps.variant, model, fold=fold)
    shares = shares_inside(sums, maps.masks, known)
    for name, value in zip(known, shares, strict=True):
        chance = float(maps.masks[name].mean())
        yield Measured("heatmap_mu", _plain(value), sums[name].n, maps.variant, model, chance, name, fold=fold)
    yield Measured("heatmap_mu", _mean(shares), n, maps.variant, model, fold=fold)


def _likeness(variant: str, target: str, found: ExpressionScores, pretrained: Collection[str]) -> Iterator[Measured]:
    names = found.compared
    forms = (("", found.correlations, found.centred_tree), ("_uncentred", found.uncentred, found.uncentred_tree))
    for suffix, matrix, tree in forms:
        for i in range(len(names)):
            for j in range(i + 1, len(names)):
                value, pair = _plain(matrix[i][j]), f"{names[i]}, {names[j]}"
                yield Measured(f"heatmap_correlation{suffix}", value, 2, variant, target=target, group=pair)
        for height, (one, other) in zip(tree.heights.tolist(), tree.merges, strict=True):
            merged = f"{_names(names, one)} | {_names(names, other)}"
            n = len(one) + len(other)
            yield Measured(f"dendrogram_height{suffix}", height, n, variant, target=target, group=merged)
        yield from _kinds(variant, target, names, tree, pretrained, suffix)


def _kinds(
    variant: str, target: str, names: Sequence[str], tree: Dendrogram, pretrained: Collection[str], suffix: str
) -> Iterator[Measured]:
    """Whether pretrained networks and those from scratch are apart (E-9), where there are two of each."""
    own = [place for place, name in enumerate(names) if name in pretrained]
    others = [place for place, name in enumerate(names) if name not in pretrained]
    if min(len(own), len(others)) < 2:
        return
    for kind, group in (("pretrained", own), ("scratch", others)):
        highest = _plain(tree.highest_within(group))
        yield Measured(f"dendrogram_highest{suffix}", highest, len(group), variant, target=target, group=kind)
    apart = float(tree.separates(own))
    yield Measured(f"dendrogram_two_kinds{suffix}", apart, len(names), variant, target=target)


def _names(names: Sequence[str], members: Sequence[int]) -> str:
    return " ".join(names[place] for place in members)


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    """Over the classes where it is defined."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
