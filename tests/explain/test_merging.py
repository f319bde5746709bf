"""What is merged into a linear layer computes the same, and what cannot be merged exactly stays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fer_batch.explain.canonizers import canonize
from fer_batch.explain.merging import merge_batch_norm
from fer_batch.explain.modules import Add, Affine

X = torch.rand(3, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def norm(n: int, dims: int = 2) -> nn.Module:
    module = (nn.BatchNorm1d, nn.BatchNorm2d)[dims - 1](n, eps=0.1).double().eval()
    for k, tensor in enumerate((module.running_mean, module.running_var, module.weight.data, module.bias.data)):
        tensor.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(k))
    return module


@pytest.mark.parametrize("bias", [True, False])
def test_a_batch_norm_is_merged_into_the_layer_before(bias):
    torch.manual_seed(0)
    conv, bn = nn.Conv2d(4, 6, 3, groups=2, bias=bias).double(), norm(6)
    expected = bn(conv(X)).detach()
    merge_batch_norm(conv, bn)
    torch.testing.assert_close(conv(X), expected, rtol=1e-12, atol=1e-12)
    dense, bn = nn.Linear(8, 5, bias=bias).double(), norm(5, 1)
    expected = bn(dense(X[:, 0, 0])).detach()
    merge_batch_norm(dense, bn)
    torch.testing.assert_close(dense(X[:, 0, 0]), expected, rtol=1e-12, atol=1e-12)


class Parallel(nn.Module):
    """A re-parameterised block: 3x3, 1x1 and the image itself, each with its norm, summed (RepVGG)."""

    def __init__(self, dilation: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(4, 4, 1)
        self.large = nn.Sequential(nn.Conv2d(4, 4, 3, padding=dilation, dilation=dilation, bias=False), norm(4))
        self.small, self.same = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), norm(4)), norm(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(self.large(x) + self.small(x) + self.same(x)).mean((2, 3)))


@pytest.mark.parametrize(("dilation", "n_sums"), [(1, 0), (2, 2)])
def test_parallel_layers_become_one_where_their_kernels_lie_on_the_same_pixels(dilation, n_sums):
    model = Parallel(dilation).double().eval()
    network = canonize(model, (4, 8, 8))
    assert sum(isinstance(module, Add) for module in network.modules()) == n_sums
    torch.testing.assert_close(network(X), model(X), rtol=1e-10, atol=1e-10)


def test_an_affine_layer_is_not_merged_forward_where_padding_would_shift():
    torch.manual_seed(0)
    for padding, n_affine in ((0, 0), (1, 1)):
        layers = (nn.Conv2d(4, 4, 1), nn.ReLU(), norm(4), nn.Conv2d(4, 4, 3, padding=padding), nn.Flatten())
        model = nn.Sequential(*layers, nn.LazyLinear(2)).double()
        model(X)
        network = canonize(model.eval(), (4, 8, 8))
        assert sum(isinstance(module, Affine) for module in network.modules()) == n_affine
        torch.testing.assert_close(network(X), model(X), rtol=1e-10, atol=1e-10)
