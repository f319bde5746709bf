"""Means over folds (methods CV-1)."""

import numpy as np
import pytest

from fer_batch.training.fold_result import fold_mean


def test_a_fold_that_does_not_define_a_target_does_not_count():
    nan = float("nan")
    mean, n = fold_mean([np.array([0.2, nan, nan]), np.array([0.6, 0.5, nan])])
    assert mean[:2].tolist() == [pytest.approx(0.4), 0.5]
    assert np.isnan(mean[2])
    assert n.tolist() == [2, 1, 0]
