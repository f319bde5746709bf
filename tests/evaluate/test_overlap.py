"""Golden example G-15, and what its functions do at their edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import linkage

from fer_batch.evaluate.overlap import foreground, otsu_threshold, overlap, stretched
from fer_batch.evaluate.published_heatmaps import EXPRESSIONS, IOU, published_iou
from fer_batch.evaluate.similarity import correlation_distances, correlations, dendrogram, pooled_mean


def as_maps(*rows):
    return np.array(rows, dtype=float)[:, None, :]


def test_g15_iou_of_shifted_squares():
    one, other = np.zeros((2, 1, 4, 4), bool)
    one[0, :2, :2] = True
    other[0, :2, 1:3] = True
    found = overlap(one, other)
    assert found.iou[0] == pytest.approx(2 / 6)
    assert (found.precision[0], found.recall[0], found.f1[0]) == (0.5, 0.5, 0.5)


def test_g15_otsu():
    grey = np.array([10, 10, 10, 200, 200], np.uint8)
    assert (grey > otsu_threshold(grey)).tolist() == [False, False, False, True, True]
    assert otsu_threshold(np.array([0, 0, 50, 60, 70, 200, 210, 255], np.uint8)) == 70


def test_g15_stretch_truncates():
    heatmap = np.array([0, 0.25, 1, 0.75])
    assert stretched(heatmap).tolist() == [0, 63, 255, 191]
    assert foreground(heatmap).tolist() == [False, False, True, True]


def test_an_8_bit_map_is_thresholded_as_it_is():
    grey = np.array([47, 130, 121, 13, 137, 117, 154, 88, 172, 159, 116], np.uint8)
    assert otsu_threshold(grey) == 88
    assert (foreground(grey) == (grey > 88)).all()
    assert foreground(grey.astype(float))[7], "stretched to 0 to 255 first, 88 is above the threshold"


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


@pytest.mark.parametrize(
    ("network", "row"),
    [("resnet50", "ResNet50"), ("MobileNetV3Large", "MobileNetV3"), ("vgg_16", "VGG16"), ("VGG", None)],
)
def test_printed_rows_are_found_by_the_networks_name(network, row):
    assert published_iou(network) == (IOU[row] if row else None)


def test_printed_means_are_those_of_the_printed_rows():
    means = [round(float(np.mean([IOU[name][e] for name in IOU])), 4) for e in EXPRESSIONS]
    assert means == [0.2337, 0.4820, 0.2037, 0.1963, 0.2458, 0.2600]


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


def test_what_has_no_pixels_is_undefined():
    none, some = np.zeros((1, 2, 2), bool), np.ones((1, 2, 2), bool)
    assert np.isnan(overlap(none, none).iou[0])
    assert overlap(none, some).iou[0] == overlap(none, some).recall[0] == 0
    assert np.isnan(overlap(none, some).precision[0])
    with pytest.raises(ValueError, match="one shape"):
        overlap(none, np.zeros((1, 3, 2), bool))


def test_constant_and_undefined_maps():
    assert not foreground(np.full((3, 3), 0.7)).any()
    assert stretched(np.empty((0,))).shape == (0,)
    with pytest.raises(ValueError, match="finite"):
        stretched(np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match="8-bit"):
        otsu_threshold(np.array([0.0, 1.0]))
    found = correlations(as_maps([0.1, 0.1, 0.1], [1, 2, 4], [0, np.nan, 1]))
    assert np.isnan(found[[0, 2]]).all()
    assert found[1, 1] == pytest.approx(1)


@given(arrays(np.uint8, st.integers(2, 40)))
def test_otsu_leaves_least_variance_within(grey):
    def within(threshold):
        parts = grey[grey > threshold], grey[grey <= threshold]
        return sum(part.var() * len(part) for part in parts if len(part))

    best = min(within(t) for t in range(int(grey.min()), int(grey.max()) + 1))
    assert within(otsu_threshold(grey)) == pytest.approx(best, abs=1e-6 * max(1, best))


@given(arrays(np.float64, (3, 2, 4), elements=st.floats(-10, 10).map(lambda v: round(v, 3))), st.floats(0.01, 100))
def test_correlation_does_not_know_scale(maps, scale):
    found = correlations(maps)
    np.testing.assert_allclose(correlations(maps * scale), found, atol=1e-6)
    np.testing.assert_allclose(found, found.T)
