"""Figures of perturbation curves."""

import numpy as np
import pytest

from fer_batch.evaluate.faithfulness import against_chance, aopc, area_over, area_under, at_shares, faithfulness

SUBJECTS = list("aabbccddee")


def test_areas_of_known_curves():
    falling = np.array([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0], [0.2, 0.4, np.nan]])
    np.testing.assert_allclose(aopc(falling), [0.5, 0, np.nan])
    np.testing.assert_allclose(area_under(falling), [0.5, 1, np.nan])
    line = np.linspace(1, 0, 101)
    np.testing.assert_allclose([aopc(line), area_under(line)], 0.5)
    with pytest.raises(ValueError, match="two or more points"):
        area_under(np.ones((3, 1)))


def test_a_method_is_judged_against_random_orders():
    rng = np.random.default_rng(0)
    random = 1 - np.arange(5) / 4 + rng.normal(0, 0.01, (6, 10, 5))
    good = 0.5 ** np.arange(5) + rng.normal(0, 0.01, (10, 5))
    found = faithfulness(good, random, SUBJECTS)
    assert found.above_chance is True
    assert found.difference.mean == pytest.approx(found.value.mean - found.chance.mean)
    assert found.difference.low < found.difference.mean < found.difference.high
    assert faithfulness(random[0], random[1:], SUBJECTS).above_chance is None
    assert faithfulness(2 - good, random, SUBJECTS).above_chance is False
    assert faithfulness(good[:4], random[:, :4], SUBJECTS[:4]).above_chance is None
    same = np.full((10, 5), 0.1)
    assert faithfulness(same, np.full((3, 10, 5), 0.1), SUBJECTS).above_chance is False


def test_undefined_images_and_draws_are_left_out():
    values = np.array([3.0, np.nan, 5, 1, 1])
    random = np.array([[1.0, 1, np.nan, 1, 1], [3, 1, np.nan, np.nan, 0]])
    found = against_chance(values, random, list("abcde"))
    assert (found.value.mean, found.chance.mean, found.difference.mean) == (5 / 3, 3.5 / 3, 1.5 / 3)
    assert (found.difference.n, found.difference.n_undefined) == (3, 2)
    with pytest.raises(ValueError, match=r"random draws \(R, N\)"):
        against_chance(values, random[:, :4], list("abcde"))


def test_area_over_the_share_of_pixels_does_not_depend_on_the_order_where_every_pixel_counts_the_same():
    rng = np.random.default_rng(1)
    areas = np.array([0.5, 0.3, 0.1, 0.06, 0.04])
    hidden = np.stack([np.concatenate([[0], np.cumsum(rng.permutation(areas))]) for _ in range(6)])
    curves = 2 - 1.5 * hidden
    np.testing.assert_allclose(area_over(curves, hidden), 0.75)
    assert np.ptp(aopc(curves)) > 0.1, "which the area over steps does"
    sooner = np.array([[1.0, 0.2, 0]])
    assert area_over(sooner, np.array([[0, 0.1, 1.0]])) > area_over(sooner, np.array([[0, 0.9, 1.0]]))
    assert np.isnan(area_over(np.full((1, 3), np.nan), np.array([[0, 0.5, 1]]))).all()
    with pytest.raises(ValueError, match="share hidden at every point"):
        area_over(curves, hidden[:2])


def test_curves_are_read_at_the_same_shares():
    hidden = np.array([[[0, 0.5, 1.0]], [[0, 0.25, 1.0]]])
    curves = np.array([[[1.0, 0.5, 0.0]], [[1.0, 0.25, np.nan]]])
    found = at_shares(curves, hidden, np.array([0, 0.25, 1]))
    np.testing.assert_allclose(found, [[[1, 0.75, 0]], [[1, 0.25, np.nan]]])


def test_an_interval_that_holds_zero_is_open():
    rng = np.random.default_rng(3)
    value = rng.normal(0, 1, 10)
    found = against_chance(value, np.zeros((1, 10)), SUBJECTS)
    assert found.difference.low < 0 < found.difference.high and found.above_chance is None
    assert against_chance(-1 + value / 9, np.zeros((1, 10)), SUBJECTS).above_chance is False
