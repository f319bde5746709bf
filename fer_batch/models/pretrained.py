"""Layouts of networks that are published with weights: VGG-Face (methods MD-3) and eight of the twelve of MD-4.

Modules are named as torchvision or timm names them, so that their weights files load without a key map. Nothing is
downloaded: the weights are a file that the user names.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from fer_batch import lean_torchvision  # noqa: F401

# isort: split

import torch
import torchvision
from torch import nn
from torchvision.models.vgg import make_layers

from fer_batch.models.localised import set_stride
from fer_batch.models.spec import KeyMap
from fer_batch.types import InputError

_VGG: dict[int, list[str | int]] = {
    depth: [64, 64, "M", 128, 128, "M", *[256] * n, "M", *[512] * n, "M", *[512] * n, "M"]
    for depth, n in ((16, 3), (19, 4))
}


_CONVOLUTIONS = {1: (0, 2), 2: (5, 7), 3: (10, 12, 14), 4: (17, 19, 21), 5: (24, 26, 28)}  # of `features`, by block
_DENSE = {6: 0, 7: 3, 8: 6}  # of `classifier`
CAFFE_NAMES: KeyMap = (
    *(
        (rf"^(module\.)?conv_?{block}_{number}\.", f"features.{place}.")
        for block, places in _CONVOLUTIONS.items()
        for number, place in enumerate(places, 1)
    ),
    *((rf"^(module\.)?fc_?{number}\.", f"classifier.{place}.") for number, place in _DENSE.items()),
)
"""Names of the Caffe model of VGG-Face (conv1_1 ... conv5_3, fc6, fc7, fc8) as those of `VggFace`, which are
torchvision's. Networks with these names expect pixels from 0 to 255."""


def vgg_face_names(names: Collection[str]) -> KeyMap | None:
    """The key map of a file of VGG-Face by the names of its tensors; None where they are torchvision's, or others."""
    return CAFFE_NAMES if any(re.match(r"(module\.)?conv_?1_1\.", name) for name in names) else None


class Pooled(nn.Module):
    """A convolutional part, its mean over all positions, and one linear layer."""

    def __init__(self, features: nn.Module, n_channels: int, n_outputs: int) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Linear(n_channels, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (N, n_outputs), of images (N, 3, H, W) in the dtype of the weights."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class VggFace(nn.Module):
    """VGG-16 with its three dense layers, for weights of VGG-Face (methods MD-3).

    Parameters
    ----------
    n_outputs
        Number of logits.
    dropout
        Probability behind the two hidden dense layers; 0.5 in the study's dropout variants.
    train
        `dense`: only the three dense layers learn, as in the study; `all`: the convolutions too.
    """

    def __init__(self, n_outputs: int, dropout: float = 0.0, train: str = "dense") -> None:
        super().__init__()
        if train not in ("dense", "all"):
            raise InputError(f"options.train {train!r}: expected dense or all")
        if not 0 <= dropout < 1:
            raise InputError(f"options.dropout must lie in [0, 1), got {dropout}")
        self.features = _vgg_features(16)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, n_outputs),
        )
        self.size = 224
        self.features.requires_grad_(train == "all")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (N, n_outputs), of images (N, 3, 224, 224) in the dtype of the weights."""
        return self.classifier(torch.flatten(self.features(x), 1))


def _vgg_features(depth: int) -> nn.Sequential:
    features = make_layers(_VGG[depth])
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # it has one
    return features


def vgg16(n_outputs: int) -> nn.Module:
    """VGG-16 without its dense layers; weights of torchvision's `vgg16`."""
    return Pooled(_vgg_features(16), 512, n_outputs)


def vgg19(n_outputs: int) -> nn.Module:
    """VGG-19 without its dense layers; weights of torchvision's `vgg19`."""
    return Pooled(_vgg_features(19), 512, n_outputs)


def resnet50(n_outputs: int, large_maps: bool = False) -> nn.Module:
    """ResNet-50; weights of torchvision's `resnet50`. `large_maps` is another name of `stride: 8` (methods MD-2)."""
    model = torchvision.models.resnet50(weights=None, num_classes=n_outputs)
    if large_maps:
        set_stride("resnet50", model, 8)
    return model


def resnet101v2(n_outputs: int) -> nn.Module:
    """ResNet-101 with pre-activation; weights of timm's `resnetv2_101`."""
    return _timm("resnetv2_101", n_outputs)


def inception_v3(n_outputs: int) -> nn.Module:
    """Inception V3 without its auxiliary classifier; weights of torchvision's `inception_v3`."""
    return torchvision.models.inception_v3(
        weights=None, num_classes=n_outputs, aux_logits=False, init_weights=True, dropout=0.0
    )


def xception(n_outputs: int) -> nn.Module:
    """Xception; weights of timm's `legacy_xception`."""
    return _timm("legacy_xception", n_outputs)


def mobilenet_v3_large(n_outputs: int) -> nn.Module:
    """MobileNetV3-Large without its dense layers; weights of torchvision's `mobilenet_v3_large`."""
    return Pooled(torchvision.models.mobilenet_v3_large(weights=None).features, 960, n_outputs)


def efficientnet_v2_b0(n_outputs: int) -> nn.Module:
    """EfficientNetV2-B0; weights of timm's `tf_efficientnetv2_b0`."""
    return _timm("tf_efficientnetv2_b0", n_outputs)


def _timm(name: str, n_outputs: int) -> nn.Module:
    import timm  # seconds, and most networks do not need it

    return timm.create_model(name, pretrained=False, num_classes=n_outputs)
