"""The printed figures agree with each other as far as rounding lets them."""

import numpy as np
import pytest

from fer_batch.evaluate.published_training import CALLED, CLASSES, FOLDS, REPORT, VARIANTS


def test_means_of_the_printed_folds_are_the_printed_means():
    best = VARIANTS["L2, early stopping"]
    assert np.mean([fold.test_loss for fold in FOLDS]) == pytest.approx(best.test_loss, abs=0.005)
    assert np.mean([fold.test_accuracy for fold in FOLDS]) == pytest.approx(best.test_accuracy, abs=0.0006)
    assert [fold.epochs for fold in FOLDS] == [2, 2, 2, 2, 4]


def test_the_printed_report_is_weighted_by_the_number_of_images():
    n = np.array([REPORT[name][3] for name in CLASSES])
    assert n.sum() == REPORT["weighted by n"][3] == 34 * 138 + 2 * 15 * 321
    for column in range(3):
        mean = (np.array([REPORT[name][column] for name in CLASSES]) * n).sum() / n.sum()
        assert mean == pytest.approx(REPORT["weighted by n"][column], abs=0.01)
    assert REPORT["weighted by n"][1] == pytest.approx(FOLDS[4].test_accuracy, abs=0.006)
    assert CALLED["happiness", "pain"] * n[2] == pytest.approx(1356, abs=0.005 * n[2])
