"""Losses: weighted BCE with missing labels (L-1, G-11), classes and weights (L-5)."""

import math

import pytest
import torch

from fer_batch.training.losses import (
    class_loss,
    positive_weights,
    squared_norm,
    weighted_bce,
)

NAN = float("nan")
P = torch.tensor([[0.9, 0.2, 0.6], [0.4, 0.7, 0.5], [0.8, 0.1, 0.3]], dtype=torch.float64)
Y = torch.tensor([[1, 0, NAN], [0, NAN, 1], [1, 1, NAN]], dtype=torch.float64)
W = torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64)


def test_g11_weighted_and_unweighted_loss():
    logits = torch.logit(P)
    assert weighted_bce(logits, Y, W).item() == pytest.approx(1.845220, abs=1e-6)
    assert weighted_bce(logits, Y, W).item() * 6 == pytest.approx(11.071321, abs=1e-6)
    assert weighted_bce(logits, Y).item() == pytest.approx(0.676368, abs=1e-6)


def test_g11_gradient_has_no_share_of_missing_labels():
    logits = torch.logit(P).requires_grad_()
    weighted_bce(logits, Y, W).backward()
    expected = torch.tensor([[-0.0333, 0.0333, 0], [0.0667, 0, -0.3333], [-0.0667, -0.45, 0]], dtype=torch.float64)
    torch.testing.assert_close(logits.grad, expected, atol=5e-5, rtol=0)
    assert (logits.grad[torch.isnan(Y)] == 0).all()


def test_g11_positive_weights_from_observed_labels():
    labels = torch.tensor([[1, 0], [0, 0], [0, 1], [0, NAN], [0, 0], [1, 0]])
    torch.testing.assert_close(positive_weights(labels), torch.tensor([2.0, 4.0]))


def test_g11_nothing_observed_is_zero_and_finite():
    logits = torch.logit(P).requires_grad_()
    loss = weighted_bce(logits, torch.full_like(P, NAN), W)
    loss.backward()
    assert loss.item() == 0.0
    assert (logits.grad == 0).all()


def test_a_target_without_positives_or_negatives_weighs_one_and_a_limit_holds():
    labels = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0], [NAN, NAN, 0.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(positive_weights(labels), torch.tensor([1.0, 1.0, 3.0]))
    torch.testing.assert_close(positive_weights(labels, limit=2.0), torch.tensor([1.0, 1.0, 2.0]))


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[1000.0, -1000.0]])
    assert weighted_bce(logits, torch.tensor([[1.0, 0.0]])).item() == 0.0
    assert weighted_bce(logits, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(1000.0)


def test_batches_of_two_au_sets_train_and_nan_never_reaches_a_weight():
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    x = torch.randn(8, 4)
    labels = torch.full((8, 3), NAN)
    labels[:4, :2] = (x[:4, :2] > 0).float()  # one dataset annotates the first two, the other the last
    labels[4:, 2] = (x[4:, 2] > 0).float()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(50):
        loss = weighted_bce(model(x), labels, positive_weights(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\) and labels \(2, 2\)"):
        weighted_bce(torch.zeros(2, 3), torch.zeros(2, 2))


def test_l2_counts_the_weights_of_the_named_layers_only():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    torch.nn.init.constant_(model[1].weight, 3.0)
    assert squared_norm(model.named_parameters(), ("1.",)).item() == pytest.approx(18.0)
    with pytest.raises(ValueError, match="no weights of the network are named fc"):
        squared_norm(model.named_parameters(), ("fc.",))


def test_the_loss_of_classes_is_their_cross_entropy():
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert class_loss(logits, labels).item() == pytest.approx((math.log(1 + math.exp(2)) + math.log(2)) / 2)
