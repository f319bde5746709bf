"""The layout of a spectrum, worked by hand."""

import pytest

from fer_batch.visualize.spectrum_layout import ClusterDecision, ClusterMap, spectrum_layout


@pytest.mark.parametrize(
    ("n_clusters", "values", "gap", "title"),
    [
        (2, (0.0, 0.1, 0.6), (0.1, 0.6), "2 clusters"),
        (1, (0.0,), None, "1 cluster"),
        (0, (), None, "0 clusters"),
        (1, (0.0, float("nan"), 0.3), (0.0, 0.3), "1 cluster"),
    ],
)
def test_a_spectrum_by_hand(n_clusters, values, gap, title):
    clusters = tuple(ClusterMap(letter, None, 3) for letter in "ABC"[:n_clusters])
    plan = spectrum_layout(ClusterDecision("AU01", clusters, values, "eigengap", 3))
    assert (plan.gap, plan.title, plan.details) == (gap, title, "eigengap, k = 3")
