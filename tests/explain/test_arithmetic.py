"""Products, sums and norms of a traced network as modules, with the values the network has."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from fer_batch.explain.arithmetic import norm_constants, norms_to_affine, products_and_sums
from fer_batch.explain.calls import own_modules
from fer_batch.explain.graph import Shapes
from fer_batch.explain.modules import Add, Affine, Scale

X = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5


class Function(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def traced(model: nn.Module) -> fx.GraphModule:
    network = own_modules(fx.symbolic_trace(model.eval()))
    Shapes(network).run(X)
    return network


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x: x + 2, Affine),
        (lambda x: 2 - x, Affine),
        (lambda x: x - 2, Affine),
        (lambda x: 3 * x, Affine),
        (lambda x: x / 4, Affine),
        (lambda x: 4 / x, Scale),
        (lambda x: x + x, Add),
        (lambda x: x * x.mean((2, 3), keepdim=True), Scale),
    ],
)
def test_arithmetic_becomes_a_module_of_the_same_value(function, kind):
    network = traced(Function(function))
    products_and_sums(network)
    network.recompile()
    torch.testing.assert_close(network(X), function(X), rtol=1e-12, atol=0)
    assert [type(m) for m in network.children() if isinstance(m, Affine | Scale | Add)] == [kind]


def test_a_product_of_two_signals_is_left_for_the_refusal():
    network = traced(Function(lambda x: x * (x + 1)))
    products_and_sums(network)
    assert not any(isinstance(module, Scale) for module in network.modules())


@pytest.mark.parametrize("affine", [True, False])
def test_a_norm_is_its_factor_and_offset(affine):
    norm = nn.BatchNorm2d(3, affine=affine, eps=0.01).double().eval()
    generator = torch.Generator().manual_seed(1)
    for tensor in (norm.running_mean, norm.running_var, *norm.parameters()):
        tensor.data.uniform_(0.5, 2.0, generator=generator)
    gain, offset = norm_constants(norm)
    torch.testing.assert_close(X * gain.view(1, -1, 1, 1) + offset.view(1, -1, 1, 1), norm(X), rtol=1e-12, atol=1e-12)
    network = traced(nn.Sequential(norm))
    norms_to_affine(network)
    network.recompile()
    torch.testing.assert_close(network(X), norm(X), rtol=1e-12, atol=1e-12)


def test_a_norm_without_statistics_is_named():
    network = traced(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False).double()))
    with pytest.raises(ValueError, match="layer '0': BatchNorm without running statistics"):
        norms_to_affine(network)
