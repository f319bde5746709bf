"""Verdict and mu pooled over folds: everyone is judged by the network that left them out (VP-e, VP-g, VP-k)."""

from __future__ import annotations

import math

from fer_batch.evaluate.verdict import two_digits
from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation_figures import Evaluation, Subject, action_units, evidence
from fer_batch.pipeline.partition.evaluation_sql import SUBJECTS, labels_view
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.page import DataTable
from fer_batch.storage.parquet import Partition

LEAD = (
    "Everyone is judged by the network that was trained without them; frames of all folds are taken together. Mu is "
    "the share of the positive relevance inside the region of the target, over true positives; its interval is by "
    "subject."
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
    for variant in work.variants:
        for name in dict.fromkeys(cell.network.name for cell in work.of_variant(variant)):
            cells = [cell for cell in work.of_variant(variant) if cell.network.name == name]
            found = pooled(work, cells)
            title = f"{name}, {variant}"
            if not found.verdicts:
                none = ("No frame has landmarks and a map of a target with a region.",)
                sections.append(Section(title, notes=none))
                continue
            said = tuple(one.sentence for one in found.verdicts)
            sections.append(Section(title, tables=(_table(found, len(cells)),), notes=said))
            rows += [_measured(row, variant, cells) for row in found.rows]
    page = Comparison("verdict", "Right answers beside the place of their evidence", LEAD, tuple(sections))
    return Compared(page, tuple(rows))


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
    first = cells[0].partition
    result = Evaluation(Partition(first.dataset, cells[0].network.name, first.explain))
    action_units(connection, result, by_target, sets=False)
    evidence(result, by_target, {})
    return result


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
