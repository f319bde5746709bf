"""Functional calls of a network are seen as the modules they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fer_batch import explain

from .conftest import per_channel


class Functional(nn.Module):
    """Everything that hooks on modules cannot see: functional layers, in-place work, gates, sums, shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding="same", groups=2)
        self.norm = nn.BatchNorm2d(8)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.head = nn.Linear(16 * 4 * 4, 3)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - 0.5) / 0.25
        a = functional.relu(self.conv1(x), inplace=True)
        b = functional.silu(self.norm(self.conv2(functional.pad(a, (1, 1, 0, 2)))))
        gate = torch.sigmoid(self.excite(functional.relu(self.squeeze(b.mean((2, 3), keepdim=True)))))
        b = b * gate
        b += functional.pad(a, (1, 1, 0, 2))
        b = functional.max_pool2d(b * self.scale, 2)
        b = functional.adaptive_avg_pool2d(torch.cat([b, torch.relu(b)], dim=1), 4)
        return self.head(b.view(b.size(0), -1))


@pytest.mark.parametrize("name", ["preset_a_flat", "preset_b_flat", "z", "epsilon_gamma_box"])
def test_functional_networks_are_seen_whole(disturb, name):
    torch.manual_seed(0)
    model = disturb(Functional()).double()
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    options = {"low": [-2.0] * 3, "high": [2.0] * 3} if name == "epsilon_gamma_box" else {}
    pairs = [[0, 0], [0, 1], [1, 2]]
    fast = per_channel(explain.method(name, **options), model, x, pairs)
    slow = per_channel(explain.method(name, engine="zennit", **options), model, x, pairs)
    assert np.linalg.norm(fast - slow) <= 1e-9 * np.linalg.norm(slow)
