import numpy as np
import pytest

from fer_batch.spray.nearest import nearest, unit_mass


def map_of(*values):
    return np.array(values, np.float64).reshape(1, 2)


def test_a_map_joins_the_mean_that_is_nearest_after_both_are_scaled_to_unit_relevance():
    maps = np.stack([map_of(300, 100), map_of(0.001, 0.009), map_of(-1, 0)])
    means = np.stack([map_of(1, 9), map_of(30, 10)])
    # (.75, .25) is the second mean; (.1, .9) the first; (-1, 0) is 2.02 from the first and 3.13 from the second
    assert nearest(maps, means).tolist() == [1, 0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_map_without_direction_joins_nothing_and_a_mean_without_one_attracts_nothing(dtype):
    # Without a rule a zero map would be nearest to the broadest mean, and a zero mean would attract broad maps.
    undefined = [map_of(0, 0), map_of(np.nan, 1), map_of(np.inf, 1)]
    maps = np.stack([*undefined, map_of(1, -1)]).astype(dtype)
    means = np.stack([map_of(0, 0), map_of(9, 1), map_of(np.nan, 0), map_of(5, 5)]).astype(dtype)
    assert nearest(maps, means).tolist() == [-1, -1, -1, 1]
    assert nearest(maps, means[:1]).tolist() == [-1] * 4
    assert nearest(maps[:0], means).tolist() == []
    rows, defined = unit_mass(maps)
    assert defined.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(rows, [[0, 0], [0, 0], [0, 0], [0.5, -0.5]])


def test_the_first_of_equal_means_is_taken():
    assert nearest(map_of(1, 1)[None], np.stack([map_of(1, 0), map_of(0, 1), map_of(2, 0)])).tolist() == [0]


def test_it_is_the_plain_search_on_random_maps():
    rng = np.random.default_rng(0)
    maps, means = rng.standard_normal((40, 5, 6)), rng.standard_normal((7, 5, 6))
    unit = [values / np.abs(values).sum((1, 2), keepdims=True) for values in (maps, means)]
    distance = ((unit[0][:, None] - unit[1][None]) ** 2).sum((2, 3))
    np.testing.assert_array_equal(nearest(maps, means), distance.argmin(1))
