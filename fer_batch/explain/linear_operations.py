"""Backward steps of convolutions, dense and affine layers under their rules."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from fer_batch.explain.modules import Affine
from fer_batch.explain.operation import Operation, Rows, choose, times
from fer_batch.explain.operations import max_pool
from fer_batch.explain.rules import TINY, Box, Branch, Epsilon, Gamma, stabilise


class Linear:
    """A convolution or dense layer and the formula of its transpose."""

    def __init__(
        self, module: nn.Conv2d | nn.Linear, in_shape: tuple[int, ...], precision: torch.dtype | None = None
    ) -> None:
        self.conv = isinstance(module, nn.Conv2d)
        self.in_shape = in_shape
        self.precision = precision if self.conv and precision is not None else module.weight.dtype
        if isinstance(module, nn.Conv2d):
            padding = module.padding
            if padding == "same":
                padding = tuple(d * (k - 1) // 2 for d, k in zip(module.dilation, module.kernel_size, strict=True))
            elif padding == "valid":
                padding = (0, 0)
            self.geometry: tuple[Any, ...] = (module.stride, padding, module.dilation, module.groups)
            # measured on CPUs: channels last is up to 3x faster on wide maps and half as fast on the narrowest
            wide = module.weight.device.type == "cpu" and math.prod(in_shape[1:]) > 36
            self.format = torch.channels_last if wide else torch.contiguous_format

    def parameters(self, module: nn.Conv2d | nn.Linear) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight, laid out for speed, and bias: (out, in, ...) and (out,), in the module's dtype."""
        return self.layout(module.weight.detach()), None if module.bias is None else module.bias.detach()

    def layout(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same values, of any shape and dtype, in the memory format this layer is fastest in."""
        return tensor.contiguous(memory_format=self.format) if self.conv else tensor

    def returning(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight, of the same shape, as the transpose takes it: in the dtype of the backward pass."""
        lower = self.precision != weight.dtype
        return weight.to(self.precision, memory_format=torch.channels_last) if lower else weight

    def __call__(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if self.conv:
            return functional.conv2d(self.layout(x), weight, bias, *self.geometry)
        return functional.linear(x, weight, bias)

    def transposed(self, g: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The layer's adjoint.

        Parameters
        ----------
        g : shape (M, *out)
            Multipliers of the outputs.
        weight
            As `returning` made it.

        Returns
        -------
        shape (M, *in), dtype of the weight
        """
        g = g.to(weight.dtype)
        if not self.conv:
            return g @ weight
        stride, padding, dilation, groups = self.geometry
        reached = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(g.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True)
        ]
        rest = [n - r for n, r in zip(self.in_shape[1:], reached, strict=True)]
        g = g.contiguous(memory_format=torch.channels_last) if g.dtype == torch.bfloat16 else self.layout(g)
        return functional.conv_transpose2d(g, weight, None, stride, padding, rest, groups, dilation)


class LayerOp(Operation):
    """A linear layer under a branch rule, with the activation behind it drawn in where there is one."""

    def __init__(self, layer: Linear, module: Any, rule: Any, signed: bool, activation: nn.Module | None) -> None:
        self.layer, self.signed, self.epsilon = layer, signed, rule.epsilon
        self.weight, self.bias = layer.parameters(module)
        rectified = isinstance(activation, nn.ReLU)
        self.branches = [b for b in rule.branches(self.weight, self.bias) if not (rectified and b.where < 0)]
        reads_y = any(b.where or b.positive is self.weight for b in self.branches)
        self.activate = torch.relu_ if rectified and not reads_y else activation
        self.returning = [
            (layer.returning(b.positive), None if b.negative is None else layer.returning(b.negative))
            for b in self.branches
        ]

    def _denominator(self, x: torch.Tensor, y: torch.Tensor, branch: Branch) -> torch.Tensor:
        if branch.positive is self.weight:
            return y
        if not self.signed:
            return self.layer(x, branch.positive, branch.bias)
        z = self.layer(x.clamp(min=0), branch.positive, branch.bias)
        assert branch.negative is not None
        return z + self.layer(x.clamp(max=0), branch.negative)

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        (x,) = inputs
        y = self.layer(x, self.weight, self.bias)
        a = y if self.activate is None else self.activate(y)
        factors = []
        for branch in self.branches:
            z = self._denominator(x, y, branch)
            if z is y or self.epsilon:
                z = stabilise(z, self.epsilon)
            else:
                z.masked_fill_(z == 0, TINY)
            factor = torch.div(self.carrier(a), z, out=z)
            if branch.share != 1.0:
                factor = factor * branch.share
            if branch.where:
                factor = factor * (branch.where * y > 0).to(y.dtype)
            factors.append(factor.to(self.layer.precision))
        split = self.signed and any(branch.negative is not None for branch in self.branches)
        return a, (factors, x > 0 if split else None)

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        factors, above = saved
        positive: torch.Tensor | None = None
        negative: torch.Tensor | None = None
        for (above_zero, below_zero), factor in zip(self.returning, factors, strict=True):
            g = times(c, factor, rows)
            up = self.layer.transposed(g, above_zero)
            positive = up if positive is None else positive + up
            if above is not None:
                assert below_zero is not None
                down = self.layer.transposed(g, below_zero)
                negative = down if negative is None else negative + down
        assert positive is not None
        if negative is None:
            return [positive]
        return [choose(above, positive, negative, rows)]


class AffineOp(Operation):
    """A factor and an offset per channel under a branch rule: a linear layer with one input per output.

    All branches have the same input, so that one factor per frame stands for them all.
    """

    lowers = True

    def __init__(
        self, module: Affine, rule: Epsilon | Gamma, in_shape: tuple[int, ...], activation: nn.Module | None
    ) -> None:
        self.module, self.activation, self.epsilon, self.in_shape = module, activation, rule.epsilon, in_shape
        self.branches = rule.branches(module.weight, module.bias)

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        (x,) = inputs
        y = self.module(x)
        a = y if self.activation is None else self.activation(y)
        carried, factor = self.carrier(a), torch.zeros_like(y)
        for branch in self.branches:
            weight = (
                branch.positive if branch.negative is None else torch.where(x > 0, branch.positive, branch.negative)
            )
            z = x * weight if branch.bias is None else x * weight + branch.bias
            passed = weight * (carried / stabilise(z, self.epsilon))
            factor += passed * (branch.where * y > 0).to(y.dtype) if branch.where else passed
        return a, factor

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        c = times(c, saved, rows)
        return [c if c.shape[1:] == self.in_shape else c.sum_to_size(len(c), *self.in_shape)]


class FlatOp(Operation):
    """A first layer whose relevance is spread evenly; its backward step takes multipliers and returns relevance.

    All channels get the same share, so one stands for all, and a max pooling behind it need not be undone per channel:
    what each winner has goes straight to its pixel.
    """

    def __init__(self, layer: Linear, module: Any, activation: nn.Module | None, pool: nn.MaxPool2d | None) -> None:
        self.layer, self.activation, self.pool = layer, activation, pool
        self.weight, self.bias = layer.parameters(module)
        self.ones = torch.ones_like(self.weight)
        one_image = torch.ones((1, *layer.in_shape), dtype=self.weight.dtype, device=self.weight.device)
        self.per_input = 1.0 / layer(one_image, self.ones)
        self.single = layer.conv and layer.geometry[3] == 1
        self.one = self.ones[:1, :1].contiguous()

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        y = self.layer(inputs[0], self.weight, self.bias)
        a = y if self.activation is None else self.activation(y)
        if self.pool is None:
            return a, (self.carrier(a) * self.per_input, None)
        best, winner = max_pool(a, self.pool)
        per_winner = self.per_input[0, 0].flatten()[winner]
        return best, (self.carrier(best) * per_winner, _pixels_first(winner))

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        factor, winner = saved
        share = times(c, factor, rows)
        if not self.single:
            return [self.layer.transposed(share, self.ones)]
        if winner is None:
            share = share.sum(1, keepdim=True)
        else:
            height, width = self.per_input.shape[2:]
            pixels = share.new_zeros(len(share), height * width)
            winner = winner if rows.each == 1 else winner.index_select(0, rows.frame)
            share = pixels.scatter_add_(1, winner, _pixels_first(share)).view(-1, 1, height, width)
        return [self.layer.transposed(share, self.one).expand(-1, self.layer.in_shape[0], -1, -1)]


def _pixels_first(x: torch.Tensor) -> torch.Tensor:
    """[N, C, H, W] as [N, H * W * C]: a view where the channels are last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1)


class BoxOp(Operation):
    """A first convolution under the z-box rule; its backward step returns relevance."""

    def __init__(self, layer: Linear, module: Any, rule: Box, activation: nn.Module | None) -> None:
        self.layer, self.rule, self.activation = layer, rule, activation
        self.weight, self.bias = layer.parameters(module)
        self.above, self.below = self.weight.clamp(min=0), self.weight.clamp(max=0)

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        (x,) = inputs
        low, high = self.rule.bounds(x)
        if not bool(((x >= low) & (x <= high)).all()):
            raise ValueError(
                f"the z-box rule needs images inside [low, high] = [{self.rule.low}, {self.rule.high}]; they reach "
                f"from {float(x.min()):.4g} to {float(x.max()):.4g}: set explain.options.low and high"
            )
        y = self.layer(x, self.weight, self.bias)
        a = y if self.activation is None else self.activation(y)
        z = y - self.layer(low.expand_as(x), self.above, self.bias) - self.layer(high.expand_as(x), self.below)
        return a, (self.carrier(a) / stabilise(z), x)

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        factor, x = saved
        g = times(c, factor, rows)
        low, high = self.rule.bounds(x)
        relevance = times(self.layer.transposed(g, self.weight), x, rows)
        relevance = relevance - low * self.layer.transposed(g, self.above)
        return [relevance - high * self.layer.transposed(g, self.below)]
