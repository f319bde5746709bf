"""Alignment with maps: L-2 to L-4, G-12, G-13, and maps that follow their image (AM-7)."""

import pytest
import torch

from fer_batch.training.alignment import (
    alignment,
    alignment_loss,
    has_map,
    layer_attention,
    resized_maps,
)
from fer_batch.training.augment import AUGMENTATIONS

NAN = float("nan")
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
    released = resized_maps(ones, (2, 2), align_corners=True)
    torch.testing.assert_close(released[0], torch.tensor([[0.0781, 0.0833], [0.0833, 0.4444]]), atol=5e-5, rtol=0)
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


def test_a_batch_without_a_map_is_exactly_0_and_so_is_its_gradient():
    for features in (torch.rand(2, 3, 4, 4), torch.full((2, 3, 4, 4), float("inf"))):  # as overflow leaves them
        features.requires_grad_()
        loss = alignment_loss({"a": features}, torch.full((2, 8, 8), float("inf")))
        loss.backward()
        assert loss.item() == 0 and (features.grad == 0).all()


def test_gradients_are_those_of_differences():
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn(3, c, s, s, dtype=torch.float64, generator=generator) for c, s in ((2, 3), (1, 2))]
    maps = torch.rand(3, 6, 6, dtype=torch.float64, generator=generator)
    maps[1] = NAN
    for reduce in ("sum", "mean"):
        assert torch.autograd.gradcheck(
            lambda a, b, reduce=reduce: alignment_loss({"a": a, "b": b}, maps, reduce),
            [one.requires_grad_() for one in draw],
        )


def test_the_loss_of_many_layers_and_samples_is_that_of_plain_loops():
    generator = torch.Generator().manual_seed(1)
    layers = {"a": torch.randn(4, 6, 8, 6, generator=generator), "b": torch.rand(4, 3, 4, 3, generator=generator)}
    maps = torch.rand(4, 32, 24, generator=generator)
    total = 0.0
    for features in layers.values():
        for one, goal in zip(features, maps, strict=True):
            t = sum(one) / len(one)
            k = 32 // t.shape[0]
            a = resized_maps(goal[None], tuple(t.shape))[0]
            blocks = goal.reshape(t.shape[0], k, t.shape[1], k).mean((1, 3))
            assert (a - blocks).abs().max() < 0.3  # a mean about the same place
            total += (1 - (t * a).sum() / (t.square().sum() * a.square().sum()).sqrt()) / 4
    torch.testing.assert_close(alignment_loss(layers, maps), total)


def test_half_precision_does_not_overflow():
    features = torch.full((1, 4, 8, 8), 3e4, dtype=torch.float16, requires_grad=True)
    loss = alignment_loss({"a": features}, torch.ones(1, 8, 8))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5) and torch.isfinite(features.grad).all()


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_samples_without_a_map_stay_so_under_every_augmentation(name):
    images, maps = torch.rand(6, 3, 32, 32), torch.rand(6, 32, 32)
    maps[[0, 3]] = float("inf")
    _, moved = AUGMENTATIONS[name]()(images, maps, torch.Generator().manual_seed(2))
    assert has_map(moved).tolist() == [False, True, True, False, True, True]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"\(N, n, h, w\), got \(2, 5\)"):
        layer_attention(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="layer4: features of 2 samples and 3 maps"):
        alignment_loss({"layer4": torch.zeros(2, 1, 2, 2)}, torch.ones(3, 2, 2))
    with pytest.raises(ValueError, match="sum or mean"):
        alignment_loss({"layer4": torch.zeros(2, 1, 2, 2)}, torch.ones(2, 2, 2), "max")
