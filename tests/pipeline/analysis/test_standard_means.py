"""Mean maps of clusters on the standard face."""

import numpy as np

from fer_batch.pipeline.analysis import standard_means as module
from fer_batch.regions import face_maps, standard_face
from fer_batch.regions.face_maps import CANVAS

CROP = 112
POINTS, (HEIGHT, WIDTH) = standard_face()
ROWS, COLUMNS = np.mgrid[:CROP, :CROP]


def standard_means(maps, landmarks, labels, crop):
    return module.standard_means(face_maps(maps, landmarks, (crop, crop)), maps, labels)


def moved(dx, dy, scale=1.0):
    """The standard face somewhere in a crop."""
    return (POINTS - [WIDTH / 2, HEIGHT / 2]) * 0.35 * scale + [CROP / 2 + dx, CROP / 2 + dy]


def at_mouth(landmarks, size=6.0):
    x, y = landmarks[48:68].mean(axis=0)
    return np.exp(-((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / (2 * size**2))


def test_the_same_place_is_the_same_wherever_the_face_is():
    faces = np.stack([moved(0, 0), moved(9, -7), moved(-8, 6, 1.15), moved(4, 4)])
    maps = np.stack([at_mouth(face) for face in faces]) * np.array([1, 1e4, 1e-4, 1])[:, None, None]
    found = standard_means(maps.astype(np.float32), faces.astype(np.float32), np.array([0, 1, 0, -1]), CROP)
    assert found.shape == (2, *CANVAS)
    assert found.dtype == np.float32
    one, other = (mean.ravel() / np.linalg.norm(mean) for mean in found)
    assert one @ other > 0.98
    each = face_maps(maps[:3], faces[:3], (CROP, CROP)) / np.abs(maps[:3]).sum((1, 2), keepdims=True)
    np.testing.assert_allclose(found[0], each[[0, 2]].mean(0), rtol=1e-5, atol=1e-9)


def test_frames_without_landmarks_are_left_out_and_a_cluster_of_them_has_no_mean():
    faces = np.stack([moved(0, 0), moved(5, 0), np.full((68, 2), np.nan)]).astype(np.float32)
    maps = np.stack([at_mouth(moved(0, 0)), at_mouth(moved(5, 0)), -at_mouth(moved(0, 0))]).astype(np.float32)
    whole = standard_means(maps, faces, np.array([0, 0, 0]), CROP)
    np.testing.assert_array_equal(whole, standard_means(maps[:2], faces[:2], np.array([0, 0]), CROP))
    assert np.isnan(standard_means(maps, faces, np.array([0, 0, 1]), CROP)[1]).all()
    assert standard_means(maps, faces, np.array([-1, -1, -1]), CROP).shape == (0, *CANVAS)


def test_small_maps_are_scaled_to_their_crop():
    faces = moved(3, 2)[None].astype(np.float32)
    large = at_mouth(moved(3, 2))[None].astype(np.float32)
    small = large.reshape(1, 14, 8, 14, 8).mean((2, 4))
    one, other = (standard_means(maps, faces, np.array([0]), CROP)[0].ravel() for maps in (large, small))
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.97
