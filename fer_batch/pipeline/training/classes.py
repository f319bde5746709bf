"""Figures of a training of classes: the confusion matrix of each fold, and a report over all folds (methods E-3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fer_batch.evaluate.detection import Classification
from fer_batch.output.text import aligned
from fer_batch.pipeline.partition.evaluation_classes import class_rows, confusion_table, report_lines
from fer_batch.pipeline.training.marker import FoldMarker


def class_figures(marker: FoldMarker, targets: Sequence[str]) -> list[dict[str, object]]:
    """Rows of table `evaluation` of one fold beside F1 and accuracy; none of a network of Action Units."""
    matrix = marker.get("confusion")
    if matrix is None:
        return []
    rows = class_rows(Classification(np.array(matrix, np.int64)), targets)
    return [row for row in rows if row["metric"] != "f1"]


def class_lines(markers: Sequence[FoldMarker], targets: Sequence[str]) -> list[str]:
    """Report and confusion matrix over the test parts of all folds together; none of Action Units.

    A fold that was trained by an earlier version has no matrix and does not count.
    """
    matrices = [marker["confusion"] for marker in markers if marker.get("confusion") is not None]
    if not matrices:
        return []
    rows = list(class_rows(Classification(np.sum(np.array(matrices, np.int64), axis=0)), targets))
    n = len(matrices)
    lines = ["", f"report over the test part{'s'[: n > 1]} of {n} fold{'s'[: n > 1]}", *aligned(report_lines(rows))]
    table = confusion_table(rows, "confusion")
    if table is not None:
        lines += ["", table.title, *aligned([table.columns, *table.rows]), f"({table.caption})"]
    return lines
