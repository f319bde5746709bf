"""The worked numbers of methods G-06, on the very layers they speak of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fer_batch.explain.canonizers import merge_batch_norm
from fer_batch.explain.composites import Preset
from fer_batch.explain.lrp import LRP
from fer_batch.explain.rules import AlphaBeta, Epsilon, Flat

from .conftest import per_channel

ENGINES = pytest.mark.parametrize("engine", ["fast", "zennit"])


def linear(weights: list[list[float]], bias: list[float] | None = None) -> nn.Linear:
    """Dense layer from rows of inputs, as the example writes them."""
    w = torch.tensor(weights, dtype=torch.float64).T
    layer = nn.Linear(w.shape[1], w.shape[0], bias=bias is not None).double()
    layer.weight.data = w
    if bias is not None:
        layer.bias.data = torch.tensor(bias, dtype=torch.float64)
    return layer


def conv(weights: list[float], bias: float | None = None, padding: int = 0) -> nn.Conv2d:
    layer = nn.Conv2d(1, 1, (1, len(weights)), padding=(0, padding), bias=bias is not None).double()
    layer.weight.data = torch.tensor(weights, dtype=torch.float64).view(1, 1, 1, -1)
    if bias is not None:
        layer.bias.data = torch.tensor([bias], dtype=torch.float64)
    return layer


def explain(network: nn.Module, x: list[float], preset: Preset, engine: str, output: int = 0) -> np.ndarray:
    image = torch.tensor(x, dtype=torch.float64).view(1, 1, 1, -1)
    return per_channel(LRP(preset, engine), network.eval(), image, [[0, output]]).ravel()


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), linear([[1, -1], [2, 1]]), nn.ReLU(), linear([[1], [-1]]))


@ENGINES
@pytest.mark.parametrize(
    ("top", "below", "expected"),
    [
        (Epsilon(), Epsilon(), [2, 2]),
        (Epsilon(0.1), Epsilon(0.1), [1.84340, 2.05208]),
        (Epsilon(1e-7), Epsilon(1e-7), [2, 2]),
        (Epsilon(), AlphaBeta(1, 0), [1, 3]),
        (Epsilon(), AlphaBeta(2, 1), [3, 6]),
        (Epsilon(), Flat(), [2, 2]),
    ],
)
def test_g06_two_layers(network, engine, top, below, expected):
    found = explain(network, [1, 2], Preset(dense=top, conv=top, first=below), engine)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@ENGINES
def test_g06_epsilon_in_the_hidden_layer(engine):
    top = nn.Sequential(nn.Flatten(), linear([[1], [-1]]))
    rule = Epsilon(0.1)
    np.testing.assert_allclose(explain(top, [5, 1], Preset(rule, rule, rule), engine), [4.87805, -0.97561], atol=1e-5)


@ENGINES
def test_g06_epsilon_sums(network, engine):
    rule, small = Epsilon(0.1), Epsilon(1e-7)
    assert explain(network, [1, 2], Preset(rule, rule, rule), engine).sum() == pytest.approx(3.89548, abs=1e-5)
    assert explain(network, [1, 2], Preset(small, small, small), engine).sum() == pytest.approx(4, abs=1e-6)


@ENGINES
@pytest.mark.parametrize(
    ("n", "padding", "expected"), [(5, 0, [1, 1, 3, 2, 2]), (3, 1, [1.5, 4.5, 3])], ids=["inside", "padded"]
)
def test_g06_flat_convolution(engine, n, padding, expected):
    """Relevance (3, 0, 6) arrives at the three outputs; a linear head whose weights undo the activations sends it."""
    first = conv([1.0, 1.0, 1.0], padding=padding)
    x = torch.arange(1.0, n + 1, dtype=torch.float64).view(1, 1, 1, -1)
    with torch.no_grad():
        y = first(x).ravel()
    head = linear([[float(r / a)] for r, a in zip([3, 0, 6], y, strict=True)])
    network = nn.Sequential(first, nn.Flatten(), head)
    found = explain(network, list(range(1, n + 1)), Preset(Epsilon(), Epsilon(), Flat()), engine)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@ENGINES
@pytest.mark.parametrize(
    ("rule", "expected"), [(AlphaBeta(1, 0), [6, 0]), (AlphaBeta(1, 0, "all"), [12, 0])], ids=["textbook", "whole bias"]
)
def test_g06_alpha1_beta0_and_a_negative_bias(engine, rule, expected):
    """R = 6 at a neuron with x = (1, 2), w = (1, -1), b = -0.5; the head's weight turns its activation -1.5 into 6."""
    network = nn.Sequential(conv([1.0, -1.0], -0.5), nn.Flatten(), linear([[6 / -1.5]]))
    np.testing.assert_allclose(explain(network, [1, 2], Preset(Epsilon(), rule, rule), engine), expected, atol=1e-9)


def test_g06_alpha1_beta0_and_a_positive_bias():
    """With b = +1 the neuron's activation is zero, so the formula itself: 6 * 1 / (1 + 1) = 3."""
    (branch,) = AlphaBeta(1, 0).branches(torch.tensor([[1.0, -1.0]]), torch.tensor([1.0]))
    x = torch.tensor([1.0, 2.0])
    assert branch.bias is not None
    np.testing.assert_allclose(x * (branch.positive.T @ (6 / (branch.positive @ x + branch.bias))), [3, 0])


@ENGINES
def test_g06_residual_add(engine):
    """Values 3 and -1 meet in a sum whose relevance is 4."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = linear([[1.0], [0.0]]), linear([[0.0], [1.0]])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            flat = x.flatten(1)
            return (self.left(flat) + self.right(flat)) * 2.0

    found = explain(Residual(), [3, -1], Preset(Epsilon(), Epsilon(), Epsilon()), engine)
    np.testing.assert_allclose(found, [6, -2], atol=1e-12)


@ENGINES
def test_g06_average_pool(engine):
    network = nn.Sequential(nn.AvgPool2d((1, 2)), nn.Flatten(), linear([[1.0]]))
    np.testing.assert_allclose(explain(network, [1, 3], Preset(Epsilon(), Epsilon(), Epsilon()), engine), [0.5, 1.5])


def test_g06_merged_batch_norm():
    layer = nn.Conv2d(1, 1, 1)
    layer.weight.data.fill_(2.0)
    layer.bias.data.fill_(1.0)
    norm = nn.BatchNorm2d(1, eps=0.0)
    for tensor, value in ((norm.weight, 3.0), (norm.bias, 0.5), (norm.running_mean, 1.0), (norm.running_var, 4.0)):
        tensor.data.fill_(value)
    merge_batch_norm(layer, norm)
    assert (layer.weight.item(), layer.bias.item()) == (3.0, 0.5)


@ENGINES
def test_g06_epsilon_divides_a_zero_by_plus_epsilon(engine):
    """z = 1 - 1 = 0 cannot pass relevance as a product with its own value, but must not spoil its neighbours."""
    network = nn.Sequential(nn.Flatten(), linear([[1.0, 1.0], [-1.0, 1.0]]), linear([[1.0], [1.0]]))
    rule = Epsilon(0.1)
    found = explain(network, [1, 1], Preset(rule, rule, rule), engine)
    np.testing.assert_allclose(found, [2 * 2 / 2.1 / 2.1] * 2, atol=1e-12)
