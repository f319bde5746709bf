import numpy as np
import pytest

from fer_batch.pipeline.analysis.standard_faces import evidence, warped
from fer_batch.regions import standard_face


def test_lime_weights_of_the_paper_are_summed_as_they_are_g14():
    """Weights (.5, -.3, 0) are .5, 0, 0; nothing is stretched."""
    maps = np.array([[[0.5, -0.3, 0.0]]], np.float32)
    np.testing.assert_array_equal(evidence(maps, "none"), np.array([[[0.5, 0, 0]]], np.float32))
    np.testing.assert_array_equal(evidence(maps, "max"), [[[1, 0, 0]]])
    assert np.isnan(evidence(np.array([[[np.nan, 1.0]]], np.float32), "max")).all()
    assert (evidence(np.full((1, 1, 2), -1, np.float32), "max") == 0).all()


@pytest.mark.parametrize("broken", ["map", "landmarks"])
def test_what_is_undefined_is_left_out_and_disturbs_no_other(broken):
    points, (height, width) = standard_face()
    faces = np.stack([points, points]).astype(np.float32)
    maps = np.ones((2, height, width), np.float32)
    (maps if broken == "map" else faces)[1] = np.nan
    # landmarks are in a crop that is the canvas, stretched to a square
    values, defined = warped(maps, faces * (275 / width, 1), 275)
    assert defined.tolist() == [True, False]
    assert (values[0] == 1).all()
