"""Options that any network of a kind takes: a head that is trained to localise, and a finer last map.

`build` takes them out of `options`, hands the rest to the architecture, and applies them to what that made. They stand
in the card like every option, so that a run builds the same network.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from fer_batch.models.acol import Acol
from fer_batch.models.attention_dropout import with_attention_dropout
from fer_batch.models.class_maps import ClassMaps, MapHead
from fer_batch.models.map_heads import PeakStimulation, Wildcat
from fer_batch.registry import nearest
from fer_batch.types import InputError

MAP_HEADS: dict[str, Callable[..., MapHead]] = {"wildcat": Wildcat, "prm": PeakStimulation, "acol": Acol}
HEADS = ("acol", "adl", "prm", "wildcat")
STRIDES = {4: ("layer2", "layer3", "layer4"), 8: ("layer3", "layer4"), 16: ("layer4",), 32: ()}
_ADL = ("layers", "drop_rate", "threshold")


@dataclass(frozen=True)
class Localisation:
    """What the options of a network ask for besides its architecture.

    Attributes
    ----------
    head
        One of `HEADS`; None leaves the architecture's.
    stride
        Pixels of the input between two positions of the last map; None leaves it.
    options
        Of the head.
    """

    head: str | None = None
    stride: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    def applied(self, architecture: str, model: nn.Module, n_outputs: int) -> nn.Module:
        """The network that is asked for, made of the architecture's.

        Parameters
        ----------
        architecture
            Its name, for errors.
        model
            May be changed in place.
        n_outputs
            Number of logits.

        Raises
        ------
        InputError
            If this architecture has no place for it.
        """
        if self.stride is not None:
            set_stride(architecture, model, self.stride)
        if self.head == "adl":
            options = dict(self.options)
            layers = options.pop("layers", None)
            names = default_dropout_layers(model) if layers is None else _names(layers)
            return with_attention_dropout(model, names, **options)  # type: ignore[arg-type]
        if self.head is not None:
            return Localised(architecture, model, self.head, n_outputs, self.options)
        return model


class Localised(nn.Module):
    """The convolutional part of a network, and a head that makes class maps where the pooling and dense layer were.

    Modules of the convolutional part keep their names, so that weights files of the network load; the head is `head`.

    Parameters
    ----------
    architecture
        Its name, for errors.
    model
        Whose convolutional part is taken.
    head
        Of `MAP_HEADS`.
    n_outputs
        Number of logits.
    options
        Of the head.

    Attributes
    ----------
    feature_layer
        Module whose maps the head reads.
    replaced
        Prefix of the dense layer in weights files of the network.

    Raises
    ------
    InputError
        If the network does not end in pooling and one dense layer, or an option is not the head's.
    """

    def __init__(
        self, architecture: str, model: nn.Module, head: str, n_outputs: int, options: Mapping[str, object]
    ) -> None:
        super().__init__()
        stages, last = _convolutional_part(architecture, model, head)
        for name, stage in stages.items():
            self.add_module(name, stage)
        self._stages, self.feature_layer, self.replaced = tuple(stages), list(stages)[-1], f"{last}."
        n_channels = model.get_submodule(last).in_features
        self.head = MAP_HEADS[head](n_channels, n_outputs, **options)

    def get_classifier(self) -> nn.Module:
        """What belongs to the task and not to the backbone, as timm's networks say it."""
        return self.head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (N, n_outputs), of images (N, 3, H, W) in the dtype of the weights."""
        return self.head(self._maps(x))

    def class_maps(self, x: torch.Tensor) -> ClassMaps:
        """Logits and class maps of images (N, 3, H, W) in the dtype of the weights."""
        found: ClassMaps = self.head.class_maps(self._maps(x))
        return found

    def _maps(self, x: torch.Tensor) -> torch.Tensor:
        for name in self._stages:
            x = getattr(self, name)(x)
        return x


def taken_out(options: Mapping[str, object]) -> tuple[Localisation, dict[str, object]]:
    """Options of a network in two parts: those of this module, and those of the architecture.

    Parameters
    ----------
    options
        Of the job or the card.

    Raises
    ------
    InputError
        If there is no head of that name, or no such stride.
    """
    rest = dict(options)
    head, stride = rest.pop("head", None), rest.pop("stride", None)
    if head is not None and head not in HEADS:
        raise InputError(f"options.head {head!r} is unknown; {nearest(str(head), HEADS)}")
    if stride is not None and (not isinstance(stride, int) or stride not in STRIDES):
        raise InputError(f"options.stride must be one of {', '.join(map(str, STRIDES))} pixels, got {stride!r}")
    if stride is not None and rest.get("large_maps"):
        raise InputError("options.large_maps is stride: 8; give one of the two")
    own = {name: rest.pop(name) for name in options_of(str(head)) if name in rest} if head is not None else {}
    return Localisation(head, stride, own), rest  # type: ignore[arg-type]


def options_of(head: str) -> tuple[str, ...]:
    """Names of the options that a head takes."""
    return _ADL if head == "adl" else tuple(inspect.signature(MAP_HEADS[head]).parameters)[2:]


def advice(wanted: Localisation, rest: Mapping[str, object]) -> str:
    """What to say of options that fit neither the head nor the architecture; empty where nothing helps."""
    if wanted.head is not None:
        takes = options_of(wanted.head)
        close = [name for key in rest for name in difflib.get_close_matches(key, takes, 1)]
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"; {hint}head {wanted.head} takes {', '.join(takes)}"
    owners = {key: [head for head in HEADS if key in options_of(head)] for key in rest}
    found = [f"options.{key} belongs to head: {' or '.join(heads)}" for key, heads in owners.items() if heads]
    return f"; {found[0]}" if found else ""


def set_stride(architecture: str, model: nn.Module, stride: int) -> None:
    """Keep the resolution in the last stages of a ResNet, without dilation; the parameters are the same (MD-2).

    Parameters
    ----------
    architecture
        Its name, for errors.
    model
        Changed in place.
    stride
        One of `STRIDES`: 8 gives 28x28 maps of 224x224 images.

    Raises
    ------
    InputError
        If the network is no ResNet, or has reduced its resolution by other means than strides of convolutions.
    """
    if not _is_resnet(model):
        raise InputError(
            f"options.stride is of ResNets with stages layer1 to layer4; {architecture} has no such stages"
        )
    for name in STRIDES[stride]:
        steps = [m for m in model.get_submodule(name).modules() if getattr(m, "stride", 1) in (2, (2, 2))]
        layers = [m for m in steps if isinstance(m, nn.Conv2d)]
        if len(layers) < sum(not list(m.children()) for m in steps):
            raise InputError(f"options.stride: {architecture} reduces {name} by a pooling, which stays")
        for layer in layers:
            layer.stride = (1, 1)


def default_dropout_layers(model: nn.Module) -> tuple[str, ...]:
    """The layers that attention-based dropout follows in a ResNet: the first block of layer3, and layer4's ends."""
    if not _is_resnet(model):
        return ()
    return ("layer3.0", "layer4.0", f"layer4.{len(model.get_submodule('layer4')) - 1}")  # type: ignore[arg-type]


def stages_until(architecture: str, model: nn.Module, last: str) -> dict[str, nn.Module]:
    """Parts of a ResNet by name, in the order in which it runs them, up to one of its stages.

    Parameters
    ----------
    architecture
        Its name, for errors.
    model
        The network.
    last
        `layer1` to `layer4`.

    Raises
    ------
    InputError
        If the network is no ResNet.
    """
    if not _is_resnet(model):
        raise InputError(f"expected a ResNet with stages layer1 to layer4, got {architecture}")
    parts = list(model.named_children())
    return dict(parts[: [name for name, _ in parts].index(last) + 1])


def _is_resnet(model: nn.Module) -> bool:
    """Ours, torchvision's and timm's have these stages and run their parts in the order of their names."""
    return type(model).__name__ in ("ResNet", "ResNet18") and hasattr(model, "layer4")


def _convolutional_part(architecture: str, model: nn.Module, head: str) -> tuple[dict[str, nn.Module], str]:
    """Parts of a network up to its last maps, in order, and the name of the dense layer behind their mean."""
    parts = dict(model.named_children())
    if _is_resnet(model) and isinstance(parts.get("fc"), nn.Linear):
        return stages_until(architecture, model, "layer4"), "fc"
    if list(parts) == ["features", "avgpool", "classifier"] and isinstance(parts["classifier"], nn.Linear):
        return {"features": parts["features"]}, "classifier"
    raise InputError(
        f"options.head {head} takes the place of average pooling and one dense layer behind the last maps; it fits "
        "resnet18, resnet50, vgg16, vgg19, mobilenet_v3_large, torchvision:resnet... and timm:resnet..., not with "
        f"{architecture}"
    )


def _names(layers: object) -> tuple[str, ...]:
    found = [layers] if isinstance(layers, str) else layers
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        raise InputError(f"options.layers: expected names of modules, got {layers!r}")
    return tuple(found)
