"""Heatmaps of several networks against masks and among each other (methods 13.7, E-6 to E-9)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from fer_batch.evaluate.overlap import Overlap, foreground, overlap
from fer_batch.evaluate.published_heatmaps import GAYA_MOREY, MEAN_IOU, printed_name, published_iou
from fer_batch.evaluate.similarity import Dendrogram, correlations, dendrogram, pooled_mean
from fer_batch.evaluate.tables import Table, share
from fer_batch.output.text import aligned
from fer_batch.pipeline.partition.heatmap_files import HeatmapFiles
from fer_batch.registry import nearest
from fer_batch.types import InputError

METRICS = {"iou": "IoU", "precision": "precision", "recall": "recall", "f1": "F1"}
MEAN_MAP = "mean of the maps"


@dataclass(frozen=True)
class ExpressionScores:
    """Figures of one expression.

    Attributes
    ----------
    networks
        By name; `MEAN_MAP` stands behind the last of them.
    overlap
        Of the thresholded maps with the mask, one row a network, then that of their pooled mean.
    compared
        Networks whose maps correlate with others; constant maps do not.
    correlations, uncentred
        Between those, by rows; centred as the published dendrograms are, and as the printed formula has it.
    centred_tree, uncentred_tree
        Average linkage of the same.
    """

    networks: tuple[str, ...]
    overlap: Overlap
    compared: tuple[str, ...]
    correlations: list[list[float]]
    uncentred: list[list[float]]
    centred_tree: Dendrogram
    uncentred_tree: Dendrogram


@dataclass(frozen=True)
class HeatmapScores:
    """Figures of a folder of heatmaps.

    Attributes
    ----------
    expressions
        By name.
    pretrained
        Networks that were pretrained; empty where that is not known.
    left_out
        Files of no expression with a mask.
    """

    expressions: dict[str, ExpressionScores]
    pretrained: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def heatmap_scores(files: HeatmapFiles, pretrained: Sequence[str] = ()) -> HeatmapScores:
    """Overlap of every map with the mask of its expression, and how alike the maps of an expression are.

    Raises
    ------
    InputError
        If a pretrained network has no map.
    """
    for name in pretrained:
        if name not in files.networks:
            raise InputError(f"no map is of a network {name!r}; {nearest(name, files.networks)}")
    scores = {name: _scores(files, name) for name in files.maps}
    return HeatmapScores(scores, tuple(pretrained), files.left_out)


def _scores(files: HeatmapFiles, expression: str) -> ExpressionScores:
    of_network = files.maps[expression]
    maps = np.stack(list(of_network.values()))
    pooled = pooled_mean([maps])
    found = np.stack([*(foreground(one) for one in maps), foreground(pooled)])
    mask = np.broadcast_to(files.masks[expression], found.shape)
    known = np.flatnonzero(np.ptp(maps.reshape(len(maps), -1), axis=1) > 0)
    compared = maps[known]
    names = list(of_network)
    return ExpressionScores(
        networks=(*names, MEAN_MAP),
        overlap=overlap(found, mask),
        compared=tuple(names[i] for i in known),
        correlations=correlations(compared).tolist(),
        uncentred=correlations(compared, centred=False).tolist(),
        centred_tree=dendrogram(compared),
        uncentred_tree=dendrogram(compared, centred=False),
    )


def heatmap_tables(scores: HeatmapScores) -> list[Table]:
    """Overlaps with networks down and expressions across, then the dendrograms."""
    tables = [_overlap_table(scores, metric) for metric in METRICS]
    several = {name: found for name, found in scores.expressions.items() if len(found.compared) > 1}
    tables += [_merge_table(expression, found) for expression, found in several.items()]
    return [*tables, _height_table(scores)]


def heatmap_text(scores: HeatmapScores) -> str:
    """All tables, for a terminal."""
    parts = []
    for table in heatmap_tables(scores):
        parts.append("\n".join([table.title, *aligned([table.columns, *table.rows])]))
        parts[-1] += f"\n({table.caption})" if table.caption else ""
    if scores.left_out:
        files = f"{len(scores.left_out)} file{'s' if len(scores.left_out) > 1 else ''}"
        parts.append(f"left out, as no mask is of the expression: {files}, such as {scores.left_out[0]}")
    return "\n\n".join(parts)


def heatmap_json(scores: HeatmapScores) -> dict[str, object]:
    """All figures as plain values; None where undefined."""
    return {
        "pretrained": list(scores.pretrained),
        "left_out": list(scores.left_out),
        "expressions": {name: _expression_json(found) for name, found in scores.expressions.items()},
        "tables": [asdict(table) for table in heatmap_tables(scores)],
    }


def _expression_json(found: ExpressionScores) -> dict[str, object]:
    trees = {"centred": found.centred_tree, "uncentred": found.uncentred_tree}
    return {
        "overlap": {
            network: {metric: _plain(getattr(found.overlap, metric)[row]) for metric in METRICS}
            for row, network in enumerate(found.networks)
        },
        "compared": list(found.compared),
        "correlations": {"centred": found.correlations, "uncentred": found.uncentred},
        "merges": {
            form: [
                {"height": float(height), "clusters": [[found.compared[i] for i in side] for side in sides]}
                for height, sides in zip(tree.heights, tree.merges, strict=True)
            ]
            for form, tree in trees.items()
        },
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _overlap_table(scores: HeatmapScores, metric: str) -> Table:
    expressions = list(scores.expressions)
    figures: dict[str, dict[str, float]] = {}
    for expression, found in scores.expressions.items():
        for network, value in zip(found.networks, getattr(found.overlap, metric).tolist(), strict=True):
            figures.setdefault(network, {})[expression] = value
    pooled = figures.pop(MEAN_MAP)
    rows, any_printed = [], False
    for network in sorted(figures):
        rows.append(_row(network, figures[network], expressions))
        printed = published_iou(network) if metric == "iou" else None
        if printed and set(expressions) & printed.keys():
            row = _row("  published", dict(printed), expressions)
            if set(expressions) == printed.keys():
                row = (*row[:-1], _four(MEAN_IOU[str(printed_name(network))]))
            rows.append(row)
            any_printed = True
    columns = {e: _mean([figures[network].get(e, math.nan) for network in figures]) for e in expressions}
    overall = [_mean(list(of_network.values())) for of_network in figures.values()]
    rows.append(("mean", *(_four(columns[e]) for e in expressions), _four(_mean(overall))))
    rows.append(_row(MEAN_MAP, pooled, expressions))
    caption = "maps above their Otsu threshold against the mask of the expression"
    caption += f"; published: {GAYA_MOREY}, Table 3" if any_printed else ""
    return Table(METRICS[metric], ("", *expressions, "mean"), tuple(rows), caption)


def _row(name: str, figures: dict[str, float], expressions: Sequence[str]) -> tuple[str, ...]:
    values = [figures.get(expression, math.nan) for expression in expressions]
    return (name, *map(_four, values), _four(_mean(values)))


def _mean(values: Collection[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _four(value: float) -> str:
    """`.2565`: the papers' tables have four digits."""
    return "-" if math.isnan(value) else f"{value:.4f}".removeprefix("0")


def _merge_table(expression: str, found: ExpressionScores) -> Table:
    tree = found.centred_tree
    rows = tuple(
        (" | ".join(" ".join(found.compared[i] for i in side) for side in sides), share(height))
        for height, sides in zip(tree.heights.tolist(), tree.merges, strict=True)
    )
    constant = [name for name in found.networks[:-1] if name not in found.compared]
    caption = f"constant, so without a correlation: {', '.join(constant)}" if constant else ""
    return Table(f"dendrogram of {expression}: average linkage of 1 - correlation", ("merged", "height"), rows, caption)


def _height_table(scores: HeatmapScores) -> Table:
    columns = ["", "highest merge", "uncentred"]
    if scores.pretrained:
        columns += ["within pretrained", "uncentred", "within the others", "uncentred", "apart in two clusters"]
    rows = []
    for expression, found in scores.expressions.items():
        cells = [expression, *(share(_highest(tree)) for tree in (found.centred_tree, found.uncentred_tree))]
        if scores.pretrained:
            cells += _groups(found, scores.pretrained)
        rows.append(tuple(cells))
    caption = "of each dendrogram; correlations with the maps' means subtracted, then as the printed formula has it"
    return Table("heights of the dendrograms", tuple(columns), tuple(rows), caption)


def _highest(tree: Dendrogram) -> float:
    return float(tree.heights[-1]) if len(tree.heights) else math.nan


def _groups(found: ExpressionScores, pretrained: Collection[str]) -> list[str]:
    own = [i for i, name in enumerate(found.compared) if name in pretrained]
    others = [i for i, name in enumerate(found.compared) if name not in pretrained]
    trees = (found.centred_tree, found.uncentred_tree)
    heights = [share(tree.highest_within(group)) for group in (own, others) for tree in trees]
    return [*heights, "yes" if found.centred_tree.separates(own) else "no"]
