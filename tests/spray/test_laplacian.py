"""Spectra of the normalised Laplacian: dense, sparse and by component."""

import numpy as np
import pytest
from scipy.linalg import block_diag

from fer_batch.spray import laplacian as laplacian_module
from fer_batch.spray.affinity import (
    nearest_neighbours,
    neighbour_graph,
)
from fer_batch.spray.laplacian import normalised_laplacian, spectrum
from fer_batch.spray.rules import near_zero


def blocks(*sizes, loops=False):
    weights = block_diag(*[np.ones((size, size)) for size in sizes])
    return weights if loops else weights - np.eye(len(weights))


def eigenvalues(weights):
    return spectrum(weights, 100)[0]


def points(*values):
    return np.array(values, dtype=float)[:, None]


def graph(features, k, symmetry="mean"):
    return neighbour_graph(nearest_neighbours(features, k)[0], symmetry)


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
