"""The mean of a night by hand, and scales on which figures vary alike."""

import numpy as np
import pytest

from fer_batch.evaluate.night_mean import SCALES, night_mean


def test_a_night_is_the_mean_over_frames_with_its_interval_and_effective_people():
    own = night_mean([10, 10, 10, 30, 0], [1, 2, 3, 0, 9])
    assert own.value == 0.1 and own.n_frames == 60 and own.n_subjects == 4
    assert own.effective == pytest.approx(60**2 / (3 * 100 + 900))
    assert (own.n_near_0, own.n_near_1) == (2, 0)
    assert 0 <= own.low < 0.1 < own.high
    assert np.isnan(night_mean([5, 5], [1, 2]).low), "two people give no interval"
    assert np.isnan(night_mean([0], [0]).value) and night_mean([], []).n_frames == 0


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_leads_back(name):
    values = np.array([0.0, 0.01, 0.3, 0.99, 1.0])
    np.testing.assert_allclose(SCALES[name].back(SCALES[name].forth(values)), values, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: night_mean([1, 2], [1]), r"expected a count and a sum per subject, got shapes \(2,\) and \(1,\)"),
        (lambda: night_mean([1], [1], "shares"), "expected one of share, mean, ratio as scale, got 'shares'"),
    ],
)
def test_what_fits_nothing_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
