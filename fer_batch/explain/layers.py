"""The feature maps an activation map is made of: which layer, what it said, and how the logits depend on it."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fer_batch.registry import nearest
from fer_batch.types import InputError


def as_grid(features: torch.Tensor, image_size: tuple[int, int]) -> torch.Tensor | None:
    """Feature maps of a module's output, or None where it has no positions.

    Parameters
    ----------
    features : shape (N, K, h, w), (N, h, w, K) or (N, P + h w, K), any dtype
        Maps, or tokens whose first P (class token, registers) have no place.
    image_size
        Height and width of the images in pixels: a grid has their proportions.

    Returns
    -------
    shape (N, K, h, w)
        A view.
    """
    height, width = image_size
    if features.ndim == 4:
        if _fits(features.shape[2], features.shape[3], height, width):
            return features
        last = features.shape[3] > 1 and _fits(features.shape[1], features.shape[2], height, width)
        return features.permute(0, 3, 1, 2) if last else None
    if features.ndim != 3:
        return None
    for prefix in range(min(9, features.shape[1])):
        n_patches = features.shape[1] - prefix
        patch = round((height * width / n_patches) ** 0.5)
        if n_patches >= 4 and patch * patch * n_patches == height * width and height % patch == width % patch == 0:
            return features[:, prefix:].transpose(1, 2).unflatten(2, (height // patch, width // patch))
    return None


def _fits(h: int, w: int, height: int, width: int) -> bool:
    """Whether h x w are positions: more than one, and off the proportions of the image by at most one row or column."""
    if h * w < 2 or h > height or w > width:
        return False
    return abs(h - w * height / width) <= 1 and abs(w - h * width / height) <= 1


def default_layer(model: nn.Module, image_shape: tuple[int, ...]) -> str:
    """Name of the last module that returns feature maps whose positions the logits depend on.

    For a CNN that is the last residual block or convolution stage (methods X-4), before any pooling; for a transformer
    that reads its class token alone, the input of the last attention, for behind it the other tokens are not read. A
    network whose head makes maps itself names the layer that the head reads as its `feature_layer`.

    Parameters
    ----------
    model
        In evaluation mode.
    image_shape : (C, H, W)

    Raises
    ------
    ValueError
        If there is none.
    """
    stated = getattr(model, "feature_layer", None)
    if isinstance(stated, str):
        return stated
    cached = _DEFAULTS.setdefault(model, {})
    if image_shape not in cached:
        name, certain = _last_feature_map(model, image_shape)
        if not certain:
            return name
        cached[image_shape] = name
    return cached[image_shape]


_DEFAULTS: weakref.WeakKeyDictionary[nn.Module, dict[tuple[int, ...], str]] = weakref.WeakKeyDictionary()


def _last_feature_map(model: nn.Module, image_shape: tuple[int, ...]) -> tuple[str, bool]:
    """The name, and whether a gradient proved it: a head that is still all zeros passes none."""
    parameter = next(model.parameters(), None)
    noise = torch.rand(1, *image_shape, generator=torch.Generator().manual_seed(0))
    image = (noise if parameter is None else noise.to(parameter.device, parameter.dtype)).requires_grad_()
    size = (image_shape[1], image_shape[2])
    ran: list[tuple[str, torch.Tensor]] = []
    pooled: list[torch.Tensor] = []

    def note(name: str, module: nn.Module, output: Any) -> None:
        if not isinstance(output, torch.Tensor) or any(output is p for p in pooled):
            return
        if "Pool" in type(module).__name__:
            pooled.append(output)
        elif name and as_grid(output, size) is not None:
            ran.append((name, output))

    handles = [
        module.register_forward_hook(lambda m, _inputs, output, name=name: note(name, m, output))
        for name, module in model.named_modules()
    ]
    try:
        with torch.enable_grad():
            logits = model(image)
    finally:
        for handle in handles:
            handle.remove()
    # tokens keep one width from block to block; queries, keys and hidden layers within a block have others
    width = next((output.shape[2] for _, output in ran if output.ndim == 3), None)
    ran = [(name, output) for name, output in ran if output.ndim == 4 or output.shape[2] == width]
    ran = [(name, output) for name, output in ran if output.requires_grad]
    if not ran:
        raise ValueError("the network has no layer with feature maps; name one with explain.options.layer")
    gradients = torch.autograd.grad(logits.sum(), [output for _, output in ran], allow_unused=True)
    used = [name for (name, _), g in zip(ran, gradients, strict=True) if g is not None and _reaches_positions(g, size)]
    reached = [name for (name, _), g in zip(ran, gradients, strict=True) if g is not None]
    if not reached:
        raise ValueError("the logits depend on no layer with feature maps; name one with explain.options.layer")
    return (used or reached)[-1], bool(used)


def _reaches_positions(gradient: torch.Tensor, size: tuple[int, int]) -> bool:
    grid = as_grid(gradient, size)
    return grid is not None and bool((grid != 0).any())


@dataclass
class Pass:
    """One forward pass with the graph from a layer's output to the logits.

    Attributes
    ----------
    features : shape (N, K, h, w)
        What the layer returned, without history.
    logits : shape (N, n_outputs)
    output
        What the layer returned, in its own layout, as the start of the graph.
    image_size
        Height and width of the images.
    """

    features: torch.Tensor
    logits: torch.Tensor
    output: torch.Tensor
    image_size: tuple[int, int]

    def gradients(self, frame: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Gradients of one logit each of some frames with respect to the feature maps.

        Parameters
        ----------
        frame, output : shape (m,), int64
            Rows of the pass, no frame twice, and index of the logit.

        Returns
        -------
        shape (m, K, h, w), dtype of the features

        Raises
        ------
        ValueError
            If the logits do not depend on the layer.
        """
        start = torch.zeros_like(self.logits)
        start[frame, output] = 1.0
        (g,) = torch.autograd.grad(self.logits, self.output, start, retain_graph=True, allow_unused=True)
        if g is None:
            raise ValueError("the logits do not depend on the layer that explain.options.layer names")
        grid = as_grid(g, self.image_size)
        assert grid is not None
        return grid[frame]


def run_from(model: nn.Module, images: torch.Tensor, layer: str | None) -> Pass:
    """Run a network and record the graph from a layer on; what is before it leaves nothing behind.

    Parameters
    ----------
    model
        In evaluation mode.
    images : shape (N, C, H, W), dtype of the model
    layer
        Dotted name as `model.named_modules()` has it; None for `default_layer`.

    Raises
    ------
    InputError
        If the layer does not exist.
    ValueError
        If it did not run, or returns no feature maps.
    """
    modules = dict(model.named_modules())
    name = default_layer(model, tuple(images.shape[1:])) if layer is None else layer
    if name not in modules or not name:
        raise InputError(f"explain.options.layer: {unknown_module(name, modules)}")
    found: list[Any] = []

    def begin_graph(module: nn.Module, inputs: Any, output: Any) -> Any:
        found.append(output)
        if not isinstance(output, torch.Tensor):
            return None
        torch.set_grad_enabled(True)
        found[-1] = output.detach().requires_grad_()
        # a copy: the map must stay as it was where the next layer works in place
        return found[-1].clone()

    handle = modules[name].register_forward_hook(begin_graph)
    try:
        with _no_grad():
            logits = model(images)
    finally:
        handle.remove()
    if not found:
        raise ValueError(f"the network did not run {name!r} for these images")
    size = (images.shape[2], images.shape[3])
    features = as_grid(found[-1], size) if isinstance(found[-1], torch.Tensor) else None
    if features is None:
        what = f"{tuple(found[-1].shape)}" if isinstance(found[-1], torch.Tensor) else type(found[-1]).__name__
        raise ValueError(
            f"layer {name!r} returns {what}, which has no positions on images of {size[0]}x{size[1]}; expected feature "
            f"maps (N, K, h, w) or tokens (N, T, K), such as those of {default_layer(model, tuple(images.shape[1:]))!r}"
        )
    return Pass(features.detach(), logits, found[-1], size)


@contextlib.contextmanager
def _no_grad() -> Iterator[None]:
    """`torch.no_grad`, also where the block ends with gradients switched on."""
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(before)


def unknown_module(layer: str, modules: dict[str, nn.Module]) -> str:
    """What to say of a module name that the network does not have; a large network has too many to list all."""
    answer = nearest(layer, (name for name in modules if name))
    hint, _, known = answer.partition("known: ")
    names = known.split(", ")
    top = sorted({name.split(".")[0] for name in names})
    return f"the network has no module {layer!r}; {hint}at the top it has {', '.join(top)}"
