"""How many clusters a spectrum has, against hand-worked numbers (methods G-05)."""

import numpy as np
import pytest
from scipy.linalg import block_diag

from fer_batch.spray.affinity import nearest_neighbours, neighbour_graph
from fer_batch.spray.laplacian import spectrum
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


def test_ties_go_to_the_smaller_number_of_clusters():
    assert eigengap(np.array([0, 0.5, 1.0, 1.5 + 1e-12]), 0.1, 3) == 1
