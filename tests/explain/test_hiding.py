"""Hidden pictures and the scores of distinct ones."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from fer_batch.explain.hiding import Perturbation, Pictures, scores_of_sets
from fer_batch.types import InputError


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 3, 8, 10), dtype=np.float32)


class Counting(nn.Module):
    """Mean of each channel; notes the pictures it is shown."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.eval()

    def forward(self, x):
        self.seen.append(x.clone())
        return x.mean((2, 3))


def test_what_hidden_pixels_show(images):
    black = Perturbation(hide="black", mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3)).replacement(images)
    np.testing.assert_allclose(black[1, :, 4, 4], [-5, -2, -1], rtol=1e-6)
    mean = Perturbation(hide="mean").replacement(images)
    np.testing.assert_allclose(mean[2, :, 0, 0], images[2].mean((1, 2)), rtol=1e-6)
    blurred = Perturbation(hide="blur", blur=0.1).replacement(images)
    np.testing.assert_allclose(blurred[0, 1], gaussian_filter(images[0, 1], 1.0, mode="nearest"), rtol=1e-5)
    one, each = images[0], images[::-1]
    np.testing.assert_array_equal(Perturbation(hide=one).replacement(images)[2], one)
    np.testing.assert_array_equal(Perturbation(hide=each).replacement(images[1:], first=1), each[1:])


def test_impossible_options_are_refused(images):
    with pytest.raises(InputError, match="black, mean or blur"):
        Perturbation(hide="white")
    with pytest.raises(InputError, match="softmax, sigmoid or logit"):
        Perturbation(output="probability")
    with pytest.raises(InputError, match="batch_size"):
        Perturbation(batch_size=0)
    with pytest.raises(InputError, match="positive share"):
        Perturbation(blur=0)
    with pytest.raises(InputError, match="one per image"):
        Perturbation(hide=images[:2]).replacement(images)


@pytest.mark.parametrize(("output", "read"), [("softmax", lambda z: z.softmax(1)), ("sigmoid", torch.sigmoid)])
def test_scores_of_masks(images, output, read):
    hidden = np.random.default_rng(1).random((7, 8, 10)) < 0.5
    owner = np.array([0, 0, 1, 2, 2, 2, 2])
    pictures = Pictures(Counting(), images, np.array([2, 0, 1]), Perturbation("black", output, batch_size=3))
    shown = np.where(hidden[:, None], 0, images[owner])
    expected = read(torch.from_numpy(shown.mean((2, 3))).double())[np.arange(7), [2, 2, 0, 1, 1, 1, 1]]
    np.testing.assert_allclose(pictures.scores_of_masks(owner, hidden), expected, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_each_distinct_picture_runs_once(images, batch_size):
    labels = np.tile(np.arange(10) // 3 - 1, (3, 8, 1))  # -1, 0, 1, 2
    removed = np.random.default_rng(2).random((6, 3, 5, 3)) < 0.5
    model = Counting()
    options = Perturbation("black", "logit", batch_size=batch_size)
    found = scores_of_sets(model, images, np.array([0, 1, 2]), labels, removed, options)
    hidden = removed[..., np.tile(np.arange(10) // 3 - 1, (8, 1))] & (labels[0] >= 0)
    for i in range(3):
        shown = np.where(hidden[:, i], 0, images[i, i])
        np.testing.assert_allclose(found[:, i], shown.mean((2, 3)), rtol=1e-5)
    n_distinct = sum(len(np.unique(removed[:, i].reshape(-1, 3), axis=0)) for i in range(3))
    assert sum(map(len, model.seen)) == n_distinct < 90
    assert max(map(len, model.seen)) <= batch_size


def test_a_network_in_training_mode_is_refused(images):
    with pytest.raises(ValueError, match="training mode"):
        Pictures(nn.Sequential(Counting(), nn.Dropout()).train(), images, np.zeros(3, np.int64), Perturbation())


def test_a_network_that_views_its_features_as_rows_runs_too(images):
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 8, 2)

        def forward(self, x):
            return self.fc(self.conv(x).view(len(x), -1))

    model, targets = Rows().eval(), np.array([1, 0, 1])
    pictures = Pictures(model, images, targets, Perturbation(output="logit", batch_size=2))
    found = pictures.scores_of_masks(np.arange(3), np.zeros((3, 8, 10), bool))
    expected = model(torch.from_numpy(images)).detach()[[0, 1, 2], targets]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
