"""The interval by subject: hand-worked ends, what changes nothing, and the level it holds."""

import numpy as np
import pytest
from scipy import stats

from fer_batch.evaluate.interval import MIN_SUBJECTS, subject_interval


def test_of_subjects_with_as_many_frames_it_is_that_of_student():
    means = np.array([0.1, 0.2, 0.3, 0.2, 0.2])  # symmetric, so no end moves out
    low, high = subject_interval(np.full(5, 7), 7 * means)
    expected = stats.t.interval(0.95, 4, means.mean(), means.std(ddof=1) / np.sqrt(5))
    np.testing.assert_allclose([low, high], expected, rtol=1e-12)


def test_of_unequal_subjects_it_is_the_formula_in_plain_loops():
    n, s = [3, 10, 4, 8, 1], [0.3, 4.0, 1.0, 1.6, 0.3]
    total, mean = sum(n), sum(s) / sum(n)
    u = [(b - mean * a) / total / (1 - a / total) for a, b in zip(n, s, strict=True)]
    error = np.sqrt(4 / 5 * sum(x * x for x in u))
    q = stats.t.ppf(0.95, 1 / sum((a / total) ** 2 for a in n) - 1)
    gamma = sum(x**3 for x in u) / sum(x * x for x in u) ** 1.5
    assert gamma > 0.1  # to the right: the upper end alone moves out
    low, high = subject_interval(n, s, level=0.9)
    assert low == pytest.approx(mean - q * error)
    assert high == pytest.approx(mean + (q + gamma * (2 * q * q + 1) / 6) * error)


def test_frames_counted_twice_and_subjects_in_another_order_change_nothing():
    n, s = np.array([3, 10, 4, 8, 1]), np.array([0.3, 4.0, 1.0, 1.6, 0.3])
    order = [4, 0, 3, 1, 2]
    expected = subject_interval(n, s)
    np.testing.assert_allclose(subject_interval(2 * n, 2 * s), expected)
    np.testing.assert_allclose(subject_interval(n[order], s[order]), expected)
    mirrored = subject_interval(n, n - s)  # of 1 - mu
    np.testing.assert_allclose([1 - mirrored[1], 1 - mirrored[0]], expected)
    several = subject_interval(np.stack([n, n[order]]), np.stack([s, s[order]]))
    np.testing.assert_allclose(several, np.stack([expected, expected], 1))


def test_subjects_without_a_difference_leave_a_point():
    assert subject_interval([5, 9, 2, 4], np.array([5, 9, 2, 4]) * 0.25) == (0.25, 0.25)


def test_it_is_undefined_where_few_people_say_everything():
    assert np.isnan(subject_interval(np.ones(MIN_SUBJECTS - 1), np.ones(MIN_SUBJECTS - 1))).all()
    sums = np.array([0.2, 0.3, 0.1, 0.4, 0.3])
    for n_largest, undefined in ((1000, True), (3, False)):
        frames = np.array([n_largest, 1, 1, 1, 1])
        assert np.isnan(subject_interval(frames, sums * frames)).all() == undefined


@pytest.mark.parametrize(
    ("frames", "sums", "level", "words"),
    [
        ([1, 0], [1, 1], 0.95, "at least one frame of each subject, got 0"),
        ([1, np.nan], [1, 1], 0.95, "at least one frame of each subject"),
        ([1], [1, 1], 0.95, r"shapes \(1,\), \(2,\)"),
        ([1], [1], 1.0, "between 0 and 1"),
    ],
)
def test_what_is_no_interval_is_refused(frames, sums, level, words):
    with pytest.raises(ValueError, match=words):
        subject_interval(frames, sums, level)


def test_of_what_is_undefined_there_is_no_interval():
    assert np.isnan(subject_interval([5] * 4, [1.0, np.nan, 1.2, 0.9])).all()
    assert np.isnan(subject_interval(np.ones((2, 0)), np.ones((2, 0)))).all()


@pytest.mark.parametrize("n_subjects", [4, 8, 20])
@pytest.mark.parametrize("unequal", [False, True], ids=["equal", "unequal"])
def test_vp_k_at_chance_it_lies_above_in_one_of_forty_at_most(n_subjects, unequal):
    # 11.5 %, 6 % and 4 % by percentiles of subjects drawn again
    rng = np.random.default_rng([n_subjects, unequal])
    shape = (20_000, n_subjects)
    frames = np.rint(np.exp(3.7 + 0.8 * unequal * rng.standard_normal(shape))) + 1
    low, high = subject_interval(frames, frames * (0.2 + 0.05 * rng.standard_normal(shape)))
    given = ~np.isnan(low)
    above = (low[given] > 0.2).mean()
    assert above <= 0.03  # standard error .0011
    assert above > 0.002  # and it is not simply wide
    assert ((low <= 0.2) & (high >= 0.2))[given].mean() >= 0.94
    assert given.mean() > (0.9 if unequal else 0.999)


def test_of_very_many_subjects_it_is_that_of_the_normal_distribution():
    mass = np.random.default_rng(6).uniform(0, 1, 20_000)
    half = 1.96 * mass.std() / np.sqrt(20_000)
    np.testing.assert_allclose(
        subject_interval(np.ones(20_000), mass), [mass.mean() - half, mass.mean() + half], atol=half / 50
    )
