"""Modules of canonical networks beside torch's own, and which of torch's have a relevance rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fer_batch import lean_torchvision  # noqa: F401

# isort: split

import torch
from torch import nn
from zennit.layer import Sum

ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Hardsigmoid,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
)
NON_NEGATIVE = (nn.ReLU, nn.ReLU6, nn.Hardsigmoid, nn.Sigmoid, nn.Softplus)
GATES = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh)
BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)


class Add(nn.Module):
    """Sum of two tensors, as a module, so that the rule of sums has a place to be."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = Sum()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """`a + b`, of any shape that broadcasts, in their dtype."""
        return self.sum(torch.stack(torch.broadcast_tensors(a, b), dim=-1))


class Reduce(nn.Module):
    """Mean or sum over some dimensions: global average pooling as a method call, zennit's `Sum`.

    Parameters
    ----------
    function
        `torch.mean` or `torch.sum`.
    dim
        Dimensions of the tensor with its batch axis.
    keepdim
        Whether they stay with length 1.
    """

    def __init__(self, function: Callable[..., torch.Tensor], dim: tuple[int, ...], keepdim: bool) -> None:
        super().__init__()
        self.function, self.dim, self.keepdim = function, dim, keepdim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`function(x, dim, keepdim)` of a tensor of any shape and dtype with the batch axis first."""
        return self.function(x, self.dim, self.keepdim)


class Affine(nn.Module):
    """One factor and one offset per channel, `y = w x + b`: BatchNorm in evaluation mode, or constants.

    A linear layer with one input per output. Its parameters are named as those of torch's linear layers, so that
    zennit's rules hold for it too.

    Parameters
    ----------
    weight, bias
        Broadcastable to the input with its batch axis; None for no offset.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`w x + b`, of the shape (N, C, ...) of the input, in its dtype."""
        y = x * self.weight
        return y if self.bias is None else y + self.bias


class _PassThrough(torch.autograd.Function):
    """Value of `y`, gradient to `x` unchanged: relevance passes."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return grads[0], None


class Scale(nn.Module):
    """Product of a signal with a gate that takes no relevance, or a constant divided by the signal."""

    def __init__(self, function: Callable[..., torch.Tensor], signal: int) -> None:
        super().__init__()
        self.function, self.signal = function, signal

    def forward(self, *arguments: torch.Tensor) -> torch.Tensor:
        """The function's value; the gradient of the signal is the identity, as the pass rule wants it.

        Parameters
        ----------
        arguments
            Of the function: each of a shape that broadcasts, one dtype.
        """
        return _PassThrough.apply(arguments[self.signal], self.function(*arguments).detach())
