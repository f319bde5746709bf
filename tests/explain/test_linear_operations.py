"""Backward steps of linear layers: the transpose, and the relevance of each rule against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fer_batch.explain.linear_operations import BoxOp, FlatOp, LayerOp, Linear
from fer_batch.explain.operation import Rows
from fer_batch.explain.rules import AlphaBeta, Box, Epsilon, Gamma

GEOMETRIES = {
    "plain": {"kernel_size": 3},
    "stride": {"kernel_size": 3, "stride": 2, "padding": 1},
    "dilation": {"kernel_size": 3, "dilation": 2, "padding": 2},
    "groups": {"kernel_size": 3, "groups": 2},
    "uneven": {"kernel_size": (1, 3), "stride": (2, 1), "padding": (0, 1)},
    "same": {"kernel_size": 3, "padding": "same"},
    "valid": {"kernel_size": 2, "stride": 2, "padding": "valid"},
}
ROWS = Rows(torch.tensor([0, 1]), 1)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", [*GEOMETRIES, "dense"])
def test_the_transpose_is_the_adjoint(name):
    torch.manual_seed(0)
    conv = name != "dense"
    module = (nn.Conv2d(4, 6, **GEOMETRIES[name]) if conv else nn.Linear(4, 6)).double()
    x = random(2, 4, 9, 8) if conv else random(2, 4)
    layer = Linear(module, tuple(x.shape[1:]))
    weight, bias = layer.parameters(module)
    y = layer(x, weight, bias)
    torch.testing.assert_close(y, module(x))
    g = random(*y.shape, seed=1)
    back = layer.transposed(g, layer.returning(weight))
    torch.testing.assert_close((back * x).sum(), (g * layer(x, weight)).sum(), rtol=1e-10, atol=1e-10)


def dense(bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(5, 4, bias=bias).double()


@pytest.mark.parametrize(
    ("rule", "share"),
    [
        (Epsilon(), lambda z, b: z / (z.sum(-1, keepdim=True) + b)),
        (AlphaBeta(), lambda z, b: z.clamp(min=0) / (z.clamp(min=0).sum(-1, keepdim=True) + b.clamp(min=0))),
        (
            AlphaBeta(2.0, 1.0),
            lambda z, b: (
                2 * z.clamp(min=0) / (z.clamp(min=0).sum(-1, keepdim=True) + b.clamp(min=0))
                - z.clamp(max=0) / (z.clamp(max=0).sum(-1, keepdim=True) + b.clamp(max=0))
            ),
        ),
    ],
)
def test_a_branch_rule_shares_by_its_formula(rule, share):
    module, x = dense(), random(2, 5, seed=3)
    operation = LayerOp(Linear(module, (5,)), module, rule, True, None)
    y, saved = operation.forward(x)
    c = random(2, 4, seed=4)
    contributions = x[:, None, :] * module.weight.detach()
    expected = (share(contributions, module.bias.detach()[:, None]) * (c * y)[:, :, None]).sum(1)
    (passed,) = operation.backward(c, saved, ROWS)
    torch.testing.assert_close(passed * x, expected, rtol=1e-9, atol=1e-9)


def test_gamma_conserves_without_a_bias():
    module, x = dense(bias=False), random(2, 5, seed=3)
    operation = LayerOp(Linear(module, (5,)), module, Gamma(), True, None)
    y, saved = operation.forward(x)
    c = random(2, 4, seed=4)
    (passed,) = operation.backward(c, saved, ROWS)
    torch.testing.assert_close((passed * x).sum(1), (c * y).sum(1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pool", [None, nn.MaxPool2d(2)])
def test_flat_spreads_evenly_over_the_pixels_inside_the_image(pool):
    torch.manual_seed(0)
    module = nn.Conv2d(3, 4, 3, padding=1, bias=False).double()
    operation = FlatOp(Linear(module, (3, 6, 6)), module, None, pool)
    value, saved = operation.forward(random(2, 3, 6, 6))
    c = random(*value.shape, seed=5)
    (passed,) = operation.backward(c, saved, ROWS)
    torch.testing.assert_close(passed.sum((1, 2, 3)), (c * value).sum((1, 2, 3)), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(passed[:, 0], passed[:, 2])


def test_the_box_conserves_without_a_bias_and_refuses_what_it_does_not_hold():
    torch.manual_seed(0)
    module = nn.Conv2d(3, 4, 3, bias=False).double()
    operation = BoxOp(Linear(module, (3, 6, 6)), module, Box((-4.0,) * 3, (4.0,) * 3), None)
    value, saved = operation.forward(random(2, 3, 6, 6))
    c = random(*value.shape, seed=5)
    (passed,) = operation.backward(c, saved, ROWS)
    torch.testing.assert_close(passed.sum((1, 2, 3)), (c * value).sum((1, 2, 3)), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="needs images inside"):
        operation.forward(5 + random(2, 3, 6, 6))
