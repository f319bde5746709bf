"""BatchNorm and constants as affine layers: merged where that is exact, else a layer whose offset takes its share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from zennit.composites import SpecialFirstLayerMapComposite
from zennit.layer import Sum
from zennit.rules import Epsilon, Flat, Norm, Pass, ZPlus
from zennit.types import Activation, Convolution, Linear

from fer_batch import explain
from fer_batch.explain.canonizers import canonize
from fer_batch.explain.modules import Affine
from fer_batch.explain.rules import stabilise

from .conftest import per_channel


def norm(n: int, seed: int = 0) -> nn.BatchNorm2d:
    generator = torch.Generator().manual_seed(seed)
    layer = nn.BatchNorm2d(n)
    layer.running_mean.normal_(0, 0.5, generator=generator)
    layer.running_var.uniform_(0.5, 2.0, generator=generator)
    layer.weight.data.uniform_(-1.5, 1.5, generator=generator)
    layer.bias.data.normal_(0, 0.5, generator=generator)
    return layer


def network(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    first, last = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
    return nn.Sequential(first, nn.ReLU(), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last).double().eval()


def gradient_times_input(model: nn.Module, x: torch.Tensor, output: int) -> np.ndarray:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, output].sum(), x)
    return (gradient * x).detach().numpy()


IMAGE = torch.rand(1, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("layers", "n_affine"),
    [
        ([norm(4), nn.Conv2d(4, 4, 3), nn.ReLU()], 0),
        ([norm(4), nn.Conv2d(4, 4, 3, groups=2), nn.ReLU()], 0),
        ([norm(4), norm(4, 1), nn.Conv2d(4, 4, 1), nn.ReLU()], 0),
        ([norm(4)], 0),
        ([norm(4), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()], 1),
        ([norm(4), nn.ReLU(), nn.Conv2d(4, 4, 1)], 1),
        ([nn.MaxPool2d(2), norm(4), norm(4, 1), nn.ReLU()], 1),
    ],
    ids=["before a convolution", "groups", "two in a row", "before the head", "padding", "activation", "pooling"],
)
def test_what_merges_exactly_is_merged_and_the_rest_is_affine(layers, n_affine):
    model = network(*layers)
    canonical = canonize(model, tuple(IMAGE.shape[1:]))
    assert sum(isinstance(module, Affine) for module in canonical.modules()) == n_affine
    with torch.no_grad():
        torch.testing.assert_close(canonical(IMAGE), model(IMAGE), rtol=1e-12, atol=1e-12)
    found = per_channel(explain.method("z"), model, IMAGE, [[0, 1]])
    np.testing.assert_allclose(found, gradient_times_input(model, IMAGE, 1), rtol=1e-9, atol=1e-12)
    for name in ("preset_a_flat", "z"):
        fast = per_channel(explain.method(name), model, IMAGE, [[0, 1]])
        slow = per_channel(explain.method(name, engine="zennit"), model, IMAGE, [[0, 1]])
        assert np.linalg.norm(fast - slow) <= 1e-9 * np.linalg.norm(slow)


@pytest.mark.parametrize("engine", ["fast", "zennit"])
def test_the_offset_of_a_batch_norm_takes_its_share(engine):
    """x = 3, w = 2, b = 1: of a logit of 7, 6 / 7 is the pixel's."""
    layer = nn.BatchNorm2d(1, eps=0.0)
    layer.weight.data.fill_(2.0)
    layer.bias.data.fill_(1.0)
    head = nn.Linear(1, 1, bias=False)
    head.weight.data.fill_(1.0)
    model = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), head).double().eval()
    found = explain.method("z", engine=engine)(model, torch.full((1, 1, 1, 1), 3.0), [[0, 0]])
    np.testing.assert_allclose((found.values.item(), found.conservation.item()), (6.0, 6 / 7), rtol=1e-6)


def test_a_shift_in_the_forward_pass_takes_its_share_of_pixels():
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body((x - 0.5) / 0.25)

    model = Normalised().eval()
    found = per_channel(explain.method("z"), model, IMAGE, [[0, 2]])
    np.testing.assert_allclose(found, gradient_times_input(model, IMAGE, 2), rtol=1e-9, atol=1e-12)


class Summed(nn.Module):
    """zennit's own sums, one of them over positions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.relu, self.branches, self.positions, self.head = nn.ReLU(), Sum(), Sum(), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.relu(self.first(x))
        b = self.relu(self.branches(torch.stack([a, self.second(a)], dim=-1)))
        return self.head(self.positions(b.flatten(2)))


def test_zennits_sums_are_explained_as_zennit_does():
    model = Summed().double().eval()
    composite = SpecialFirstLayerMapComposite(
        layer_map=[
            (Activation, Pass()),
            (Sum, Norm(stabilizer=stabilise)),
            (Convolution, ZPlus(stabilizer=stabilise)),
            (nn.Linear, Epsilon(epsilon=0.1)),
        ],
        first_map=[(Linear, Flat(stabilizer=stabilise))],
    )
    x = IMAGE.clone().requires_grad_()
    with composite.context(model) as modified:
        logit = modified(x)[:, 1]
        (expected,) = torch.autograd.grad(logit, x, logit.detach())
    found = per_channel(explain.method("preset_a_flat"), model, IMAGE, [[0, 1]])
    assert np.linalg.norm(found - expected.numpy()) <= 1e-9 * np.linalg.norm(expected)


SUMS = {
    "zennit": Summed,
    "torch.sum": lambda: Reduced(lambda x: torch.sum(x, dim=(2, 3))),
    "method": lambda: Reduced(lambda x: x.sum(-1).sum(-1)),
    "keepdim": lambda: Reduced(lambda x: x.sum((2, 3), keepdim=True).flatten(1)),
}


class Reduced(nn.Module):
    def __init__(self, reduce) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.reduce, self.head = nn.Conv2d(3, 4, 3), reduce, nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.reduce(torch.relu(self.first(x))))


@pytest.mark.parametrize("name", SUMS)
def test_sums_over_axes_are_gradient_times_input_under_z(name):
    model = SUMS[name]().double().eval()
    found = per_channel(explain.method("z"), model, IMAGE, [[0, 1]])
    np.testing.assert_allclose(found, gradient_times_input(model, IMAGE, 1), rtol=1e-9, atol=1e-12)


def test_a_sum_over_the_batch_is_refused():
    model = Reduced(lambda x: x.sum(0, keepdim=True).mean((2, 3)))
    with pytest.raises(ValueError, match=r"mixes the images of a batch|logits \(N, targets\)"):
        explain.method("z")(model.double().eval(), IMAGE, [[0, 0]])
