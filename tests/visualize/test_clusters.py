"""Figures of clusters: spectrum, mean maps, projections."""

import numpy as np
import pytest

from fer_batch.visualize.clusters import (
    ClusterDecision,
    ClusterMap,
    cluster_figure,
    projection_figure,
)
from fer_batch.visualize.figure import save


def blob(x: float = 0.3, y: float = 0.3, size: int = 28) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] / size
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 0.01)


DECISION = ClusterDecision(
    "AU02",
    (ClusterMap("A", blob(), 8), ClusterMap("B", blob(0.7), 7)),
    (0.0, 0.01, 0.8, 0.9, 1.0),
    "near_zero",
    3,
)


def test_the_spectrum_names_the_chosen_number_of_clusters_and_shows_each(texts_of):
    figure = cluster_figure(DECISION)
    axes = {a.get_label(): a for a in figure.axes}
    assert axes["spectrum"].get_title("left") == "2 clusters"
    assert len(axes["maps"].images) == 4
    text = texts_of(figure)
    assert {"AU02_A", "AU02_B", "8 frames", "7 frames", "gap"} <= set(text)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [((1,), "1 map: one cluster"), ((2,), "2 maps: one cluster"), ((1, 1), "2 maps: 2 clusters"), ((2, 1), None)],
)
def test_fewer_than_three_maps_have_a_sentence_instead_of_a_spectrum(sizes, sentence, texts_of):
    clusters = tuple(ClusterMap(letter, blob(), n) for letter, n in zip("AB", sizes, strict=False))
    figure = cluster_figure(ClusterDecision("AU02", clusters, (0.0, 2.0), "near_zero", 1))
    assert ("spectrum" in {axes.get_label() for axes in figure.axes}) == (sentence is None)
    assert sentence is None or sentence in texts_of(figure)


@pytest.mark.parametrize(
    "decision",
    [
        ClusterDecision("AU02", ()),
        ClusterDecision("AU02", (ClusterMap("A", None, 1),), (), "single"),
        ClusterDecision("AU02", tuple(ClusterMap(c, blob(), 1) for c in "ABCDEFG"), (0.0,) * 7),
        ClusterDecision("AU02", (ClusterMap("A", np.full((4, 4), np.nan), 1),), (0.0, float("nan"))),
    ],
    ids=["nothing", "no map", "more clusters than eigenvalues", "undefined"],
)
def test_awkward_decisions_still_give_a_picture(decision):
    assert save(cluster_figure(decision)).startswith(b"\x89PNG")


def test_the_projection_figure_shows_the_map_and_one_projection_per_share(texts_of):
    figure = projection_figure(blob())
    assert {"relevance", "Top-25 %", "Top-10 %"} <= set(texts_of(figure))
