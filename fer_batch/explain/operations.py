"""Backward steps of what has no weights: sums, activations, gates, poolings, changes of shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from fer_batch.explain.operation import Operation, Rows, times
from fer_batch.explain.rules import carrier, stabilise


class SumOp(Operation):
    """z-rule of a sum: the multiplier goes to both, relevance in proportion to the values."""

    lowers = True

    def __init__(self, shapes: list[tuple[int, ...]], activation: nn.Module | None) -> None:
        self.shapes, self.activation = shapes, activation

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        y = inputs[0] + inputs[1]
        a = y if self.activation is None else self.activation(y)
        return a, self.carrier(a) / stabilise(y)

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        c = times(c, saved, rows)
        return [c if c.shape[1:] == shape else c.sum_to_size(len(c), *shape) for shape in self.shapes]


class PassOp(Operation):
    """Activation, gate, constant relevance passes, so the multiplier scales by y / x."""

    lowers = True

    def __init__(self, function: Any) -> None:
        self.function = function

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        y = self.function(inputs[0])
        return y, self.carrier(y) / carrier(inputs[0])

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        return [times(c, saved, rows)]


class GateOp(Operation):
    """Product of a signal with a gate: the gate takes no relevance."""

    lowers = True

    def __init__(self, signal: int) -> None:
        self.signal = signal

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return inputs[0] * inputs[1], inputs[1 - self.signal]

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        return [times(c, saved, rows)]


class AverageOp(Operation):
    """z-rule of average pooling, and of means and sums over axes."""

    def __init__(self, module: nn.Module, in_shape: tuple[int, ...]) -> None:
        self.module, self.in_shape = module, in_shape
        self.everything = isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1))

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        y = self.module(inputs[0])
        return y, self.carrier(y) / stabilise(y)

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        c = times(c, saved, rows)
        if self.everything:
            return [(c / (self.in_shape[1] * self.in_shape[2])).expand(-1, *self.in_shape)]
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.zeros((len(c), *self.in_shape), dtype=c.dtype, device=c.device, requires_grad=True)
            return list(torch.autograd.grad(self.module(x), x, c.clone()))


def max_pool(x: torch.Tensor, pool: nn.MaxPool2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima, and which pixel won.

    Parameters
    ----------
    x : shape (N, C, H, W), floating
    pool
        Its geometry.

    Returns
    -------
    best : shape (N, C, h, w), dtype of x
    winner : shape (N, C, h, w), int64
        Index in the flattened map (H W) of the channel.
    """
    return functional.max_pool2d(  # type: ignore[return-value]
        x, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, return_indices=True
    )


class MaxOp(Operation):
    """Max pooling: the winner takes all."""

    def __init__(self, module: nn.Module, in_shape: tuple[int, ...]) -> None:
        self.module, self.in_shape = module, in_shape

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        (x,) = inputs
        m = self.module
        if isinstance(m, nn.AdaptiveMaxPool2d):
            return functional.adaptive_max_pool2d(x, m.output_size, return_indices=True)  # type: ignore[call-overload]
        assert isinstance(m, nn.MaxPool2d)
        return max_pool(x, m)

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        winner = saved if rows.each == 1 else saved.index_select(0, rows.frame)
        flat = c.new_zeros(*c.shape[:2], self.in_shape[1] * self.in_shape[2])
        flat.scatter_add_(2, winner.flatten(2), c.flatten(2))
        return [flat.view(len(c), *self.in_shape)]


class ReshapeOp(Operation):
    """The same values in another shape."""

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> None:
        self.in_shape, self.out_shape = in_shape, out_shape

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return inputs[0].reshape(-1, *self.out_shape), None

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        return [c.reshape(-1, *self.in_shape)]


class PermuteOp(Operation):
    """The same values in another order of axes."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self.order = order
        self.back = tuple(order.index(i) for i in range(len(order)))

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return inputs[0].permute(self.order), None

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        return [c.permute(self.back)]


class PadOp(Operation):
    """Zero padding: its margin has no relevance to give on."""

    def __init__(self, amounts: list[int]) -> None:
        self.amounts = amounts

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return functional.pad(inputs[0], self.amounts), None

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        return [functional.pad(c, [-amount for amount in self.amounts])]


class ConcatenateOp(Operation):
    """Concatenation: every part keeps its relevance."""

    def __init__(self, dim: int, sizes: list[int]) -> None:
        self.dim, self.sizes = dim, sizes

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return torch.cat(inputs, self.dim), None

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        return list(c.split(self.sizes, self.dim))


class StackOp(Operation):
    """Stacking along a new axis: every part keeps its relevance."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return torch.stack(inputs, self.dim), None

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        return list(c.unbind(self.dim))


class Nothing(Operation):
    """A node whose work its predecessor has drawn in."""

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return inputs[0], None

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        return [c]
