"""Crops about landmarks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.media.align import apply_affine, crop, crop_matrix, face_box
from fer_batch.training.cutting import cropped_landmarks, jittered_crop, landmark_crop, recompressed


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    centre=st.tuples(st.floats(40, 200), st.floats(40, 200)),
    spread=st.floats(10, 80),
    margin=st.floats(0, 0.5),
)
def test_a_training_crop_is_the_crop_of_the_pipeline(seed, centre, spread, margin):
    rng = np.random.default_rng(seed)
    image = np.kron(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), np.ones((20, 20, 1), np.uint8))
    landmarks = rng.uniform(-1, 1, (68, 2)) * spread + centre
    matrix = crop_matrix(face_box(landmarks), 112, margin)
    got = landmark_crop(image, landmarks, 112, margin)
    difference = np.abs(got.astype(int) - crop(image, matrix, 112))
    assert difference.max() <= 1 or matrix[0, 0] < 1  # one rounding of the fixed-point warp
    assert difference.mean() < 6  # a crop that shrinks begins at a whole source pixel there


def test_shift_and_rotation_move_the_picture_about_the_centre():
    image = np.zeros((101, 101, 3), np.uint8)
    image[48:53, 68:73] = 255  # right of the centre
    landmarks = np.array([[30.0, 30.0], [70.0, 70.0]])
    plain = landmark_crop(image, landmarks, 100, margin=0.2)
    turned = landmark_crop(image, landmarks, 100, margin=0.2, rotation=90)
    shifted = landmark_crop(image, landmarks, 100, margin=0.2, shift=(0.1, 0.0))
    x, y = (np.average(np.arange(100), weights=plain[..., 0].sum(axis)) for axis in (0, 1))
    assert x > 80
    assert y == pytest.approx(49.5, abs=0.6)
    assert np.average(np.arange(100), weights=turned[..., 0].sum(1)) == pytest.approx(x, abs=0.6)  # now below
    assert np.average(np.arange(100), weights=shifted[..., 0].sum(0)) == pytest.approx(x - 10, abs=0.6)


def test_a_jittered_crop_repeats_itself_and_its_landmarks_are_where_they_were():
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(60, 140, (68, 2))
    image = np.zeros((200, 200, 3), np.uint8)
    for x, y in np.round(landmarks[[3, 40]]).astype(int):
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    (one, where), (two, _) = (jittered_crop(image, landmarks, 112, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    seen = np.argwhere(one[..., 0] > 100)[:, ::-1]
    near = np.linalg.norm(seen[:, None] - where[[3, 40]], axis=2)
    assert near.min(1).max() < 4 and near.min(0).max() < 1.5
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.abs(recompressed(noise, np.random.default_rng(1)).astype(int) - noise).mean() > 1
    matrix = crop_matrix(face_box(landmarks), 112)
    np.testing.assert_allclose(
        cropped_landmarks(landmarks, 112), apply_affine(matrix, landmarks), atol=1
    )  # whose box is of whole pixels
