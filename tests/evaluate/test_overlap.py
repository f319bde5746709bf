"""Golden example G-15, and what its functions do at their edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fer_batch.evaluate.overlap import foreground, otsu_threshold, overlap, stretched


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


@given(arrays(np.uint8, st.integers(2, 40)))
def test_otsu_leaves_least_variance_within(grey):
    def within(threshold):
        parts = grey[grey > threshold], grey[grey <= threshold]
        return sum(part.var() * len(part) for part in parts if len(part))

    best = min(within(t) for t in range(int(grey.min()), int(grey.max()) + 1))
    assert within(otsu_threshold(grey)) == pytest.approx(best, abs=1e-6 * max(1, best))
