"""The stages of a network: the layers whose attention is looked at where nobody names any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

_LEAST, _MOST = 4, 6  # stages: with fewer a block is opened, with more one of each resolution is enough


@dataclass(frozen=True)
class _Ran:
    """A module that gave feature maps, the last time that it ran."""

    name: str
    side: tuple[int, int]
    channels: int
    learns: bool


def feature_stages(model: nn.Module, size: int) -> tuple[str, ...]:
    """Modules that end the stages of a convolutional network, from the input to the output.

    Of modules one after another that give maps of one size and as many channels the last counts: of torchvision's
    ResNets these are `relu` (behind the first convolution), `layer1`, `layer2`, `layer3` and `layer4`, the layers 1 to
    5 of methods MD-2.

    Parameters
    ----------
    model
        In evaluation mode; it runs once.
    size : pixels
        Side of its images.

    Returns
    -------
    names, as `model.named_modules()` has them
        Empty where no layer has maps (N, K, h, w); of a network that names an `attention_layer`, that one alone.
    """
    if isinstance(stated := getattr(model, "attention_layer", None), str):
        return (stated,)
    ran, modules = _forward(model, size), dict(model.named_modules())
    parts = [name for name, _ in model.named_children()]
    while True:
        found = _ends([one for one in ran if one.name in parts])
        opened = [name for name in parts if any(one.name.startswith(f"{name}.") for one in ran)]
        if len(found) >= _LEAST or not opened:
            return found
        largest = max(opened, key=lambda name: sum(p.numel() for p in modules[name].parameters()))
        inner = [f"{largest}.{name}" for name, _ in modules[largest].named_children()]
        parts = [name for part in parts for name in (inner if part == largest else [part])]


def _forward(model: nn.Module, size: int) -> list[_Ran]:
    """Modules in the order in which they last gave maps of more than one position."""
    ran: dict[str, _Ran] = {}

    def note(name: str, module: nn.Module, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and _has_positions(output.shape[2], output.shape[3]):
            ran.pop(name, None)
            learns = next(module.parameters(), None) is not None
            ran[name] = _Ran(name, (output.shape[2], output.shape[3]), output.shape[1], learns)

    handles = [
        module.register_forward_hook(lambda m, _i, output, name=name: note(name, m, output))
        for name, module in model.named_modules()
        if name
    ]
    parameter = next(model.parameters(), torch.zeros(0))
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype))
    finally:
        for handle in handles:
            handle.remove()
    return list(ran.values())


def _has_positions(height: int, width: int) -> bool:
    """Whether these are rows and columns of a square image, not heads and tokens."""
    return height > 1 and abs(height - width) <= 1


def _ends(ran: Sequence[_Ran]) -> tuple[str, ...]:
    """Names of the last of each stage; pooling between two stages, where nothing is learned, is none."""
    last = {(one.side, one.channels): one for one in ran}
    learned = {(one.side, one.channels) for one in ran if one.learns}
    found = [one for one in ran if last[stage := (one.side, one.channels)] is one and stage in learned]
    of_side = {one.side: one for one in found}
    return tuple(one.name for one in found if len(found) <= _MOST or of_side[one.side] is one)
