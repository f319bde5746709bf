"""A training of classes has a confusion matrix by fold and a report over all."""

import numpy as np

from fer_batch.evaluate.published_training import FoldFigures
from fer_batch.pipeline.training.classes import class_figures, class_lines, fold_figures
from fer_batch.training.metrics import confusion

TARGETS = ("AU01", "AU26", "AU27")
MARKER = {"fold": 0, "f1": [0.5, None, None], "without_positives": [], "n_samples": {"test": {"a": 4}},
          "name": "", "epoch": 2, "history": [{"train/loss": 0.9}] * 3}  # fmt: skip


def test_a_training_of_classes_has_its_report_and_confusion_over_all_folds():
    classes = ("fear", "joy")
    folds = [{**MARKER, "confusion": matrix} for matrix in ([[3, 1], [0, 2]], [[1, 1], [0, 0]])]
    lines = class_lines([*folds, MARKER], classes)  # the last is of an earlier version
    cells = [line.split() for line in lines]
    assert ["fear", "1.000", ".667", ".800", "6"] in cells
    # precision of joy is 2 of 4; weighted by 6 and 2
    assert ["weighted", "by", "n", ".875", ".750", ".767", "8"] in cells
    assert ["fear", ".667", "(4)", ".333", "(2)", "6"] in cells
    assert "report over the test parts of 2 folds" in lines
    figures = class_figures(folds[0], classes)
    assert [row["value"] for row in figures if row["metric"] == "recall"] == [0.75, 1.0]
    assert {row["metric"] for row in figures} >= {"confusion", "f1_weighted"}
    assert "f1" not in {row["metric"] for row in figures}, "every training has those already"
    assert class_lines([MARKER], TARGETS) == class_figures(MARKER, TARGETS) == []
    logits = np.array([[2, 1], [0, 1], [3, 0]], np.float32)
    assert confusion(logits, np.array([[1, 0], [1, 0], [np.nan, np.nan]])).tolist() == [[1, 1], [0, 0]]


def test_folds_are_told_with_what_their_markers_hold_and_many_by_their_means():
    history = [{"train/accuracy": 0.5, "validation/accuracy": 0.25}, {"train/accuracy": 0.998}]
    new = {**MARKER, "name": "a:P001", "loss": 2.34, "accuracy": 0.537, "epoch": 1, "history": history}
    old = {**MARKER, "fold": 1, "accuracy": 0.61}  # of an earlier version
    one, other = fold_figures([new, old])
    assert one == FoldFigures("fold 0 (a:P001)", 2.34, 0.537, 2, 0.5, 0.25)
    assert (other.name, other.test_accuracy, other.epochs) == ("fold 1", 0.61, 3)
    assert np.isnan([other.test_loss, other.train_accuracy, other.validation_accuracy]).all()
    few, many = (class_lines([{**new, "confusion": [[1, 1], [0, 2]]}] * n, ("fear", "joy")) for n in (3, 30))
    assert sum("fold 0 (a:P001)" in line for line in few) == 3
    assert not any("fold 0" in line for line in many) and len(many) == len(few) - 3
