"""Networks by name: one ResNet-18 of our own, and any of torchvision's and timm's with its head replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from fer_batch.registry import Registry, nearest
from fer_batch.types import InputError

ARCHITECTURES: Registry[Callable[..., nn.Module]] = Registry("architecture")


class ResNet18(nn.Module):
    """ResNet-18 with a width factor (methods MD-1; He et al. 2016, Table 1).

    Submodules are named as torchvision names them, so that ImageNet files load into `width=1` without a key map.

    Parameters
    ----------
    n_outputs
        Number of logits.
    width
        Multiplies the 64, 128, 256 and 512 channels; 1 gives the published 11.18 M parameters.
    """

    def __init__(self, n_outputs: int, width: float = 1.0) -> None:
        super().__init__()
        channels = [round(c * width) for c in (64, 128, 256, 512)]
        if min(channels) < 1:
            raise InputError(f"model.options.width {width} leaves a layer without channels")
        self.conv1 = nn.Conv2d(3, channels[0], kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _stack(channels[0], channels[0], stride=1)
        self.layer2 = _stack(channels[0], channels[1], stride=2)
        self.layer3 = _stack(channels[1], channels[2], stride=2)
        self.layer4 = _stack(channels[2], channels[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels[3], n_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [N, n_outputs] of images [N, 3, H, W]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _stack(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    downsample = None
    if stride != 1 or n_in != n_out:
        downsample = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out))
    return nn.Sequential(BasicBlock(n_in, n_out, stride, downsample), BasicBlock(n_out, n_out))


@ARCHITECTURES.register("resnet18")
def resnet18(n_outputs: int, width: float = 1.0) -> nn.Module:
    """The AU network of methods MD-1: 11,180,616 parameters at 8 outputs and width 1."""
    return ResNet18(n_outputs, width)


def build(architecture: str, n_outputs: int, options: dict[str, Any] | None = None) -> nn.Module:
    """Freshly initialised network; weights are never downloaded.

    Parameters
    ----------
    architecture
        A name in `ARCHITECTURES`, or `torchvision:NAME` or `timm:NAME` for theirs with the head replaced.
    n_outputs
        Number of logits.
    options
        Keyword arguments of the architecture (`width` of `resnet18`, `dropout` of torchvision's VGG).

    Raises
    ------
    InputError
        If the name is unknown or the options are not the architecture's.
    """
    library, _, name = architecture.rpartition(":")
    options = options or {}
    try:
        if library == "torchvision":
            return _torchvision(name, n_outputs, options)
        if library == "timm":
            return _timm(name, n_outputs, options)
        if library or name not in ARCHITECTURES:
            known = nearest(architecture, ARCHITECTURES)
            raise InputError(
                f"model.architecture {architecture!r} is unknown; {known}, and torchvision:NAME or timm:NAME"
            )
        return ARCHITECTURES[name](n_outputs, **options)
    except TypeError as error:
        raise InputError(f"model.options do not fit {architecture}: {error}") from None


def _torchvision(name: str, n_outputs: int, options: dict[str, Any]) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise InputError(f"model.architecture torchvision:{name} is unknown; {nearest(name, known)}")
    return models.get_model(name, weights=None, num_classes=n_outputs, **options)


def _timm(name: str, n_outputs: int, options: dict[str, Any]) -> nn.Module:
    import timm

    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('.')[0][:8]}*")[:5]
        hint = f"; similar: {', '.join(close)}" if close else ""
        raise InputError(f"model.architecture timm:{name} is unknown to timm {timm.__version__}{hint}")
    return timm.create_model(name, pretrained=False, num_classes=n_outputs, **options)
