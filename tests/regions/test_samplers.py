"""Each reader beside the same in plain loops."""

import numpy as np
import pytest

from fer_batch.regions.samplers import READERS, averaged

MAPS = np.random.default_rng(0).standard_normal((3, 5, 7)).astype(np.float32)
AT = np.random.default_rng(1).uniform(-1.5, 7.5, (2, 3, 40))


def at(one, x, y):
    return one[y, x] if 0 <= y < one.shape[0] and 0 <= x < one.shape[1] else 0.0


def mixed(one, x, y):
    left, top = int(np.floor(x)), int(np.floor(y))
    a, b = x - left, y - top
    rows = [(1 - a) * at(one, left, row) + a * at(one, left + 1, row) for row in (top, top + 1)]
    return (1 - b) * rows[0] + b * rows[1]


def test_floor_takes_the_pixel_at_the_integers_below_and_0_outside():
    found = READERS["floor"](MAPS, np.zeros(2))(AT.copy())
    expected = [[at(one, int(np.floor(x)), int(np.floor(y))) for x, y in AT[:, n].T] for n, one in enumerate(MAPS)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["bilinear", "averaged"])
def test_interpolation_is_that_of_the_four_pixels_around(name):
    inside = np.clip(AT, 0, [[[5.99]], [[3.99]]])
    expected = [[mixed(one, x, y) for x, y in inside[:, n].T] for n, one in enumerate(MAPS)]
    found = READERS[name](MAPS, np.zeros(2))(inside.astype(np.float32 if name == "averaged" else np.float64))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_beyond_the_edge_an_average_repeats_and_a_value_is_0():
    beyond = np.array([[[-2.0, 8.0]] * 3, [[2.0, 2.0]] * 3])
    np.testing.assert_array_equal(READERS["averaged"](MAPS, np.zeros(2))(beyond.astype(np.float32)), MAPS[:, 2, [0, 6]])
    assert not READERS["bilinear"](MAPS, np.zeros(2))(beyond).any()


def test_averages_are_means_of_blocks_and_a_map_with_a_hole_is_none():
    maps = np.random.default_rng(2).standard_normal((2, 8, 12)).astype(np.float32)
    maps[1, 3, 3] = np.nan
    small, finite = averaged(maps, 4)
    assert small.shape == (2, 4, 4) and finite.tolist() == [True, False]
    np.testing.assert_allclose(small[0], maps[0].reshape(4, 2, 4, 3).mean((1, 3)), atol=1e-6)
