"""The spectral part against CoRelAy: stored results everywhere, the package itself where it is installed."""

import importlib.util
import runpy
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from fer_batch.spray import cluster
from fer_batch.spray.affinity import nearest_neighbours, neighbour_graph
from fer_batch.spray.embedding import embedding
from fer_batch.spray.features import features
from fer_batch.spray.k_means import k_means
from fer_batch.spray.laplacian import spectrum

MAKER = runpy.run_path(str(Path(__file__).with_name("make_corelay_figures.py")))
SOURCES = [
    "stored",
    pytest.param(
        "live",
        marks=pytest.mark.skipif(importlib.util.find_spec("corelay") is None, reason="CoRelAy is not installed"),
    ),
]


def maps_of(number):
    n, _, n_groups, apart = MAKER["CASES"][number]
    return MAKER["case_maps"](n, n_groups, apart)


def theirs(source, number):
    _, k, n_groups, _ = MAKER["CASES"][number]
    if source == "live":
        return MAKER["corelay_results"](MAKER["unit_mass"](maps_of(number)), k, n_groups)
    with np.load(MAKER["FIGURES"], allow_pickle=False) as stored:
        return {name: stored[f"{name}_{number}"] for name in ("links", "weights", "eigenvalues", "embedding", "labels")}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("number", range(len(MAKER["CASES"])))
def test_graph_spectrum_embedding_and_clusters_are_corelays(source, number):
    n, k, n_groups, _ = MAKER["CASES"][number]
    expected = theirs(source, number)
    affinity = np.zeros((n, n))
    affinity[tuple(expected["links"])] = expected["weights"]
    rows, _ = features(maps_of(number))
    graph = neighbour_graph(nearest_neighbours(rows, k)[0])
    np.testing.assert_array_equal(graph.toarray(), affinity)

    values, vectors, _ = spectrum(graph, n_groups)
    np.testing.assert_allclose(values, expected["eigenvalues"], atol=1e-9)
    # Signs and the basis of equal eigenvalues are free; the angles between maps are not.
    points = embedding(vectors, n_groups)
    np.testing.assert_allclose(points @ points.T, expected["embedding"] @ expected["embedding"].T, atol=1e-6)
    assert adjusted_rand_score(k_means(points, n_groups), expected["labels"]) == 1


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("number", range(len(MAKER["CASES"])))
def test_clusters_of_maps_in_any_order_are_corelays(source, number):
    """From the maps on; CoRelAy is given how many groups there are, `cluster` gets the same number as a bound."""
    n, k, n_groups, _ = MAKER["CASES"][number]
    order = np.random.default_rng(number).permutation(n)
    found = cluster(maps_of(number)[order], n_neighbors=k, rule="near_zero", tau=1.0, max_clusters=n_groups)
    assert adjusted_rand_score(found.labels, theirs(source, number)["labels"][order]) == 1
