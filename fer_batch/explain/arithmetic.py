"""Sums, products and constants of a traced network as modules: `Add`, `Scale`, `Affine`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from fer_batch.explain.graph import constant_of, depends_on_image, module_of, replace
from fer_batch.explain.modules import BATCH_NORM, GATES, Add, Affine, Scale

_SUM = (operator.add, operator.iadd, torch.add, "add", "add_")
_PRODUCT = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
_WITH_CONSTANT: dict[Any, Callable[..., torch.Tensor]] = {
    **dict.fromkeys(_SUM, torch.add),
    **dict.fromkeys(_PRODUCT, torch.mul),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub", "sub_"), torch.sub),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, "div", "div_"), torch.div),
}


def products_and_sums(network: fx.GraphModule) -> None:
    """Sums of two signals become `Add`, products with a gate `Scale`, any of the four with a constant `Affine`."""
    dependent = depends_on_image(network)
    for node in list(network.graph.nodes):
        if node.op not in ("call_function", "call_method") or node.target not in _WITH_CONSTANT:
            continue
        if node not in dependent or len(node.args) != 2 or node.kwargs or not node.meta.get("floating"):
            continue  # whole numbers are indices, and stay whole
        signals = [i for i, a in enumerate(node.args) if a in dependent]
        if len(signals) == 1:
            module = _with_constant(network, node, signals[0])
            if module is not None:
                dependent.add(replace(network, node, module, (node.args[signals[0]],)))
        elif node.target in _SUM:
            dependent.add(replace(network, node, Add(), node.args))
        elif node.target in _PRODUCT:
            gate = _gate(network, node)
            if gate is not None:
                dependent.add(replace(network, node, Scale(torch.mul, 1 - gate), node.args))


def _with_constant(network: fx.GraphModule, node: fx.Node, signal: int) -> nn.Module | None:
    other = node.args[1 - signal]
    constant = constant_of(network, other) if isinstance(other, fx.Node) else torch.tensor(other)
    if constant is None:
        return None
    function, c = _WITH_CONSTANT[node.target], _ranked(constant.double(), len(node.meta["shape"]))
    one = torch.ones_like(c)
    if function is torch.mul:
        return Affine(c, None)
    if function is torch.add:
        return Affine(one, c)
    if function is torch.sub:
        return Affine(one, -c) if signal == 0 else Affine(-one, c)
    return Affine(1 / c, None) if signal == 0 else Scale(_divided(constant), 0)


def _ranked(constant: torch.Tensor, n_dims: int) -> torch.Tensor:
    return constant.reshape((1,) * (n_dims - constant.ndim) + tuple(constant.shape))


def _divided(constant: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: constant.to(x) / x


def _gate(network: fx.GraphModule, node: fx.Node) -> int | None:
    """Which factor of a product is the gate: the one that is broadcast, or the one a squashing activation made."""
    a, b = (math.prod(source.meta["shape"]) for source in node.args)  # type: ignore[union-attr]
    if a != b:
        return 0 if a < b else 1
    squashed = [isinstance(module_of(network, source), GATES) for source in node.args]
    return squashed.index(True) if sum(squashed) == 1 else None


def norms_to_affine(network: fx.GraphModule) -> None:
    """BatchNorm in evaluation mode as the factor and the offset per channel that it is (in float64).

    Raises
    ------
    ValueError
        If a BatchNorm keeps no running statistics.
    """
    for node in list(network.graph.nodes):
        norm = module_of(network, node)
        if not isinstance(norm, BATCH_NORM):
            continue
        try:
            gain, offset = norm_constants(norm)
        except ValueError as error:
            raise ValueError(f"layer {node.meta['origin']!r}: {error}") from None
        shape = (1, -1, *(1,) * (len(node.meta["shape"]) - 2))
        replace(network, node, Affine(gain.view(shape), offset.view(shape)), node.args)


def norm_constants(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor and offset of a BatchNorm in evaluation mode, the epsilon included.

    Returns
    -------
    gain, offset : shape (C,), float64
        Output = gain * input + offset, per channel.

    Raises
    ------
    ValueError
        If the BatchNorm keeps no running statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("BatchNorm without running statistics makes a frame's output depend on the other frames")
    gain = torch.rsqrt(norm.running_var.double() + norm.eps)
    if norm.weight is not None:
        gain = gain * norm.weight.double()
    offset = -norm.running_mean.double() * gain
    return gain, offset if norm.bias is None else offset + norm.bias.double()
