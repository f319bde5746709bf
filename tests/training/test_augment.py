"""Crops and photometric augmentation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.media.align import crop, crop_matrix, face_box
from fer_batch.training.augment import jittered_crop, landmark_crop, photometric, recompressed


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    centre=st.tuples(st.floats(40, 200), st.floats(40, 200)),
    spread=st.floats(10, 80),
    margin=st.floats(0, 0.5),
)
def test_a_training_crop_is_the_crop_of_the_pipeline(seed, centre, spread, margin):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (240, 240, 3), dtype=np.uint8)
    landmarks = rng.uniform(-1, 1, (68, 2)) * spread + centre
    expected = crop(image, crop_matrix(face_box(landmarks), 112, margin), 112)
    got = landmark_crop(image, landmarks, 112, margin)
    assert np.abs(got.astype(int) - expected).max() <= 1  # one rounding of the fixed-point warp


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


def test_augmentation_is_reproducible_and_stays_in_range():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (120, 120, 3), dtype=np.uint8)
    landmarks = rng.uniform(30, 90, (68, 2))
    one, two = (jittered_crop(image, landmarks, 112, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert np.abs(recompressed(image, np.random.default_rng(1)).astype(int) - image).mean() > 1
    batch = torch.rand(4, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    first, second = (photometric(batch, torch.Generator().manual_seed(1)) for _ in range(2))
    torch.testing.assert_close(first, second)
    assert first.min() >= 0
    assert first.max() <= 1
    assert (first - batch).abs().mean() > 0.02
