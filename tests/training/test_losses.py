"""Losses: weighted BCE with missing labels (L-1, G-11), alignment with maps (L-2 to L-4, G-12, G-13), L-5."""

import math

import pytest
import torch

from fer_batch.training.losses import (
    alignment,
    alignment_loss,
    class_loss,
    layer_attention,
    positive_weights,
    resized_maps,
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


F = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[3.0, 0.0], [1.0, 0.0]]]], dtype=torch.float64)
A = torch.eye(2, dtype=torch.float64)[None]


def test_g12_attention_alignment_and_total_loss():
    attention = layer_attention(F)
    torch.testing.assert_close(attention[0], torch.tensor([[2.0, 1.0], [2.0, 2.0]], dtype=torch.float64))
    assert alignment(attention, A).item() == pytest.approx(0.784465, abs=1e-6)
    total = -torch.log(torch.tensor(0.25)) + 4 * alignment_loss({"layer4": F}, A)
    assert total.item() == pytest.approx(2.248436, abs=1e-6)
    assert alignment(torch.ones(1, 2, 2, dtype=torch.float64), A).item() == pytest.approx(0.707107, abs=1e-6)


def test_g12_gradient_and_scale():
    attention = layer_attention(F).requires_grad_()
    alignment(attention, A).sum().backward()
    expected = torch.tensor([[0.0754, -0.0603], [-0.1207, 0.0754]], dtype=torch.float64)
    torch.testing.assert_close(attention.grad[0], expected, atol=5e-5, rtol=0)
    assert alignment(7 * attention, A).item() == pytest.approx(alignment(attention, A).item())


def test_g13_maps_are_averaged_down_symmetrically():
    ones = torch.zeros(1, 4, 4)
    ones[0, 0, 0] = ones[0, 3, 3] = 1
    small = resized_maps(ones, (2, 2))
    torch.testing.assert_close(small[0], torch.tensor([[0.1837, 0.0], [0.0, 0.1837]]), atol=5e-5, rtol=0)
    maps = torch.rand(2, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(resized_maps(maps.flip(-1, -2), (7, 7)), resized_maps(maps, (7, 7)).flip(-1, -2))


def test_only_samples_with_a_map_are_aligned_and_layers_are_summed_or_averaged():
    features = torch.rand(3, 4, 2, 2, requires_grad=True)
    maps = torch.rand(3, 4, 4)
    maps[1], maps[2] = NAN, 0
    loss = alignment_loss({"a": features}, maps)
    torch.testing.assert_close(loss, alignment_loss({"a": features[:1]}, maps[:1]))
    loss.backward()
    assert (features.grad[1:] == 0).all() and (features.grad[0] != 0).any()
    both = {"a": features.detach(), "b": features.detach()}
    torch.testing.assert_close(alignment_loss(both, maps), 2 * loss.detach())
    torch.testing.assert_close(alignment_loss(both, maps, "mean"), loss.detach())
    none = alignment_loss({"a": features}, torch.full((3, 4, 4), NAN))
    none.backward()
    assert none.item() == 0


def test_l2_counts_the_weights_of_the_named_layers_only():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    torch.nn.init.constant_(model[1].weight, 3.0)
    assert squared_norm(model.named_parameters(), ("1.",)).item() == pytest.approx(18.0)
    with pytest.raises(ValueError, match="no weights of the network are named fc"):
        squared_norm(model.named_parameters(), ("fc.",))


def test_the_loss_of_classes_is_their_cross_entropy():
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert class_loss(logits, labels).item() == pytest.approx((math.log(1 + math.exp(2)) + math.log(2)) / 2)
