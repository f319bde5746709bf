"""The four networks that are trained from scratch: their parameters, and that they compute what Keras computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fer_batch import explain
from fer_batch.models import scratch
from fer_batch.models.backbone import build


def on_meta(name: str, n_outputs: int, **options: object) -> nn.Module:
    """The network without memory: shapes are all a count needs."""
    with torch.device("meta"):
        return build(name, n_outputs, options)


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [("alexnet", 88_718_726), ("weinet", 1_728_230), ("songnet", 172_678), ("silnet", 184_852_038)],
)
def test_g19_scratch_networks_have_the_published_number_of_parameters(name, count):
    assert n_parameters(on_meta(name, 6)) == count


# How the four scratch networks shrink: the least side that leaves every pooling something to do.
SMALL = {"alexnet": 64, "weinet": 16, "songnet": 48, "silnet": 24}


def keras_same(x: torch.Tensor, kernel: int, stride: int, value: float, mirrored: bool = False) -> torch.Tensor:
    """TensorFlow's definition of `same` padding, on a square; mirrored: the larger half first."""
    missing = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
    begin, end = sorted((missing // 2, missing - missing // 2), reverse=mirrored)
    return functional.pad(x, (begin, end, begin, end), value=value)


def as_keras(layout: scratch.Layout, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The layer list of methods MD-4 in Keras' words, with the weights of `model`."""
    weights = iter([m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)])
    for layer in layout.features:
        if isinstance(layer, scratch.Conv):
            m = next(weights)
            x = keras_same(x, layer.kernel, layer.stride, 0.0, mirrored=True)
            x = functional.conv2d(x, m.weight, m.bias, layer.stride).relu()
        elif isinstance(layer, scratch.Pool):
            x = functional.max_pool2d(keras_same(x, layer.kernel, layer.stride, -torch.inf), layer.kernel, layer.stride)
    x = x.flatten(1)
    *hidden, last = weights
    for m in hidden:
        x = m(x).relu()
    return last(x)


@pytest.mark.parametrize(("name", "size"), [*SMALL.items(), ("songnet", 49), ("weinet", 21)])
def test_scratch_networks_compute_what_keras_computes(name, size):
    torch.manual_seed(0)
    model = build(name, 6, {"size": size}).double().eval()
    x = torch.rand(2, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        theirs = as_keras(getattr(scratch, name.upper()), model, x)
        torch.testing.assert_close(model(x), theirs, rtol=1e-9, atol=1e-12)


def test_the_one_uneven_convolution_is_keras_mirrored():
    """AlexNet's first layer; every other convolution pads evenly, where mirrored is the same."""
    layers = [x for layout in (scratch.ALEXNET, scratch.WEINET, scratch.SONGNET, scratch.SILNET) for x in layout[1]]
    uneven = [x for x in layers if isinstance(x, scratch.Conv) and (x.kernel % 2 == 0 or x.stride > 1)]
    assert uneven == [scratch.Conv(96, 11, 4)]
    conv = build("alexnet", 6, {"size": 64}).features[0].double()
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    padded = keras_same(x.flip(2, 3), 11, 4, 0.0)
    mirrored = functional.conv2d(padded, conv.weight.flip(2, 3), conv.bias, 4).flip(2, 3)
    torch.testing.assert_close(conv(x), mirrored)


@pytest.mark.parametrize("name", SMALL)
def test_relevance_of_scratch_networks_adds_up(name):
    """Biases start at zero, so alpha1-beta0 and flat conserve: what is lost is what the dense epsilon takes."""
    torch.manual_seed(0)
    model = build(name, 6, {"size": SMALL[name]}).double().eval()
    x, pairs = torch.rand(2, 3, model.size, model.size, dtype=torch.float64), [[0, 0], [1, 3]]
    free = explain.method("preset_a_flat", epsilon=0.0)(model, x, pairs)
    np.testing.assert_allclose(free.conservation, 1.0, atol=1e-6)
    found = explain.method("preset_a_flat")(model, x, pairs)
    slow = explain.method("preset_a_flat", engine="zennit")(model, x, pairs)
    np.testing.assert_allclose(found.values, slow.values, rtol=0, atol=1e-6 * np.abs(slow.values).max())
    if name in ("weinet", "songnet"):  # one dense layer: R = z / (z + epsilon)
        np.testing.assert_allclose(found.conservation, np.abs(found.score) / (np.abs(found.score) + 0.1), rtol=1e-5)


def test_silnet_starts_glorot_normal():
    torch.manual_seed(0)
    weight = scratch.glorot_normal(torch.empty(400, 600))
    std = np.sqrt(2 / 1000)
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    assert weight.abs().max().item() <= 2 * std / 0.87962566103423978
