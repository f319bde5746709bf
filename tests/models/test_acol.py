"""Adversarial complementary learning: erasing, the loss of the second classifier, and the map of both."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from fer_batch.models.acol import Acol, adds_loss, erased, further_losses
from fer_batch.training.batches import Batch
from fer_batch.training.loop import train_epoch
from fer_batch.training.losses import class_loss, weighted_bce
from fer_batch.types import InputError

THRESHOLD = 0.4


@pytest.fixture
def head() -> Acol:
    torch.manual_seed(0)
    return Acol(4, 3, threshold=THRESHOLD, channels=6).double()


@pytest.fixture
def features() -> torch.Tensor:
    return torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def stretched(m):
    return (m - m.min()) / (m.max() - m.min())


def second_logits(head, features, chosen):
    """The second classifier after the paper: positions of the labels' maps of the first are set to zero."""
    first = head.first(features).detach().numpy()
    rest = features.detach().numpy().copy()
    for i, classes in enumerate(chosen):
        for c in classes:
            for y, x in np.ndindex(first.shape[2:]):
                if stretched(first[i, c])[y, x] >= THRESHOLD:
                    rest[i, :, y, x] = 0
    return head.second(torch.from_numpy(rest))


def test_positions_that_reach_the_threshold_are_erased_without_a_gradient():
    features, maps = (
        torch.ones(1, 2, 2, 2, requires_grad=True),
        torch.tensor([[[0.1, 0.5], [0.4, 0.9]]], requires_grad=True),
    )
    found = erased(features, maps, 0.5)
    np.testing.assert_array_equal(found[0, 1].detach(), [[1, 0], [1, 0]])
    found.sum().backward()
    assert maps.grad is None and features.grad.sum() == 4


def test_the_second_classifier_learns_from_what_the_first_does_not_look_at(head, features):
    head.train()
    labels = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    logits = head(features)
    np.testing.assert_allclose(logits.detach(), head.first(features).mean((2, 3)).detach())
    found = head.further_loss(labels, class_loss)
    expected = second_logits(head, features, [[1], [2]]).mean((2, 3)).float()
    torch.testing.assert_close(found, class_loss(expected, labels))
    assert head.further_loss(labels, class_loss) is None, "one loss for one forward pass"


def test_of_several_labels_all_maps_are_erased_and_of_none_nothing(head, features):
    head.train()
    labels = torch.tensor([[1.0, 1.0, torch.nan], [0.0, torch.nan, 0.0]], dtype=torch.float64)
    head(features)
    expected = second_logits(head, features, [[0, 1], []]).mean((2, 3)).float()
    torch.testing.assert_close(head.further_loss(labels, weighted_bce), weighted_bce(expected, labels))


def test_each_classifier_gets_the_gradient_of_its_own_loss(head, features):
    labels = torch.eye(3, dtype=torch.float64)[:2]
    head.train()
    head(features)
    head.further_loss(labels, class_loss).backward()
    assert all(p.grad is None for p in head.first.parameters())
    assert all(p.grad.abs().sum() > 0 for p in head.second.parameters())


def test_evaluation_keeps_nothing_and_has_no_further_loss(head, features):
    head.train()
    head(features)
    head.eval()
    copy.deepcopy(head)  # an activation with its graph could not be copied
    head(features)
    assert head.further_loss(torch.zeros(2, 3), class_loss) is None
    with torch.no_grad():
        head.train()(features)
    assert head.further_loss(torch.zeros(2, 3), class_loss) is None


def test_the_map_is_the_larger_of_both_classifiers_maps(head, features):
    head.eval()
    found = head.class_maps(features)
    for i, c in ((0, 2), (1, 0)):
        first = head.first(features).detach().numpy()[i, c]
        second = second_logits(head, features[i : i + 1], [[c]]).detach().numpy()[0, c]
        expected = np.maximum(stretched(first), stretched(second))
        np.testing.assert_allclose(found.of(torch.tensor([i]), torch.tensor([c]))[0].detach(), expected, atol=1e-12)
    torch.testing.assert_close(found.logits, head(features))


def test_a_training_minimises_both_losses(head):
    """An epoch of the ordinary loop: what it returns is the sum, what it shows is the loss of the logits."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), head.float())
    images, labels = torch.rand(4, 3, 8, 8), torch.eye(3)[[0, 1, 2, 0]]
    shown: list[float] = []
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    minimised = train_epoch(
        model,
        [Batch(images, labels)],
        class_loss,
        optimizer,
        schedule,
        on_batch=lambda _z, _y, value: shown.append(value),
    )
    with torch.no_grad():
        x = model[1](model[0](images))
        first = class_loss(head.first(x).mean((2, 3)), labels)
        second = class_loss(second_logits(head, x, [[0], [1], [2], [0]]).mean((2, 3)), labels)
    assert shown == pytest.approx([float(first)], rel=1e-5)
    assert minimised == pytest.approx(float(first + second), rel=1e-5)


def test_a_training_in_lower_precision_computes_the_second_classifier_alike(head):
    """Autocast ends with the forward pass; what the second classifier reads is bfloat16 then, its weights are not."""
    head.float().train()
    labels = torch.eye(3)[:2]
    with torch.autocast("cpu", torch.bfloat16):
        head(torch.rand(2, 4, 5, 6).bfloat16())
    found = head.further_loss(labels, class_loss)
    assert found.dtype == torch.float32 and torch.isfinite(found)
    found.backward()
    assert all(p.grad.dtype == torch.float32 for p in head.second.parameters())


def test_a_network_without_further_losses_has_none(head):
    plain = nn.Conv2d(3, 2, 1)
    assert not adds_loss(plain) and list(further_losses(plain, torch.zeros(1, 2), class_loss)) == []
    assert adds_loss(nn.Sequential(plain, head))


@pytest.mark.parametrize(
    ("options", "message"), [({"threshold": 1.5}, "between 0 and 1"), ({"channels": 0}, "positive integer")]
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Acol(4, 2, **options)
