"""Sections of the page of standardised heatmaps: overlap with the masks, and which networks look alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.localisation import relevance_mass
from fer_batch.evaluate.published_heatmaps import GAYA_MOREY, HEIGHTS
from fer_batch.evaluate.tables import Table
from fer_batch.pipeline.partition.heatmap_scores import HeatmapScores, heatmap_tables
from fer_batch.pipeline.study.heatmap_files import NetworkMaps
from fer_batch.pipeline.study.standard_maps import Sums
from fer_batch.report.comparison import Section
from fer_batch.report.page import DataTable, Picture, Published
from fer_batch.visualize.dendrogram import dendrogram_figure
from fer_batch.visualize.figure import save


def shares_inside(sums: Sums, masks: Mapping[str, NDArray[np.bool_]], classes: Sequence[str]) -> list[float]:
    """mu of the heatmap of each class: the share of it that lies in the mask (methods E-2); NaN without a map.

    Parameters
    ----------
    sums
        By class.
    masks : shape (275, 224), bool
        By class.
    classes
        Which.
    """
    found = []
    for name in classes:
        own = sums.get(name)
        known = own is not None and own.n > 0
        found.append(float(relevance_mass(own.mean[None], masks[name][None])[0]) if own and known else math.nan)
    return found


def overlap_section(
    scores: HeatmapScores, networks: Sequence[NetworkMaps], masks: Mapping[str, NDArray[np.bool_]], suffix: str
) -> Section:
    """IoU, precision, recall and F1 in the layout of methods 13.7, and mu.

    Parameters
    ----------
    scores
        Of one explanation.
    networks
        Their heatmaps.
    masks : shape (275, 224), bool
        By class.
    suffix
        Of the headline.
    """
    tables = [*map(_shown, heatmap_tables(scores)[:4]), _mass_table(networks, masks)]
    lead = "How well the strongest part of each heatmap agrees with the mask of its class."
    return Section(f"Overlap with the masks{suffix}", lead, tuple(tables))


def _mass_table(networks: Sequence[NetworkMaps], masks: Mapping[str, NDArray[np.bool_]]) -> DataTable:
    classes = sorted(masks)
    rows = [(one.title, *_with_mean(shares_inside(one.total, masks, classes))) for one in networks]
    rows.append(("chance", *_with_mean([float(masks[name].mean()) for name in classes])))
    caption = (
        "share of the heatmap that lies in the mask of its class; chance: the share of the picture that this covers"
    )
    return DataTable("mu", ("", *classes, "mean"), tuple(rows), caption, decimals=4)


def _with_mean(values: Sequence[float]) -> tuple[float | None, ...]:
    known = [value for value in values if not math.isnan(value)]
    shown = [None if math.isnan(value) else value for value in values]
    return (*shown, sum(known) / len(known) if known else None)


def likeness_section(scores: HeatmapScores, suffix: str) -> Section:
    """A dendrogram for each class and how high their merges are, pretrained networks against others (methods E-9).

    Parameters
    ----------
    scores
        Of one explanation.
    suffix
        Of the headline.
    """
    figures = []
    for name, found in scores.expressions.items():
        if len(found.compared) > 1:
            legend = "pretrained" if scores.pretrained else ""
            figure = dendrogram_figure(found.centred_tree.links, found.compared, scores.pretrained, name, legend)
            figures.append(Picture(save(figure), f"Dendrogram of {len(found.compared)} networks for {name}"))
    table = heatmap_tables(scores)[-1]
    kinds = _two_kinds(scores)
    rows = [tuple(map(_number, row)) for row in table.rows]
    if kinds:
        rows = [line for row in rows for line in (row, *_printed_heights(row))]
    source = GAYA_MOREY if kinds else ""
    shown = DataTable("Heights of the dendrograms", table.columns, tuple(rows), table.caption, source, decimals=3)
    notes = (_apart(scores),) if kinds else ()
    return Section(f"Which networks look alike{suffix}", tables=(shown,), figures=tuple(figures), notes=notes)


def _two_kinds(scores: HeatmapScores) -> bool:
    """Whether there are two pretrained networks and two others: one of a kind is a cluster by itself."""
    names = {name for one in scores.expressions.values() for name in one.compared}
    own = names & set(scores.pretrained)
    return len(own) > 1 and len(names - own) > 1


def _printed_heights(row: tuple[object, ...]) -> list[tuple[object, ...]]:
    """The published heights of an expression, where they are printed."""
    if row[0] not in HEIGHTS:
        return []
    pretrained, scratch = (Published(value) for value in HEIGHTS[str(row[0])])
    return [("  published", None, None, pretrained, None, scratch, None, Published("yes"))]


def _apart(scores: HeatmapScores) -> str:
    """In words, for which expressions pretrained networks and those from scratch fall into two clusters (E-9)."""
    found = []
    for name, one in scores.expressions.items():
        own = [place for place, network in enumerate(one.compared) if network in scores.pretrained]
        if one.centred_tree.separates(own):
            found.append(name)
    said = ", ".join(found) or "no class"
    return (
        f"The cut into two clusters divides pretrained networks from those that were trained from scratch for {said}; "
        f"published: for disgust, happiness, sadness and surprise ({GAYA_MOREY})."
    )


def _shown(table: Table) -> DataTable:
    """A table of the command line with numbers, published ones in their style."""
    rows, printed = [], False
    for row in table.rows:
        numbers = tuple(map(_number, row[1:]))
        if row[0].strip() == "published":
            printed = True
            numbers = tuple(None if one is None else Published(one) for one in numbers)
        rows.append((row[0], *numbers))
    source = GAYA_MOREY if printed else ""
    title = table.title[:1].upper() + table.title[1:]
    return DataTable(title, table.columns, tuple(rows), table.caption, source, decimals=4)


def _number(cell: str) -> object:
    """The number that a cell prints, None for a dash, else its text."""
    try:
        return float(cell)
    except ValueError:
        return None if cell in ("-", "–", "") else cell
