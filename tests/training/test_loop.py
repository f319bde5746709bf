"""The training loop learns, repeats itself, and refuses what cannot train."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from fer_batch.models.backbone import ResNet18
from fer_batch.training.loop import fit, logits_of


def toy(n=64):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 60, (n, 32, 32, 3), dtype=np.uint8)
    images[labels == 1, 8:16, 8:16] += 150
    return images, torch.from_numpy(labels)


def train(epochs=4, **changes):
    images, labels = toy()
    torch.manual_seed(0)
    model = ResNet18(2, 0.125)
    losses = []
    options = {"batch_size": 16, "learning_rate": 5e-3, "on_epoch": lambda _, loss: losses.append(loss)} | changes
    fit(model, images, labels, functional.cross_entropy, lambda x, maps, _: (x, maps), epochs, **options)
    return model, losses, images, labels


def test_it_learns_a_bright_square_and_leaves_evaluation_mode_on():
    model, losses, images, labels = train(12)
    assert losses[-1] < 0.5 * losses[0]
    assert not model.training
    assert (logits_of(model, images).argmax(1) == labels.numpy()).mean() > 0.9


def test_the_same_seed_trains_the_same_weights():
    one, two, other = train(1)[0], train(1)[0], train(1, seed=1)[0]
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_too_few_images_and_a_broken_loss_are_refused():
    images, labels = toy(8)
    model = ResNet18(2, 0.125)
    with pytest.raises(ValueError, match="at least one batch of 64 images, got 8"):
        fit(model, images, labels, functional.cross_entropy, lambda x, maps, _: (x, maps), 1)
    with pytest.raises(FloatingPointError, match="epoch 1, batch 0"):
        fit(model, images, labels, lambda z, _: z.sum() * float("nan"), lambda x, maps, _: (x, maps), 1, batch_size=8)
