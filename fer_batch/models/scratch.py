"""The four networks of methods MD-4 that are trained from scratch, layer by layer as the study has them.

Convolutions and poolings pad as Keras' `same` does: output = ceil(input / stride). Where the padding is odd, Keras puts
one pixel more below and to the right. So do the poolings here, with zeros, which after a ReLU serve as well as minus
infinity. The one such convolution, the first of AlexNet, has it above and to the left instead: that padding can stay in
the layer, where relevance rules know that it is not part of the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from fer_batch.types import InputError

_TRUNCATED_STD = 0.87962566103423978  # of a standard normal cut at two deviations, which Keras draws from


class Conv(NamedTuple):
    """A convolution with bias and ReLU."""

    channels: int
    kernel: int
    stride: int = 1


class Pool(NamedTuple):
    """A max pooling."""

    kernel: int
    stride: int


class Layout(NamedTuple):
    """One network: side of its square input, then what stands before and behind the flattening; a float drops out."""

    size: int
    features: tuple[Conv | Pool | float, ...]
    dense: tuple[int | float, ...]


ALEXNET = Layout(
    224,
    (Conv(96, 11, 4), Pool(3, 2), Conv(256, 5), Pool(3, 2), Conv(384, 3), Conv(384, 3), Conv(256, 3), Pool(3, 2)),
    (4096, 0.4, 4096, 4096, 0.4),
)
WEINET = Layout(64, (Conv(32, 7), Pool(2, 1), Conv(32, 7), Pool(2, 1), Conv(64, 7), Pool(2, 1)), ())
SONGNET = Layout(
    224,
    (Conv(64, 5), Pool(3, 2), Conv(64, 5), Pool(3, 2), Conv(32, 3), Pool(3, 2), 0.5, Conv(32, 3), Pool(3, 2), 0.5),
    (),
)
SILNET = Layout(
    150,
    (Conv(32, 11), Pool(2, 2), Conv(32, 7), Conv(32, 7), Pool(2, 1), Conv(64, 5), Conv(64, 5), Pool(2, 1)),
    (512, 0.5, 512),
)


class ScratchNetwork(nn.Module):
    """Convolutions and poolings (`features`), then dense layers (`classifier`), of one layout.

    Parameters
    ----------
    layout
        Which layers.
    n_outputs
        Number of logits.
    size
        Side of the square input in pixels; None for the layout's. Another side gives the first dense layer another
        number of parameters.
    initialise
        Called with every weight; biases start at zero.
    """

    def __init__(
        self, layout: Layout, n_outputs: int, size: int | None, initialise: Callable[[torch.Tensor], object]
    ) -> None:
        super().__init__()
        self.size = side = layout.size if size is None else size
        if not isinstance(side, int) or side < 1:
            raise InputError(f"options.size must be a positive number of pixels, got {size!r}")
        modules: list[nn.Module] = []
        n_in = 3
        for layer in layout.features:
            if isinstance(layer, float):
                modules.append(nn.Dropout(layer))
                continue
            side, first, last = _same(side, layer.kernel, layer.stride)
            if isinstance(layer, Conv):
                modules += [nn.Conv2d(n_in, layer.channels, layer.kernel, layer.stride, last), nn.ReLU(inplace=True)]
                n_in = layer.channels
            elif first == last:
                modules.append(nn.MaxPool2d(layer.kernel, layer.stride, last))
            else:
                modules += [nn.ZeroPad2d((first, last, first, last)), nn.MaxPool2d(layer.kernel, layer.stride)]
        self.features = nn.Sequential(*modules)
        modules, n_in = [], n_in * side * side
        for width in layout.dense:
            if isinstance(width, float):
                modules.append(nn.Dropout(width))
                continue
            modules += [nn.Linear(n_in, width), nn.ReLU(inplace=True)]
            n_in = width
        self.classifier = nn.Sequential(*modules, nn.Linear(n_in, n_outputs))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                initialise(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # each has one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (N, n_outputs), of images (N, 3, size, size) in the dtype of the weights."""
        return self.classifier(torch.flatten(self.features(x), 1))


def _same(side: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """Side after a `same` layer, and the padding at the beginning and at the end of a row."""
    after = -(-side // stride)
    total = max((after - 1) * stride + kernel - side, 0)
    return after, total // 2, total - total // 2


def glorot_normal(weight: torch.Tensor) -> torch.Tensor:
    """Fill a weight as Keras' GlorotNormal does (Glorot & Bengio 2010, Eq. 16; normal, cut at two deviations).

    Parameters
    ----------
    weight : shape (out, in, ...), any floating dtype
        Filled in place; its variance becomes 2 / (fan_in + fan_out).
    """
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    std = math.sqrt(2 / (fan_in + fan_out)) / _TRUNCATED_STD
    return nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def alexnet(n_outputs: int, size: int | None = None) -> nn.Module:
    """AlexNet as the study has it: 88,718,726 parameters at 6 outputs and 224 pixels."""
    return ScratchNetwork(ALEXNET, n_outputs, size, nn.init.xavier_uniform_)


def weinet(n_outputs: int, size: int | None = None) -> nn.Module:
    """WeiNet: 1,728,230 parameters at 6 outputs and 64 pixels."""
    return ScratchNetwork(WEINET, n_outputs, size, nn.init.xavier_uniform_)


def songnet(n_outputs: int, size: int | None = None) -> nn.Module:
    """SongNet: 172,678 parameters at 6 outputs and 224 pixels."""
    return ScratchNetwork(SONGNET, n_outputs, size, nn.init.xavier_uniform_)


def silnet(n_outputs: int, size: int | None = None) -> nn.Module:
    """SilNet: 184,852,038 parameters at 6 outputs and 150 pixels; Glorot-normal weights."""
    return ScratchNetwork(SILNET, n_outputs, size, glorot_normal)
