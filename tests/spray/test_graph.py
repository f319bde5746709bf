"""Neighbour graphs and spectra against hand-worked numbers (methods G-05) and plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag

from fer_batch import types
from fer_batch.spray import affinity as affinity_module
from fer_batch.spray import laplacian as laplacian_module
from fer_batch.spray.affinity import (
    default_neighbours,
    doubtful,
    nearest_by_distance,
    nearest_neighbours,
    neighbour_graph,
)
from fer_batch.spray.gram import squared_distances
from fer_batch.spray.laplacian import normalised_laplacian, spectrum
from fer_batch.spray.rules import eigengap, near_zero, near_zero_gap


def blocks(*sizes, loops=False):
    weights = block_diag(*[np.ones((size, size)) for size in sizes])
    return weights if loops else weights - np.eye(len(weights))


def eigenvalues(weights):
    return spectrum(weights, 100)[0]


def points(*values):
    return np.array(values, dtype=float)[:, None]


def graph(features, k, symmetry="mean"):
    return neighbour_graph(nearest_neighbours(features, k)[0], symmetry)


@pytest.mark.parametrize(
    ("weights", "expected", "n_clusters"),
    [
        (blocks(3, 4, 5), [0] * 3 + [1.25] * 4 + [4 / 3] * 3 + [1.5] * 2, 3),
        (blocks(6), [0] + [1.2] * 5, 1),
        (blocks(2, 2, 2), [0] * 3 + [2] * 3, 3),
        (blocks(9, 9), [0] * 2 + [1.125] * 16, 2),
        (blocks(3, 4, 5, loops=True), [0] * 3 + [1] * 9, 3),
    ],
)
def test_g05_separate_blocks(weights, expected, n_clusters):
    values = eigenvalues(weights)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    k_max = min(20, len(values) - 1)
    assert near_zero(values, 1e-8, k_max) == n_clusters
    assert eigengap(values, 0.1, k_max) == n_clusters
    assert near_zero_gap(values, 0.1, k_max) == n_clusters


def test_g05_weakly_linked_blocks():
    weights = blocks(3, 4, 5)
    for a, b in [(2, 3), (6, 7)]:
        weights[a, b] = weights[b, a] = 0.05
    values = eigenvalues(weights)
    np.testing.assert_allclose(values[:4], [0, 0.00438, 0.01431, 1.24608], atol=6e-6)
    assert [eigengap(values, 0.1, 11), near_zero_gap(values, 0.1, 11)] == [3, 3]
    assert [near_zero(values, 1e-8, 11), near_zero(values, 0.05, 11)] == [1, 3]


def test_g05_background_between_blocks():
    weights = np.where(blocks(3, 4, 5, loops=True) > 0, 1.0, 0.01)
    np.fill_diagonal(weights, 0)
    values = eigenvalues(weights)
    np.testing.assert_allclose(values[:4], [0, 0.0344, 0.0518, 1.2457], atol=6e-5)
    assert near_zero_gap(values, 0.1, 11) == 3


def test_g05_six_points():
    line = points(0, 1, 2, 10, 11, 12)
    values, _, components = spectrum(graph(line, 2), 100)
    np.testing.assert_allclose(values, [0, 0] + [1.5] * 4, atol=1e-12)
    assert components.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(eigenvalues(graph(line, 5)), [0] + [1.2] * 5, atol=1e-12)


@pytest.mark.parametrize(
    ("symmetry", "expected"),
    [("mean", [0, 0, 0.8734, 1.5, 1.5, 1.5266, 1.6]), ("max", [0, 0, 1, 1.3333, 1.5, 1.5, 1.6667])],
)
def test_g05_seven_points(symmetry, expected):
    values = eigenvalues(graph(points(0, 1, 2, 3.5, 20, 21, 22.5), 2, symmetry))
    np.testing.assert_allclose(values, expected, atol=6e-5)
    assert near_zero_gap(values, 0.1, 6) == 2


def test_g05_a_smooth_drift():
    values = eigenvalues(graph(points(*range(18)), 2))
    np.testing.assert_allclose(values[:4], [0, 0.0155, 0.0643, 0.1503], atol=6e-5)
    assert near_zero_gap(values, 0.1, 17) == 3
    assert near_zero(values, 0.01, 17) == 1


def test_g05_default_neighbours():
    assert [default_neighbours(n) for n in (0, 1, 2, 3, 40, 129)] == [0, 0, 1, 2, 4, 5]
    assert {default_neighbours(n) for n in range(4, 34)} == {3}


def test_ties_go_to_the_smaller_number_of_clusters():
    assert eigengap(np.array([0, 0.5, 1.0, 1.5 + 1e-12]), 0.1, 3) == 1


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


def test_laplacian_of_a_node_without_links_counts_as_a_component():
    weights = block_diag(blocks(3), [[0.0]])
    assert normalised_laplacian(weights).toarray()[3].tolist() == [0, 0, 0, 0]
    assert near_zero(eigenvalues(weights), 1e-8, 20) == 2


def test_vectors_are_eigenvectors_with_fixed_signs():
    weights = blocks(4, 6)
    weights[1, 5] = weights[5, 1] = 0.3
    weights = block_diag(weights, blocks(3))
    values, vectors, components = spectrum(weights, 6)
    np.testing.assert_allclose(normalised_laplacian(weights) @ vectors, vectors * values, atol=1e-12)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-12)
    assert (vectors[np.abs(vectors).round(9).argmax(axis=0), range(6)] > 0).all()
    assert components.tolist() == [0] * 10 + [1] * 3


@pytest.mark.parametrize("restarts", [300, 1])
@pytest.mark.parametrize("kind", ["groups", "drift"])
def test_large_components_have_the_spectrum_of_the_dense_solver(monkeypatch, kind, restarts):
    rng = np.random.default_rng(2)
    if kind == "groups":
        features = rng.standard_normal((240, 12)) + 1.2 * rng.integers(0, 3, 240)[:, None]
        weights = graph(features, 6)
    else:
        weights = graph(points(*np.arange(240.0)), 2)  # one Lanczos restart is not enough here
    dense = spectrum(weights, 6)
    monkeypatch.setattr(laplacian_module, "DENSE_LIMIT", 20)
    monkeypatch.setattr(laplacian_module, "LANCZOS_RESTARTS", restarts)
    for seed in (0, 1):
        arpack = spectrum(weights, 6, seed=seed)
        np.testing.assert_allclose(arpack[0], dense[0], atol=1e-7)
        np.testing.assert_allclose(np.abs((arpack[1] * dense[1]).sum(0)), 1, atol=1e-5)


def test_a_component_that_is_too_wide_to_factorise_is_solved_roughly(monkeypatch):
    weights = graph(points(*np.arange(300.0)), 2)
    dense = spectrum(weights, 6)[0]
    monkeypatch.setattr(laplacian_module, "DENSE_LIMIT", 20)
    monkeypatch.setattr(laplacian_module, "FACTOR_LIMIT", 300)
    strict = laplacian_module.sparse_linalg.eigsh
    tolerances = []

    def eigsh(matrix, **options):
        tolerances.append(options["tol"])
        if options["tol"] < 1e-6:
            raise laplacian_module.sparse_linalg.ArpackNoConvergence("no", np.empty(0), np.empty((300, 0)))
        return strict(matrix, **options)

    monkeypatch.setattr(laplacian_module.sparse_linalg, "eigsh", eigsh)
    np.testing.assert_allclose(spectrum(weights, 6)[0], dense, atol=1e-8)
    assert tolerances == [1e-8, 1e-5]


@pytest.mark.parametrize("symmetry", ["mean", "max"])
def test_dense_graphs_are_the_sparse_ones(symmetry):
    rng = np.random.default_rng(4)
    for n, k in [(6, 2), (40, 3), (120, 1), (300, 4)]:
        index = nearest_neighbours(rng.standard_normal((n, 3)) + 9 * rng.integers(0, 3, (n, 1)), k)[0]
        sparse, dense = neighbour_graph(index, symmetry), neighbour_graph(index, symmetry, dense=True)
        np.testing.assert_array_equal(dense, sparse.toarray())
        one, other = spectrum(sparse, 12), spectrum(dense, 12)
        np.testing.assert_allclose(one[0], other[0], atol=1e-12)
        np.testing.assert_array_equal(one[2], other[2])
        values, none, _ = spectrum(dense, 12, with_vectors=False)
        np.testing.assert_allclose(values, one[0], atol=1e-12)
        assert none.shape == (n, 0)


def test_components_of_a_chain_and_of_lonely_nodes():
    weights = np.diag(np.ones(199), 1)[:, np.random.default_rng(0).permutation(200)]
    weights = weights + weights.T
    weights[7] = weights[:, 7] = 0
    expected = laplacian_module.csgraph.connected_components(weights, directed=False)[1]
    np.testing.assert_array_equal(spectrum(weights, 3)[2], expected)


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
