"""Crops in, probabilities out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fer_batch.models.card import Preprocessing
from fer_batch.models.preprocess import preprocess


def test_pixels_are_scaled_then_standardised_per_channel():
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[..., 0], image[..., 2] = 255, 51
    x = preprocess(image, Preprocessing(size=2, mean=(0.5, 0.0, 0.2), std=(0.25, 1.0, 0.1)))
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x[0, :, 0, 0], [2.0, 0.0, 0.0], atol=1e-6)


def test_crops_of_another_size_are_resized_without_shift():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    x = preprocess(image, Preprocessing(size=48))
    assert x.shape == (2, 3, 48, 48)
    turned = preprocess(image[:, ::-1, ::-1].copy(), Preprocessing(size=48))
    torch.testing.assert_close(turned.flip(2, 3), x, rtol=0, atol=1e-6)
    np.testing.assert_allclose(x.mean((2, 3)), image.mean((1, 2)) / 255, atol=2e-3)


def test_read_only_and_flipped_images_are_taken(recwarn):
    image = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    image.flags.writeable = False
    rgb = preprocess(image, Preprocessing(size=4))
    torch.testing.assert_close(preprocess(image[..., ::-1], Preprocessing(size=4)), rgb.flip(1))
    assert not recwarn.list


def test_gray_is_the_luminance_three_times():
    image = np.array([[[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]], np.uint8)
    x = preprocess(image, Preprocessing(size=2, color="gray"))
    np.testing.assert_allclose(x[0, 0], [[0.299, 0.587], [0.114, 1.0]], atol=1e-6)
    torch.testing.assert_close(x[:, 0], x[:, 1])
    torch.testing.assert_close(x[:, 0], x[:, 2])


def test_a_network_of_caffe_gets_its_own_order_of_channels_and_pixels_from_0_to_255():
    image = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    caffe = (93.594, 104.762, 129.186)  # of blue, green and red, as the model's own code takes them off
    how = Preprocessing(size=8, color="bgr", mean=tuple(v / 255 for v in caffe), std=(1 / 255,) * 3)
    expected = image[..., ::-1].transpose(0, 3, 1, 2).astype(np.float64) - np.array(caffe)[:, None, None]
    np.testing.assert_allclose(preprocess(image, how), expected, atol=1e-3)


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 2, 2, 3)), np.zeros((2, 2, 3), np.uint8), np.zeros((1, 3, 2, 2), np.uint8)]
)
def test_anything_but_uint8_rgb_is_refused(wrong):
    with pytest.raises(ValueError, match="expected uint8 images"):
        preprocess(wrong, Preprocessing())
