"""Parity with iNNvestigate's LRPSequentialPresetAFlat (`bias="all"`), on networks and numbers it computed.

Its numbers are float32; ours are computed in float64, so that only its rounding is left between them on any machine.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fer_batch import explain

from .conftest import per_channel


@pytest.fixture(scope="module")
def oracle(shared_oracles) -> dict[str, np.ndarray]:
    with np.load(shared_oracles / "innvestigate_preset_a_flat.npz") as file:
        return dict(file)


class FlattenChannelsLast(nn.Module):
    """Keras flattens [H, W, C]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)


class Residual(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.dense = layers
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.conv1(x))
        b = torch.relu(a + self.conv3(torch.relu(self.conv2(a))))
        return self.dense(self.pool(b).flatten(1))


def layers(oracle: dict[str, np.ndarray], name: str, paddings: list[tuple[int, int]]) -> list[nn.Module]:
    """Layers of one model in the order of their numbers; `paddings` lists (padding, stride) of the convolutions."""
    keys = [key for key in oracle if key.startswith(f"{name}/") and key.count("/") == 2]
    found: list[nn.Module] = []
    for layer in dict.fromkeys(key.split("/")[1] for key in keys):
        w = torch.from_numpy(oracle[f"{name}/{layer}/0"])
        b = oracle.get(f"{name}/{layer}/1")
        module: nn.Module
        if w.ndim == 4:
            padding, stride = paddings.pop(0)
            module = nn.Conv2d(w.shape[2], w.shape[3], tuple(w.shape[:2]), stride, padding, bias=b is not None)
            module.weight.data = w.permute(3, 2, 0, 1).contiguous()
        else:
            module = nn.Linear(w.shape[0], w.shape[1], bias=b is not None)
            module.weight.data = w.T.contiguous()
        if b is not None:
            module.bias.data = torch.from_numpy(b)
        found.append(module)
    return found


def network(oracle: dict[str, np.ndarray], name: str) -> nn.Module:
    if name == "residual":
        return Residual(layers(oracle, name, [(1, 1)] * 3)).eval()
    c1, c2, c3, d1, d2 = layers(oracle, name, [(0 if name == "padfirst" else 1, 1), (1, 1), (0, 2)])
    body = [c1, nn.ReLU(), c2, nn.ReLU(), nn.MaxPool2d(2), c3, nn.ReLU(), nn.AvgPool2d(2)]
    first = [nn.ZeroPad2d(1)] if name == "padfirst" else []
    return nn.Sequential(*first, *body, FlattenChannelsLast(), d1, nn.ReLU(), d2).eval()


@pytest.mark.parametrize("name", ["nobias", "bias", "sigmoid", "padfirst", "residual"])
def test_preset_a_flat_equals_innvestigate(oracle, name):
    model = network(oracle, name).double()
    x = torch.from_numpy(oracle["x"]).permute(0, 3, 1, 2).double().contiguous()
    with torch.no_grad():
        logits = model(x).numpy()
    expected = oracle[f"{name}/R"].transpose(0, 1, 4, 2, 3).astype(np.float64)  # frame, unit, channel, row, column
    y = oracle[f"{name}/y"]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)) if name == "sigmoid" else logits, y, rtol=1e-4, atol=1e-5)
    if name == "sigmoid":  # theirs starts from sigmoid(logit)
        expected = expected * (logits / y)[..., None, None, None]
    pairs = [(i, j) for i in range(3) for j in range(4)]
    explainer = explain.method("preset_a_flat", bias="all")
    found = per_channel(explainer, model, x, pairs).reshape(3, 4, 3, 32, 32)
    expected = np.broadcast_to(expected, found.shape)
    for i, j in pairs:
        error = np.abs(found[i, j] - expected[i, j])
        assert error.max() <= 5e-5 * np.abs(expected[i, j]).max()
        assert np.linalg.norm(error) <= 5e-5 * np.linalg.norm(expected[i, j])


def test_the_textbook_bias_is_another_rule(oracle):
    """A network with biases tells the two variants apart; without biases they are one."""
    x = torch.from_numpy(oracle["x"]).permute(0, 3, 1, 2).double().contiguous()
    far = {}
    for name in ("nobias", "bias"):
        model = network(oracle, name).double()
        a, b = (explain.method("preset_a_flat", bias=bias)(model, x, [[0, 0]]).values for bias in ("positive", "all"))
        far[name] = np.linalg.norm(a - b) / np.linalg.norm(b)
    assert far["nobias"] < 1e-5
    assert far["bias"] > 1e-2
