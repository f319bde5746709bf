"""Figures of a training of classes: the confusion matrix of each fold, and a report over all folds (methods E-3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fer_batch.evaluate.detection import Classification
from fer_batch.evaluate.folds import classification_report, fold_table
from fer_batch.evaluate.published_training import FoldFigures
from fer_batch.output.text import aligned
from fer_batch.pipeline.partition.evaluation_classes import class_rows, confusion_table
from fer_batch.pipeline.training.marker import FoldMarker

_SHOWN = 12  # folds, beyond which their means are enough of a printed table


def class_figures(marker: FoldMarker, targets: Sequence[str]) -> list[dict[str, object]]:
    """Rows of table `evaluation` of one fold beside F1 and accuracy; none of a network of Action Units."""
    matrix = marker.get("confusion")
    if matrix is None:
        return []
    rows = class_rows(Classification(np.array(matrix, np.int64)), targets)
    return [row for row in rows if row["metric"] != "f1"]


def fold_figures(markers: Sequence[FoldMarker]) -> list[FoldFigures]:
    """The folds of a training of classes as `evaluate.folds.fold_table` takes them.

    A fold that was trained by an earlier version has no loss of its test part and no accuracy of its training part.
    """
    return [
        FoldFigures(
            name=f"fold {marker['fold']}" + (f" ({marker['name']})" if marker["name"] else ""),
            test_loss=_number(marker.get("loss")),
            test_accuracy=_number(marker.get("accuracy")),
            epochs=len(marker["history"]),
            train_accuracy=_of_kept_epoch(marker, "train/accuracy"),
            validation_accuracy=_of_kept_epoch(marker, "validation/accuracy"),
        )
        for marker in markers
    ]


def _of_kept_epoch(marker: FoldMarker, key: str) -> float:
    return _number(marker["history"][marker["epoch"] - 1].get(key))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def confusion_of(markers: Sequence[FoldMarker]) -> Classification | None:
    """The confusion matrix over the test parts of all folds together, of those that have one; None of Action Units."""
    matrices = [marker["confusion"] for marker in markers if marker.get("confusion") is not None]
    return Classification(np.sum(np.array(matrices, np.int64), axis=0)) if matrices else None


def class_lines(markers: Sequence[FoldMarker], targets: Sequence[str]) -> list[str]:
    """Folds, then report and confusion matrix over the test parts of all folds together; none of Action Units.

    A fold that was trained by an earlier version has no matrix and does not count.
    """
    found = confusion_of(markers)
    if found is None:
        return []
    n = sum(marker.get("confusion") is not None for marker in markers)
    folds, report = fold_table(fold_figures(markers)), classification_report(found, targets)
    shown = folds.rows if len(markers) <= _SHOWN else folds.rows[-1:]
    lines = ["", "folds", *aligned([folds.columns, *shown])]
    lines += ["", f"report over the test part{'s'[: n > 1]} of {n} fold{'s'[: n > 1]}"]
    lines += aligned([report.columns, *report.rows])
    table = confusion_table(list(class_rows(found, targets)), "confusion")
    if table is not None:
        lines += ["", table.title, *aligned([table.columns, *table.rows]), f"({table.caption})"]
    return lines
