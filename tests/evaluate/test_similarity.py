"""How alike maps are: correlation, dendrogram, pooled mean (methods G-15)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import linkage

from fer_batch.evaluate.similarity import correlation_distances, correlations, dendrogram, pooled_mean


def as_maps(*rows):
    return np.array(rows, dtype=float)[:, None, :]


def test_g15_dendrogram():
    tree = dendrogram(as_maps([1, 2, 3, 4], [2, 4, 6, 8], [4, 3, 2, 1], [4, 3, 2, 1.5]))
    np.testing.assert_allclose(tree.heights[0], 0, atol=1e-12)
    assert tree.merges[0] == ((0,), (1,))
    assert tree.merges[-1] == ((0, 1), (2, 3))
    assert tree.highest_within([2, 3]) == tree.heights[1]
    assert np.isnan(tree.highest_within([1, 2]))
    assert tree.separates([0, 1]) and tree.separates([2, 3])
    assert not tree.separates([0]) and not tree.separates([0, 2]) and not tree.separates(range(4))
    alone = dendrogram(as_maps([1, 2, 3, 4]))
    assert alone.heights.shape == (0,) and not alone.separates([0])
    with pytest.raises(ValueError, match="defined correlation"):
        dendrogram(as_maps([1, 2], [3, 3]))


def test_g15_correlation_distances():
    maps = as_maps([1, 2, 3, 4], [2, 4, 6, 8], [4, 3, 2, 1])
    np.testing.assert_allclose(correlation_distances(maps, centred=False), [0, 1 / 3, 1 / 3], atol=1e-12)
    np.testing.assert_allclose(correlation_distances(maps), [0, 2, 2], atol=1e-12)
    assert linkage(correlation_distances(maps), "average").shape == (2, 4)


def test_g15_the_inverse_image():
    a = np.arange(0, 251, 50.0)
    maps = as_maps(a, 255 - a)
    assert correlations(maps, centred=False)[0, 1] == pytest.approx(0.380468, abs=5e-7)
    assert correlations(maps)[0, 1] == pytest.approx(-1)


def test_g15_pooled_mean():
    assert pooled_mean([[1, 0, 0], [0.5]]) == pytest.approx(0.375)
    np.testing.assert_allclose(pooled_mean([np.ones((3, 2, 2)), np.zeros((1, 2, 2))]), np.full((2, 2), 0.75))
    assert np.isnan(pooled_mean([np.zeros((0, 2, 2))])).all()
    with pytest.raises(ValueError, match="one shape"):
        pooled_mean([np.zeros((1, 2)), np.zeros((1, 3))])


@given(arrays(np.float64, (3, 2, 4), elements=st.floats(-10, 10).map(lambda v: round(v, 3))), st.floats(0.01, 100))
def test_correlation_does_not_know_scale(maps, scale):
    found = correlations(maps)
    np.testing.assert_allclose(correlations(maps * scale), found, atol=1e-6)
    np.testing.assert_allclose(found, found.T)


def test_the_correlation_with_a_constant_or_undefined_map_is_undefined():
    found = correlations(as_maps([0.1, 0.1, 0.1], [1, 2, 4], [0, np.nan, 1]))
    assert np.isnan(found[[0, 2]]).all()
    assert found[1, 1] == pytest.approx(1)
