"""Networks by name: those of methods 4, and any of torchvision's and timm's with its head replaced."""

from __future__ import annotations

import difflib
import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fer_batch import lean_torchvision  # noqa: F401

# isort: split

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from fer_batch.models import pretrained, scratch
from fer_batch.models.apvit import Apvit
from fer_batch.models.dense_head import DenseHead, without_head
from fer_batch.models.ir50 import Ir50
from fer_batch.models.localised import Localised, advice, stages_until, taken_out
from fer_batch.registry import Registry, nearest
from fer_batch.types import InputError

ARCHITECTURES: Registry[Callable[..., nn.Module]] = Registry("architecture")
_PUBLISHED: dict[str, Callable[..., nn.Module]] = {
    "vgg_face": pretrained.VggFace,
    "alexnet": scratch.alexnet,
    "weinet": scratch.weinet,
    "songnet": scratch.songnet,
    "silnet": scratch.silnet,
    "vgg16": pretrained.vgg16,
    "vgg19": pretrained.vgg19,
    "resnet50": pretrained.resnet50,
    "resnet101v2": pretrained.resnet101v2,
    "inception_v3": pretrained.inception_v3,
    "xception": pretrained.xception,
    "mobilenet_v3_large": pretrained.mobilenet_v3_large,
    "efficientnet_v2_b0": pretrained.efficientnet_v2_b0,
}
for _name, _factory in _PUBLISHED.items():
    ARCHITECTURES.register(_name)(_factory)

_FIXED = ("weights", "weights_backbone", "pretrained", "pretrained_cfg", "checkpoint_path", "num_classes")


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
        if not isinstance(width, int | float):
            raise InputError(f"options.width must be a number, got {width!r}")
        channels = [round(c * width) for c in (64, 128, 256, 512)]
        if min(channels) < 1:
            raise InputError(f"options.width {width} leaves a layer without channels")
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
        """Logits, shape (N, n_outputs), of images (N, 3, H, W) in the dtype of the weights."""
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


@ARCHITECTURES.register("dense_head")
def dense_head(n_outputs: int, backbone: str = "resnet18", layers: Sequence[int | str] = ()) -> nn.Module:
    """Any network by name, its last layer replaced by dense layers: see `DenseHead`.

    Parameters
    ----------
    n_outputs
        Number of logits.
    backbone
        A name that `build` takes.
    layers
        What stands before the last dense layer.

    Raises
    ------
    InputError
        If the backbone is unknown, does not end in one dense layer, or a layer is none there is.
    """
    model = build(backbone, 1)
    heads = head_prefixes(model)
    return DenseHead(model, without_head(model, heads[0].rstrip(".") if heads else ""), layers, n_outputs)


@ARCHITECTURES.register("apvit")
def apvit(n_outputs: int, backbone: str = "ir50", **options: Any) -> nn.Module:
    """APViT on IR-50, as published, or on the first three stages of a ResNet by name: see `apvit.Apvit`.

    Parameters
    ----------
    n_outputs
        Number of logits.
    backbone
        `ir50`, or a ResNet that `build` takes.
    options
        Of `Apvit`; `size` is 112 on IR-50, 224 on a ResNet.

    Raises
    ------
    InputError
        If the backbone is neither, or an option is impossible.
    """
    if backbone == "ir50":
        return Apvit(Ir50(), 256, 8, n_outputs, **options)
    model = build(backbone, 1)
    extractor = nn.Sequential(OrderedDict(stages_until(f"options.backbone {backbone}", model, "layer3")))
    n_channels = model.get_submodule("layer4.0.conv1").in_channels
    return Apvit(extractor, n_channels, 16, n_outputs, **{"size": 224, **options})  # type: ignore[arg-type]


def _ts_cam(kind: str, n_outputs: int, **options: Any) -> nn.Module:
    from fer_batch.models.ts_cam import deit  # timm takes seconds, and most networks do not need it

    return deit(kind, n_outputs, **options)


for _kind in ("tiny", "small", "base"):
    ARCHITECTURES.register(f"ts_cam_deit_{_kind}")(functools.partial(_ts_cam, _kind))


def build(architecture: str, n_outputs: int, options: dict[str, Any] | None = None) -> nn.Module:
    """Freshly initialised network; weights are never downloaded.

    Parameters
    ----------
    architecture
        A name in `ARCHITECTURES`, or `torchvision:NAME` or `timm:NAME` for theirs with the head replaced.
    n_outputs
        Number of logits.
    options
        Keyword arguments of the architecture (`width` of `resnet18`, `dropout` of torchvision's VGG), and those of
        `localised` (`head` with its own, `stride`).

    Raises
    ------
    InputError
        If the name is unknown or the options are not the architecture's.
    """
    library, _, name = architecture.rpartition(":")
    options = options or {}
    for option in options:
        if option in _FIXED:
            raise InputError(f"options.{option} cannot be set: weights come from checkpoint, outputs from targets")
    factory = _factory_of(library, name)
    wanted, rest = taken_out(options)
    try:
        return wanted.applied(architecture, factory(n_outputs, **rest), n_outputs)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, AssertionError, AttributeError, KeyError) as error:
        hint = advice(wanted, rest)
        raise InputError(f"options do not fit {architecture}: {type(error).__name__}: {error}{hint}") from None


def check_architecture(architecture: str) -> None:
    """Raise `InputError`, with the nearest one, where no network has this name; nothing is built."""
    library, _, name = architecture.rpartition(":")
    _factory_of(library, name)


def _factory_of(library: str, name: str) -> Callable[..., nn.Module]:
    if library == "torchvision":
        return _of_torchvision(name)
    if library == "timm":
        return _of_timm(name)
    if library or name not in ARCHITECTURES:
        architecture = f"{library}:{name}" if library else name
        known = nearest(architecture, ARCHITECTURES)
        raise InputError(f"architecture {architecture!r} is unknown; {known}, and torchvision:NAME or timm:NAME")
    return ARCHITECTURES[name]


def _of_torchvision(name: str) -> Callable[..., nn.Module]:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise InputError(f"architecture torchvision:{name} is unknown; {_similar(name, known)}")
    # the auxiliary classifiers of these two would make the output in training a tuple
    fixed = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return lambda n_outputs, **options: models.get_model(
        name, weights=None, num_classes=n_outputs, **{**fixed, **options}
    )


def _of_timm(name: str) -> Callable[..., nn.Module]:
    import timm

    if not timm.is_model(name):
        hint = _similar(name, timm.list_models())
        raise InputError(f"architecture timm:{name} is unknown to timm {timm.__version__}; {hint}")
    return lambda n_outputs, **options: timm.create_model(name, pretrained=False, num_classes=n_outputs, **options)


def _similar(name: str, known: list[str]) -> str:
    """Like `registry.nearest` where there are too many names to list."""
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    return f"did you mean {close[0]!r}? similar: {', '.join(close)}" if close else f"it has {len(known)} others"


def head_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Prefixes of the tensors that belong to a network's task and not to its backbone, such as `("fc.",)`.

    `checkpoint.load_state(model, state, keep=head_prefixes(model))` loads a weights file of another task: the layer
    that makes the logits stays as it is, and what the file has in its place, or for an auxiliary classifier, is
    ignored.
    """
    get_classifier: Any = getattr(model, "get_classifier", None)
    if get_classifier is not None:  # timm's; a distilled transformer has two
        found = get_classifier()
        heads = list(found) if isinstance(found, tuple | list) else [found]
    else:
        heads = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1:]
    names = [f"{name}." for name, module in model.named_modules() if any(module is head for head in heads)]
    if isinstance(model, Localised):
        names.append(model.replaced)
    if getattr(model, "aux_logits", None) is False:
        names += ["AuxLogits.", "aux1.", "aux2."]
    return tuple(names)


def take_outputs(
    model: nn.Module, state: Mapping[str, torch.Tensor], outputs: Sequence[int], uri: str
) -> dict[str, torch.Tensor]:
    """A state whose last layer has only some of its outputs.

    Parameters
    ----------
    model
        Into which the state goes; says which layer is the last.
    state
        Tensors by the names of the model, each of the shape and dtype that the file has; those of the last layer are
        (n_file_outputs, ...).
    outputs
        Numbers of the outputs, in the order that they get; those tensors become (len(outputs), ...).
    uri
        Where the state came from, for errors.

    Raises
    ------
    InputError
        If the last layer has no such output.
    """
    if isinstance(model, Localised):
        raise InputError("outputs: a network with a head of class maps has all outputs of its file")
    heads = head_prefixes(model)
    taken = {key: tensor for key, tensor in state.items() if key.startswith(heads)}
    for key, tensor in taken.items():
        if max(outputs) >= len(tensor):
            raise InputError(f"outputs: {uri} has {len(tensor)} outputs ({key}), numbered from 0; got {max(outputs)}")
    return {**state, **{key: tensor[list(outputs)] for key, tensor in taken.items()}}
