"""Channels are centred by the training part, and by nothing else."""

import numpy as np
import pytest
import torch

from fer_batch.models.card import Preprocessing, TrainPreprocessing
from fer_batch.models.preprocess import preprocess
from fer_batch.training.centring import channel_statistics, measured


def crops(n=30, size=20, seed=0):
    rng = np.random.default_rng(seed)
    tint = rng.uniform(0.2, 1, (n, 1, 1, 3))
    return (rng.integers(0, 256, (n, size, size, 3)) * tint).astype(np.uint8)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("size", "color"), [(20, "rgb"), (14, "rgb"), (14, "bgr"), (16, "gray")])
def test_channel_means_of_the_training_part_are_zero_and_deviations_one(size, color, seed):
    images, rows = crops(seed=seed), np.arange(0, 30, 2)
    how = TrainPreprocessing(size=size, color=color, mean="train", std="train")
    found = measured(how, images, rows)
    x = preprocess(images[rows], found).double()
    assert x.mean((0, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(x.std((0, 2, 3), correction=0), torch.ones(3, dtype=torch.float64), atol=1e-4, rtol=0)
    others = preprocess(np.delete(images, rows, 0), found).double()
    assert others.mean((0, 2, 3)).abs().max() > 1e-3  # which a mean of all crops would not leave so
    assert Preprocessing.model_validate_json(found.model_dump_json()) == found


def test_statistics_are_those_of_all_pixels_however_they_are_batched():
    images = crops(11)
    plain = Preprocessing(size=20)
    mean, std = channel_statistics(images, np.arange(11), plain, batch_size=4)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), atol=1e-7)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), atol=1e-7)
    with pytest.raises(ValueError, match="at least one crop"):
        channel_statistics(images, np.arange(0), plain)


def test_numbers_of_the_job_are_kept_and_what_cannot_be_divided_by_is_refused():
    images = crops(4)
    half = measured(TrainPreprocessing(size=20, mean="train", std=(0.5, 0.25, 0.125)), images, np.arange(4))
    assert half.std == (0.5, 0.25, 0.125) and min(half.mean) > 0
    fixed = TrainPreprocessing(size=20, mean=(0.1, 0.2, 0.3))
    assert not fixed.measured
    assert measured(fixed, images, np.arange(4)) == Preprocessing(size=20, mean=(0.1, 0.2, 0.3))
    with pytest.raises(ValueError, match="one colour everywhere"):
        measured(TrainPreprocessing(size=20, std="train"), np.full((2, 20, 20, 3), 9, np.uint8), np.arange(2))
