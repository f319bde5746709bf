"""Networks that symbolic tracing cannot follow are exported."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fer_batch import explain

from .conftest import per_channel


class PadsBySize(nn.Module):
    """Python decides from the size of the image; symbolic tracing cannot follow, export can (timm's `tf_` networks)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, stride=2, bias=False), nn.BatchNorm2d(6)
        self.squeeze, self.head = nn.Conv2d(6, 6, 1), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        missing = max((-(-x.shape[-1] // 2) - 1) * 2 + 3 - x.shape[-1], 0)
        if missing > 0:
            x = functional.pad(x, (missing // 2, missing - missing // 2) * 2)
        a = functional.silu(self.norm(self.conv(x)), inplace=True)
        a = a + a * torch.sigmoid(self.squeeze(a.mean((2, 3), keepdim=True)))
        return self.head(functional.adaptive_avg_pool2d(a, 1).flatten(1))


@pytest.mark.parametrize("name", ["preset_a_flat", "z"])
def test_networks_that_decide_by_size_are_exported(disturb, name):
    torch.manual_seed(0)
    model = disturb(PadsBySize()).double()
    x, pairs = torch.rand(3, 3, 16, 16, dtype=torch.float64), [[0, 0], [0, 1], [1, 0], [2, 1]]
    fast = per_channel(explain.method(name), model, x, pairs)
    slow = per_channel(explain.method(name, engine="zennit"), model, x, pairs)
    assert np.linalg.norm(fast - slow) <= 1e-9 * np.linalg.norm(slow)
    found = explain.method("z")(disturb(model, bias=False), x, pairs)
    np.testing.assert_allclose(found.conservation, 1.0, atol=1e-6)
