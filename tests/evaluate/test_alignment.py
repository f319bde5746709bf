"""ATT-COS, CAM-COS and their table (E-4, E-5, the evaluation part of G-12)."""

import numpy as np
import pytest

from fer_batch.evaluate.alignment import (
    alignment_table,
    attention_cosines,
    cam_cosines,
    constant_baseline,
    map_cosines,
)

IDENTITY = np.eye(2)[None]
SIGNED = np.array([[[-1.0, 0.0], [1.0, 2.0]]])


def test_g12_attention_is_raised_to_0():
    assert map_cosines(SIGNED, IDENTITY)[0] == pytest.approx(0.288675, abs=1e-6)
    assert attention_cosines(SIGNED, IDENTITY)[0] == pytest.approx(0.566947, abs=1e-6)
    positive = np.array([[[2.0, 1.0], [2.0, 2.0]]])
    assert attention_cosines(positive, IDENTITY)[0] == pytest.approx(0.784465, abs=1e-6)  # is left as it is
    assert constant_baseline(IDENTITY)[0] == pytest.approx(0.707107, abs=1e-6)


def test_class_maps_are_stretched_whatever_their_unit():
    cam = np.array([[[5.0, 3.0], [3.0, 7.0]]])  # stretched: .5 0 0 1
    assert cam_cosines(cam, IDENTITY)[0] == pytest.approx(1.5 / np.sqrt(1.25 * 2))
    np.testing.assert_allclose(cam_cosines(-4 + 9 * cam, IDENTITY), cam_cosines(cam, IDENTITY))


def test_maps_are_compared_at_the_size_of_where_to_look():
    rng = np.random.default_rng(0)
    maps, small = rng.random((3, 12, 8)), rng.random((3, 3, 2))
    from scipy.ndimage import zoom

    large = np.stack([zoom(one, 4, order=1, grid_mode=True, mode="nearest") for one in small])
    np.testing.assert_allclose(map_cosines(small, maps), map_cosines(large, maps), rtol=1e-9)
    # the least value is that of the layer, not of what is between its pixels
    dip = np.array([[[0.0, -1.0], [0.0, 0.0]]])
    raised = dip + 1
    np.testing.assert_allclose(attention_cosines(dip, maps[:1]), map_cosines(raised, maps[:1]))


def test_without_a_map_nothing_is_said_and_without_a_finding_0():
    maps = np.stack([np.eye(4), np.full((4, 4), np.inf), np.eye(4), np.eye(4)])
    found = np.stack([np.zeros((2, 2)), np.eye(2), np.full((2, 2), np.nan), np.full((2, 2), np.inf)])
    for cosines in (attention_cosines(found, maps), cam_cosines(found, maps)):
        np.testing.assert_array_equal(cosines, [0, np.nan, 0, 0])
    np.testing.assert_array_equal(np.isnan(constant_baseline(maps)), [False, True, False, False])
    assert cam_cosines(np.full((1, 2, 2), 3.0), maps[:1])[0] == 0  # a constant class map says nothing


def test_class_rows_are_means_and_the_macro_mean_counts_each_class_once():
    labels = ["fear", "fear", "fear", "happiness", "neutral", "sadness"]
    layer = np.array([0.2, 0.4, 0.9, 0.1, np.nan, np.nan])
    cam = np.array([0.6, 0.6, 0.0, 0.3, np.nan, np.nan])
    table = alignment_table({"layer4": layer, "CAM": cam}, labels, ("neutral", "fear", "happiness"))
    np.testing.assert_allclose(table.mean, [[np.nan, np.nan], [0.5, 0.4], [0.1, 0.3]])
    np.testing.assert_allclose(table.macro, [0.3, 0.35])  # over samples it would be .4 and .375
    assert table.n.tolist() == [0, 3, 1] and table.columns == ("layer4", "CAM")
    assert np.isnan(alignment_table({"CAM": cam}, labels, ("neutral",)).macro).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="different samples"):
        alignment_table({"a": [0.1, np.nan], "b": [0.1, 0.2]}, ["fear", "fear"], ["fear"])
    with pytest.raises(ValueError, match="cosines of 2 samples by layer, got"):
        alignment_table({"a": [0.1]}, ["fear", "fear"], ["fear"])
    with pytest.raises(ValueError, match=r"got \(1, 2, 2\) and \(2, 2, 2\)"):
        map_cosines(SIGNED, np.ones((2, 2, 2)))
