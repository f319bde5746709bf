"""Verdict and mu pooled over folds: everyone is judged by the network that left them out (VP-e, VP-g, VP-k)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy

import numpy as np

from fer_batch.evaluate.verdict import two_digits
from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation_figures import Evaluation, Subject, action_units, evidence
from fer_batch.pipeline.partition.evaluation_sql import SUBJECTS, labels_view
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.comparisons.networks import by_name, title_of
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.page import DataTable
from fer_batch.storage.parquet import Partition

LEAD = (
    "Everyone is judged by the network that was trained without them; frames of all folds are taken together. Mu is "
    "the share of the positive relevance inside the region of the target, over true positives; its interval is by "
    "subject."
)
DRAWN = (
    "F1 is over all test frames. Mu is over the frames that were drawn to be explained, so many of each predicted "
    "class; an F1 over these would be that of the draw."
)


def verdict(work: StudyWork) -> Compared:
    """F1 and mu of every target, over all folds of a training together, with the interval by subject.

    Parameters
    ----------
    work
        The study.
    """
    sections: list[Section] = []
    rows: list[Measured] = []
    more = (DRAWN,) if draws(work) else ()
    for variant in work.variants:
        for cells in by_name(work.of_variant(variant)).values():
            found = pooled(work, cells)
            title = f"{title_of(work, cells[0].network, fold=False)}, {variant}"
            if not found.verdicts:
                none = ("No frame has landmarks and a map of a target with a region.",)
                sections.append(Section(title, notes=none))
                continue
            said = tuple(one.sentence for one in found.verdicts)
            sections.append(Section(title, tables=(_table(found, len(cells)),), notes=(*said, *more)))
            rows += [_measured(row, variant, cells) for row in found.rows]
    page = Comparison("verdict", "Right answers beside the place of their evidence", LEAD, tuple(sections))
    return Compared(page, tuple(rows))


def draws(work: StudyWork) -> bool:
    """Whether the study explains a draw of frames by predicted class, on which an F1 would be that of the draw."""
    how = work.study.config.runs.choose
    return how.per_class is not None or how.per_subject is not None


def pooled(work: StudyWork, cells: list[Cell]) -> Evaluation:
    """Figures over several partitions that show different people.

    Parameters
    ----------
    work
        The study.
    cells
        The folds of one training under one explanation.
    """
    connection = connect(work.store)
    by_target: dict[str, list[Subject]] = {}
    for cell in cells:
        if cell.job is None:
            continue
        connection.execute(labels_view(cell.job.labels))
        for row in connection.execute(SUBJECTS, cell.partition.key).fetchall():
            subject = Subject(*row)
            by_target.setdefault(subject.target, []).append(subject)
    if draws(work):
        by_target = {name: _with_counts(name, subjects, cells) for name, subjects in by_target.items()}
    first = cells[0].partition
    result = Evaluation(Partition(first.dataset, cells[0].network.name, first.explain))
    action_units(connection, result, by_target, sets=False)
    evidence(result, by_target, {})
    return result


def _with_counts(target: str, subjects: Sequence[Subject], cells: Sequence[Cell]) -> list[Subject]:
    """The same evidence, with right and wrong answers counted over all samples of the networks."""
    found = []
    for subject in subjects:
        one = copy(subject)
        one.known = one.hits = one.false_alarms = one.misses = 0
        found.append(one)
    no_evidence = (0, 0, None, None, None)
    for network in {cell.network.title: cell.network for cell in cells}.values():
        if target in network.model.targets:
            counts = counts_of(network, target)
            found.append(Subject(target, network.title, network.title, None, *counts, *no_evidence, *no_evidence))
    return found


def counts_of(network: StudyNetwork, target: str) -> tuple[int, int, int, int]:
    """Samples whose truth is known, hits, false alarms and misses of a target over all samples of a network.

    Parameters
    ----------
    network
        With its own test people.
    target
        One of its outputs.
    """
    place = network.model.targets.index(target)
    truth, found = network.labels[:, place], network.detected[:, place]
    hits, false_alarms, misses = found & (truth == 1), found & (truth == 0), ~found & (truth == 1)
    return tuple(int(one.sum()) for one in (~np.isnan(truth), hits, false_alarms, misses))  # type: ignore[return-value]


def _table(found: Evaluation, n_folds: int) -> DataTable:
    rows = []
    for one in found.verdicts:
        place = one.localisation
        known = "–" if math.isnan(place.low) else f"{place.low:.3f} to {place.high:.3f}"
        mean, chance = (None if math.isnan(v) else round(v, 3) for v in (place.mean, place.chance))
        rows.append((one.target, one.state, two_digits(one.f1), mean, known, chance, place.n, place.n_subjects))
    head = ("Target", "Verdict", "F1", "mu", "95 % interval", "Chance", "n", "Subjects")
    return DataTable(f"{n_folds} network{'s'[: n_folds != 1]} pooled", head, tuple(rows))


def _measured(row: dict[str, object], variant: str, cells: list[Cell]) -> Measured:
    known = {name: row.get(name) for name in ("metric", "value", "n", "baseline", "target", "group")}
    return Measured(**known, explain=variant, model=cells[0].network.name)  # type: ignore[arg-type]
