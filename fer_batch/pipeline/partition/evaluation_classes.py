"""Figures of a network of classes: rows of table `evaluation`, report and confusion matrix (methods E-3, 13.5)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fer_batch.evaluate.detection import Classification
from fer_batch.evaluate.tables import MISSING, Table, share

CONFUSION = "confusion"
METRICS = ("precision", "recall", "f1")
Row = Mapping[str, Any]  # of table `evaluation`


def class_rows(found: Classification, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """Precision, recall and F1 of each class and weighted by support, then the confusion matrix.

    Parameters
    ----------
    found
        Its classes are in the order of `names`.
    names
        Of the classes.

    Yields
    ------
    dict
        Columns `metric`, `target`, `value`, `n`. A row of metric `confusion` is one cell of the matrix: `target` is the
        true class, `group` the predicted one, `value` the share of the true class, `n` the number of frames.
    """
    total = int(found.support.sum())
    for metric, scores in zip(METRICS, (found.precision, found.recall, found.f1), strict=True):
        for name, value, n in zip(names, scores.tolist(), found.support.tolist(), strict=True):
            yield {"metric": metric, "target": name, "value": _known(value), "n": n}
        weighted = found.weighted(scores)
        yield {"metric": f"{metric}_weighted", "target": None, "value": _known(weighted), "n": total}
    shares = found.row_normalised
    for i, true in enumerate(names):
        for j, predicted in enumerate(names):
            n = int(found.confusion[i, j])
            yield {"metric": CONFUSION, "target": true, "group": predicted, "value": _known(shares[i, j]), "n": n}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def of_group(row: Row, group: str) -> dict[str, object]:
    """A row that says of whom it is: in column `group`, which in the confusion matrix is taken, so in `split` there."""
    return {**row, ("split" if row["metric"] == CONFUSION else "group"): group}


def report_lines(rows: Iterable[Row]) -> list[list[str]]:
    """Cells of the report: a class a line, then all of them weighted by support."""
    figures: dict[str, dict[str, Row]] = {}
    overall: dict[str, Row] = {}
    for row in rows:
        if row.get("group") is None and row["metric"].removesuffix("_weighted") in METRICS:
            of_class = figures.setdefault(row["target"], {}) if row["target"] else overall
            of_class[row["metric"].removesuffix("_weighted")] = row
    table = [["class", "precision", "recall", "F1", "n"]]
    for name, of_class in [*sorted(figures.items()), *([("weighted by n", overall)] if overall else [])]:
        table.append([name, *(share(of_class[metric]["value"]) for metric in METRICS), str(of_class["f1"]["n"])])
    return table


def confusion_table(rows: Iterable[Row], title: str) -> Table | None:
    """The confusion matrix, true classes down and predicted ones across; None where there is none.

    Parameters
    ----------
    rows
        Of table `evaluation`, over one set of people.
    title
        Of the table.
    """
    cells = {
        (row["target"], row["group"]): row for row in rows if row["metric"] == CONFUSION and row.get("split") is None
    }
    if not cells:
        return None
    names = list(dict.fromkeys(true for true, _ in cells))
    body = []
    for true in names:
        n = sum(cells[true, predicted]["n"] for predicted in names)
        body.append((true, *(_cell(cells[true, predicted]) for predicted in names), str(n)))
    caption = "true classes down, predicted ones across: share of the true class, in brackets the frames"
    return Table(title, ("", *names, "n"), tuple(body), caption)


def _cell(row: Row) -> str:
    return MISSING if row["value"] is None else f"{share(row['value'])} ({row['n']})"
