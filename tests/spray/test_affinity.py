"""Neighbour graphs against plain loops and by hand (methods G-05)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch import types
from fer_batch.spray import affinity as affinity_module
from fer_batch.spray.affinity import (
    default_neighbours,
    doubtful,
    nearest_by_distance,
    nearest_neighbours,
    neighbour_graph,
)
from fer_batch.spray.gram import squared_distances


def points(*values):
    return np.array(values, dtype=float)[:, None]


def test_g05_default_neighbours():
    assert [default_neighbours(n) for n in (0, 1, 2, 3, 40, 129)] == [0, 0, 1, 2, 4, 5]
    assert {default_neighbours(n) for n in range(4, 34)} == {3}


def test_neighbours_match_plain_loops():
    features = np.random.default_rng(0).standard_normal((40, 7))
    index, steps = nearest_neighbours(features, 5)
    for i, row in enumerate(features):
        distance = np.linalg.norm(features - row, axis=1)
        expected = [j for j in np.argsort(distance, kind="stable") if j != i][:5]
        assert index[i].tolist() == expected
        step = affinity_module.RESOLUTION * np.median(np.linalg.norm(features, axis=1))
        np.testing.assert_allclose(steps[i] * step, distance[expected], rtol=1e-4)


def test_equal_distances_go_to_the_lower_index():
    index, steps = nearest_neighbours(np.zeros((5, 3)), 2)
    assert index.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]
    assert not steps.any()
    assert nearest_neighbours(points(0, 1, 2, 3), 1)[0].tolist() == [[1], [0], [1], [2]]


def test_maps_equal_but_for_rounding_are_equal():
    shape = np.random.default_rng(3).random(400).astype(np.float32)
    scale = np.random.default_rng(4).uniform(0.1, 10, (20, 1)).astype(np.float32)
    scaled = (shape * scale).astype(np.float64)
    index, steps = nearest_neighbours(scaled / scaled.sum(1, keepdims=True), 3)
    assert not steps.any()
    assert index[10:].tolist() == [[0, 1, 2]] * 10


def test_neighbours_do_not_depend_on_blocks(monkeypatch):
    features = np.random.default_rng(1).integers(0, 3, (50, 4)).astype(float)  # many ties
    whole = nearest_neighbours(features, 4)
    monkeypatch.setattr(affinity_module, "_BLOCK_BYTES", 8 * 4 * 7)
    for one, other in zip(whole, nearest_neighbours(features, 4), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_impossible_number_of_neighbours_is_refused():
    with pytest.raises(ValueError, match="got 3"):
        nearest_neighbours(np.zeros((3, 2)), 3)
    with pytest.raises(types.InputError, match="did you mean 'mean'"):
        neighbour_graph(np.array([[1], [0]]), "men")


@pytest.mark.parametrize("kind", ["float", "ties", "equal"])
def test_neighbours_by_distance_are_those_by_blocks(kind):
    rng = np.random.default_rng(6)
    features = {
        "float": rng.standard_normal((70, 9)),
        "ties": rng.integers(0, 3, (70, 3)).astype(float),
        "equal": np.repeat(rng.standard_normal((7, 5)), 10, axis=0),
    }[kind]
    distance = np.sqrt(squared_distances(features @ features.T))
    length = np.linalg.norm(features, axis=1)
    for k in (1, 5, 40):
        for one, other in zip(nearest_by_distance(distance, length, k), nearest_neighbours(features, k), strict=True):
            np.testing.assert_array_equal(one, other)


def test_blocks_in_any_pieces_find_the_same_neighbours(monkeypatch):
    features = np.random.default_rng(1).standard_normal((900, 4)).astype(np.float32)
    features[100:130] = features[100]
    whole = nearest_neighbours(features, 6)
    monkeypatch.setattr(affinity_module, "_BLOCK_BYTES", 8 * 150**2)
    monkeypatch.setattr(affinity_module, "_PIECE_PAIRS", 2)

    def backwards(function, shared, pieces):
        return [function(shared, piece) for piece in pieces[::-1]]

    for map_pieces in (affinity_module.serial_map, backwards):
        for one, other in zip(whole, nearest_neighbours(features, 6, map_pieces=map_pieces), strict=True):
            np.testing.assert_array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(0, 0.1), st.sampled_from([1e-6, 1e-3, 0.1]))
def test_rough_distances_with_the_doubtful_ones_made_exact_have_the_true_neighbours(seed, n, repeated, error):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, 6)) * rng.uniform(0.5, 2, (n, 1))
    features[rng.random(n) < repeated] = features[0]
    products = features @ features.T
    length = np.sqrt(products.diagonal())
    noise = rng.uniform(-error, error, (n, n))
    rough = squared_distances(products + (np.triu(noise) + np.triu(noise, 1).T) * length * length[:, None])
    k = int(rng.integers(1, n))
    rows = np.flatnonzero(doubtful(rough, length, k, error))
    rough[rows[:, None], rows] = squared_distances(products)[rows[:, None], rows]
    index, steps = nearest_by_distance(np.sqrt(rough), length, k)
    true_index, true_steps = nearest_by_distance(np.sqrt(squared_distances(products)), length, k)
    np.testing.assert_array_equal(np.sort(index), np.sort(true_index))
    if error <= 1e-6:  # beyond, zeros may be missed
        for row in range(n):
            assert set(index[row][steps[row] == 0]) == set(true_index[row][true_steps[row] == 0])


def test_clear_neighbours_are_not_doubted():
    square = np.subtract.outer(np.arange(9.0) ** 2, np.arange(9.0) ** 2) ** 2
    assert not doubtful(square, np.full(9, 40.0), 2, 1e-6).any()
    assert doubtful(square, np.full(9, 40.0), 8, 0.1).sum() == 0  # all others are neighbours
