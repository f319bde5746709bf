"""What is printed of a training: F1 by target, and what a reader must know of it."""

import numpy as np

from fer_batch.pipeline.training.tables import best_fold, f1_table, fold_lines, mean_accuracy, means

TARGETS = ("AU01", "AU26", "AU27")


def marker(fold, f1, without=(), tested="a"):
    return {"fold": fold, "f1": f1, "without_positives": list(without), "n_samples": {"test": {tested: 4}}}


MARKERS = [
    marker(0, [0.5, None, None]),
    marker(1, [0.75, 0.25, None], ["AU27"]),
    marker(2, [0.25, 0.5, None], ["AU27"]),
]


def test_the_table_has_targets_as_columns_and_counts_the_folds_behind_every_mean(job):
    text = f1_table(job(seed=3), "net-0123abcd", TARGETS, MARKERS)
    head, targets, row, folds = text.splitlines()
    assert head == "F1 on a, mean over 3 folds (leave_one_subject_out); recipe custom, seed 3, selection last"
    assert targets.split() == [*TARGETS, "mean"]
    assert row.split() == ["net-0123abcd", ".50", ".38", "-", ".44"]
    assert folds.split() == ["folds", "3", "2", "0"]
    mean, n = means(MARKERS)
    np.testing.assert_allclose(mean, [0.5, 0.375, np.nan])
    np.testing.assert_array_equal(n, [3, 2, 0])


def test_what_the_table_leaves_out_is_said():
    assert fold_lines(TARGETS, MARKERS) == [
        "left out of the mean, because the target is neither shown nor detected: AU26 1, AU27 3 folds",
        "AU27: no positive in the training part of fold 1, 2; weight 1, nothing learned",
    ]
    assert fold_lines(("AU01",), [marker(0, [0.5])]) == []


def test_the_best_fold_is_that_of_the_highest_mean_and_the_first_of_equals():
    assert best_fold(MARKERS) == 0
    assert best_fold([marker(0, [None]), marker(1, [0.1]), marker(2, [0.1])]) == 1


def test_accuracy_of_a_softmax_head_is_told_and_action_units_have_none():
    several = [{**one, "accuracy": value} for one, value in zip(MARKERS, (0.5, 1.0, None), strict=True)]
    assert fold_lines(TARGETS, several)[0] == "accuracy .75, mean over 2 folds"
    assert mean_accuracy(MARKERS) is None
