"""Maps of a sequence on a small standard face."""

import cv2
import numpy as np
import pytest

from fer_batch.regions import StandardWarp, face_maps, standard_face

CROP = (112, 112)


def faces(n, seed=0):
    """Landmarks of a face that moves and changes a little, in a crop."""
    points, (height, width) = standard_face()
    rng = np.random.default_rng(seed)
    placed = points * [80 / width, 92 / height] + [16, 12] + rng.normal(0, 2, (n, 1, 2))
    return placed + rng.normal(0, 0.6, (n, 68, 2))


@pytest.mark.parametrize(("side", "canvas"), [(112, (35, 28)), (224, (35, 28)), (28, (69, 56)), (7, (35, 28))])
def test_they_are_what_the_warp_makes_of_averaged_maps(side, canvas):
    landmarks = faces(5)
    maps = np.random.default_rng(1).standard_normal((5, side, side)).astype(np.float32)
    small = min(side, canvas[1])
    averaged = np.stack([cv2.resize(m, (small, small), interpolation=cv2.INTER_AREA) for m in maps])
    expected = StandardWarp(canvas, sampling="bilinear")(averaged, landmarks, CROP).values
    found = face_maps(maps, landmarks, CROP, canvas)
    assert found.shape == (5, *canvas)
    assert found.dtype == np.float32
    inside = expected != 0  # the warp has 0 beyond the crop, where this repeats the last pixel
    assert inside.mean() > 0.95
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4)


def test_a_head_that_moves_leaves_no_trace():
    points = faces(1)
    shift = np.array([[9.0, -5.0]])
    rows, columns = np.mgrid[:112, :112]

    def spot(landmarks):
        x, y = landmarks[48]  # a corner of the mouth
        return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 50)

    maps = np.stack([spot(points[0]), spot(points[0] + shift[0])])
    still, moved = face_maps(maps, np.concatenate([points, points + shift]), CROP)
    assert np.abs(still - moved).sum() < 0.1 * np.abs(still).sum()
    assert np.abs(maps[0] - maps[1]).sum() > np.abs(maps[0]).sum(), "in the crop they hardly overlap"


def test_without_a_face_or_without_a_finite_map_there_is_none():
    landmarks = faces(4)
    landmarks[1] = np.nan
    maps = np.ones((4, 112, 112), np.float32)
    maps[2, 0, 0] = np.nan
    found = face_maps(maps, landmarks, CROP)
    assert np.isnan(found).all(axis=(1, 2)).tolist() == [False, True, True, False]
    assert np.allclose(found[0], 1) and np.allclose(found[3], 1)
    assert face_maps(maps[:0], landmarks[:0], CROP).shape == (0, 35, 28)


def test_sums_of_averaged_maps_are_kept_and_colours_are_refused():
    landmarks = faces(3)
    rows, columns = np.mgrid[:112, :112]
    maps = np.stack([np.exp(-((rows - 60) ** 2 + (columns - 56) ** 2) / w) for w in (200, 300, 400)])
    small = [cv2.resize(m, (28, 28), interpolation=cv2.INTER_AREA).sum() for m in maps]
    found = StandardWarp((138, 112), "averaged", "sums")(maps, landmarks, CROP).values
    whole = [m.sum() for m in maps]  # 112 across: nothing is averaged
    np.testing.assert_allclose(found.sum((1, 2)), whole, rtol=0.01)
    found = StandardWarp((35, 28), "averaged", "sums", oversampling=4)(maps, landmarks, CROP).values
    np.testing.assert_allclose(found.sum((1, 2)), small, rtol=0.01)
    with pytest.raises(ValueError, match=r"averaged are maps \(n, h, w\), got \(3, 112, 112, 3\)"):
        StandardWarp(sampling="averaged")(np.ones((3, 112, 112, 3)), landmarks, CROP)


def test_one_set_of_landmarks_a_map():
    with pytest.raises(ValueError, match=r"expected maps .* got \(3, 112, 112\) and \(2, 68, 2\)"):
        face_maps(np.ones((3, 112, 112), np.float32), faces(2), CROP)
