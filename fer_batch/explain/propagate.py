"""Relevance of many (frame, output) pairs from one forward pass.

With the activations fixed, every rule is linear in the relevance. Write the relevance of a value `a` as `R = a * c`,
activation times multiplier; then a rule becomes

    c_in = W^T (f * c_out),      f = a / stabilise(z),

where `f` depends on the frame alone. It is computed once in the forward pass and shared by all outputs that are
explained for the frame; what remains per pair is one transposed layer each. Values are reproduced exactly, because the
forward pass is the network's own; sums, average poolings and activations cost an elementwise factor at most.

Before the first layer the values are pixels, and rules such as flat give relevance where the pixel is zero; there the
relevance itself travels. (Montavon et al. 2019, section 10.2.2, has the gradient form for a single output.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn import functional

from fer_batch.explain.canonizers import (
    ACTIVATIONS,
    CONCATENATIONS,
    NON_NEGATIVE,
    PERMUTATIONS,
    RESHAPES,
    Add,
    Mean,
    Scale,
    module_of,
)
from fer_batch.explain.composites import Preset, rules
from fer_batch.explain.rules import TINY, Box, Branch, Flat, Rule, carrier, stabilise


class _Rows(NamedTuple):
    """Which frame each pair belongs to.

    `each` is the number of pairs of every frame where all frames have as many, in order; then nothing is gathered.
    """

    frame: torch.Tensor
    each: int | None


def _times(c: torch.Tensor, factor: torch.Tensor, rows: _Rows) -> torch.Tensor:
    """Multiplier per pair times a factor per frame."""
    if rows.each == 1:
        return c * factor
    if rows.each:
        return (c.unflatten(0, (-1, rows.each)) * factor.unsqueeze(1)).flatten(0, 1)
    return c * factor.index_select(0, rows.frame)


def _choose(above: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, rows: _Rows) -> torch.Tensor:
    """Per pair the one or the other, by what holds for its frame."""
    if rows.each == 1:
        return torch.where(above, positive, negative)
    if rows.each:
        up, down = (part.unflatten(0, (-1, rows.each)) for part in (positive, negative))
        return torch.where(above.unsqueeze(1), up, down).flatten(0, 1)
    return torch.where(above.index_select(0, rows.frame), positive, negative)


class _Linear:
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
        """Weight, laid out for speed, and bias."""
        return self.layout(module.weight.detach()), None if module.bias is None else module.bias.detach()

    def layout(self, tensor: torch.Tensor) -> torch.Tensor:
        """The memory format this layer is fastest in."""
        return tensor.contiguous(memory_format=self.format) if self.conv else tensor

    def returning(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight as the transpose takes it."""
        lower = self.precision != weight.dtype
        return weight.to(self.precision, memory_format=torch.channels_last) if lower else weight

    def __call__(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if self.conv:
            return functional.conv2d(self.layout(x), weight, bias, *self.geometry)
        return functional.linear(x, weight, bias)

    def transposed(self, g: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The layer's adjoint: from outputs [M, ...] to inputs [M, ...]."""
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


class _Op:
    """One node on the way: its value and what its backward step needs, then multipliers of its inputs.

    Attributes
    ----------
    carries
        The node must hand relevance on where its value is exactly zero, because a layer that maps zero to something
        else reads it. `R = a * c` cannot, so there `rules.SPECK` stands for `a` (in the relevance, never in the value).
    """

    carries = False

    def carrier(self, a: torch.Tensor) -> torch.Tensor:
        """What multipliers of this node are relative to."""
        return carrier(a) if self.carries else a

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        raise NotImplementedError

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        """Multipliers of the inputs from those of the output."""
        raise NotImplementedError


class _LayerOp(_Op):
    """A linear layer under a branch rule, with the activation behind it drawn in where there is one."""

    def __init__(self, layer: _Linear, module: Any, rule: Any, signed: bool, activation: nn.Module | None) -> None:
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

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
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

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        factors, above = saved
        positive: torch.Tensor | None = None
        negative: torch.Tensor | None = None
        for (above_zero, below_zero), factor in zip(self.returning, factors, strict=True):
            g = _times(c, factor, rows)
            up = self.layer.transposed(g, above_zero)
            positive = up if positive is None else positive + up
            if above is not None:
                assert below_zero is not None
                down = self.layer.transposed(g, below_zero)
                negative = down if negative is None else negative + down
        assert positive is not None
        if negative is None:
            return [positive]
        return [_choose(above, positive, negative, rows)]


class _FlatOp(_Op):
    """A first layer whose relevance is spread evenly; its backward step takes multipliers and returns relevance.

    All channels get the same share, so one stands for all, and a max pooling behind it need not be undone per channel:
    what each winner has goes straight to its pixel.
    """

    def __init__(self, layer: _Linear, module: Any, activation: nn.Module | None, pool: nn.MaxPool2d | None) -> None:
        self.layer, self.activation, self.pool = layer, activation, pool
        self.weight, self.bias = layer.parameters(module)
        self.ones = torch.ones_like(self.weight)
        one_image = torch.ones((1, *layer.in_shape), dtype=self.weight.dtype, device=self.weight.device)
        self.per_input = 1.0 / layer(one_image, self.ones)
        self.single = layer.conv and layer.geometry[3] == 1
        self.one = self.ones[:1, :1].contiguous()

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        y = self.layer(inputs[0], self.weight, self.bias)
        a = y if self.activation is None else self.activation(y)
        if self.pool is None:
            return a, (self.carrier(a) * self.per_input, None)
        best, winner = _max_pool(a, self.pool)
        per_winner = self.per_input[0, 0].flatten()[winner]
        return best, (self.carrier(best) * per_winner, _pixels_first(winner))

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        factor, winner = saved
        share = _times(c, factor, rows)
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


def _max_pool(x: torch.Tensor, pool: nn.MaxPool2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima and, per channel, the index of the pixel that won."""
    return functional.max_pool2d(  # type: ignore[return-value]
        x, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, return_indices=True
    )


class _BoxOp(_Op):
    """A first convolution under the z-box rule; its backward step returns relevance."""

    def __init__(self, layer: _Linear, module: Any, rule: Box, activation: nn.Module | None) -> None:
        self.layer, self.rule, self.activation = layer, rule, activation
        self.weight, self.bias = layer.parameters(module)
        self.above, self.below = self.weight.clamp(min=0), self.weight.clamp(max=0)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
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

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        factor, x = saved
        g = _times(c, factor, rows)
        low, high = self.rule.bounds(x)
        relevance = _times(self.layer.transposed(g, self.weight), x, rows)
        relevance = relevance - low * self.layer.transposed(g, self.above)
        return [relevance - high * self.layer.transposed(g, self.below)]


class _SumOp(_Op):
    """z-rule of a sum: the multiplier goes to both, relevance in proportion to the values."""

    def __init__(self, shapes: list[tuple[int, ...]], activation: nn.Module | None) -> None:
        self.shapes, self.activation = shapes, activation

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        y = inputs[0] + inputs[1]
        a = y if self.activation is None else self.activation(y)
        return a, self.carrier(a) / stabilise(y)

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        c = _times(c, saved, rows)
        return [c if c.shape[1:] == shape else c.sum_to_size(len(c), *shape) for shape in self.shapes]


class _PassOp(_Op):
    """Activation, gate, constant or unmerged BatchNorm: relevance passes, so the multiplier scales by y / x."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        y = self.function(inputs[0])
        return y, self.carrier(y) / carrier(inputs[0])

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        return [_times(c, saved, rows)]


class _GateOp(_Op):
    """Product of a signal with a gate: the gate takes no relevance."""

    def __init__(self, signal: int) -> None:
        self.signal = signal

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return inputs[0] * inputs[1], inputs[1 - self.signal]

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        return [_times(c, saved, rows)]


class _AverageOp(_Op):
    """z-rule of average pooling."""

    def __init__(self, module: nn.Module, in_shape: tuple[int, ...]) -> None:
        self.module, self.in_shape = module, in_shape
        self.everything = isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1))

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        y = self.module(inputs[0])
        return y, self.carrier(y) / stabilise(y)

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        c = _times(c, saved, rows)
        if self.everything:
            return [(c / (self.in_shape[1] * self.in_shape[2])).expand(-1, *self.in_shape)]
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.zeros((len(c), *self.in_shape), dtype=c.dtype, device=c.device, requires_grad=True)
            return list(torch.autograd.grad(self.module(x), x, c.clone()))


class _MaxOp(_Op):
    """Max pooling: the winner takes all."""

    def __init__(self, module: nn.Module, in_shape: tuple[int, ...]) -> None:
        self.module, self.in_shape = module, in_shape

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        (x,) = inputs
        m = self.module
        if isinstance(m, nn.AdaptiveMaxPool2d):
            return functional.adaptive_max_pool2d(x, m.output_size, return_indices=True)  # type: ignore[call-overload]
        assert isinstance(m, nn.MaxPool2d)
        return _max_pool(x, m)

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        winner = saved if rows.each == 1 else saved.index_select(0, rows.frame)
        flat = c.new_zeros(*c.shape[:2], self.in_shape[1] * self.in_shape[2])
        flat.scatter_add_(2, winner.flatten(2), c.flatten(2))
        return [flat.view(len(c), *self.in_shape)]


class _ReshapeOp(_Op):
    """The same values in another shape."""

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> None:
        self.in_shape, self.out_shape = in_shape, out_shape

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return inputs[0].reshape(-1, *self.out_shape), None

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        return [c.reshape(-1, *self.in_shape)]


class _PermuteOp(_Op):
    """The same values in another order of axes."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self.order = order
        self.back = tuple(order.index(i) for i in range(len(order)))

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return inputs[0].permute(self.order), None

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        return [c.permute(self.back)]


class _PadOp(_Op):
    """Zero padding: its margin has no relevance to give on."""

    def __init__(self, amounts: list[int]) -> None:
        self.amounts = amounts

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return functional.pad(inputs[0], self.amounts), None

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        return [functional.pad(c, [-amount for amount in self.amounts])]


class _ConcatenateOp(_Op):
    """Concatenation: every part keeps its relevance."""

    def __init__(self, dim: int, sizes: list[int]) -> None:
        self.dim, self.sizes = dim, sizes

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return torch.cat(inputs, self.dim), None

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        return list(c.split(self.sizes, self.dim))


class _Nothing(_Op):
    """A node whose work its predecessor has drawn in."""

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return inputs[0], None

    def backward(self, c: torch.Tensor, saved: Any, rows: _Rows) -> list[torch.Tensor]:
        return [c]


_STRUCTURE = (_ReshapeOp, _PermuteOp, _PadOp, _ConcatenateOp)
_ZERO_TO_ZERO = tuple(a for a in ACTIVATIONS if a not in (nn.Sigmoid, nn.Hardsigmoid, nn.Softplus))


@dataclass
class State:
    """What one forward pass leaves for the backward passes of its frames."""

    logits: torch.Tensor
    saved: dict[fx.Node, Any] = field(default_factory=dict)
    values: dict[fx.Node, torch.Tensor] = field(default_factory=dict)


class Propagator:
    """Forward and backward passes of one canonical network under one preset.

    Parameters
    ----------
    network
        As `canonizers.canonize` returns it.
    preset
        Which rule goes where.
    precision
        Of the backward step of convolutions and of the factors that frames leave; None: that of the network. Sums of
        branches keep the network's, because rounding adds up where branches meet.

    Attributes
    ----------
    values_per_frame, values_per_pair
        About how many numbers a frame leaves behind in the forward pass, and a pair holds at most in the backward pass.
    """

    def __init__(self, network: fx.GraphModule, preset: Preset, precision: torch.dtype | None = None) -> None:
        self.network, self.precision = network, precision
        self.nodes = [node for node in network.graph.nodes if node.op != "output"]
        output = next(node for node in network.graph.nodes if node.op == "output")
        self.logits: fx.Node = output.args[0]
        self.n_outputs: int = self.logits.meta["shape"][1]
        self.image = next(node for node in self.nodes if node.op == "placeholder")
        self.assigned = rules(network, preset)
        self.pixels = self._before_first_layer()
        self.ops: dict[fx.Node, _Op] = {}
        self.never_per_pair: set[fx.Node] = set()
        non_negative: set[fx.Node] = set()
        for node in self.nodes:
            if "relevant" in node.meta:
                if node not in self.ops:
                    self.ops[node] = self._op(node, non_negative)
                if self._stays_non_negative(node, non_negative):
                    non_negative.add(node)
            elif isinstance(module_of(network, node), NON_NEGATIVE):
                non_negative.add(node)
        self._mark_carriers()
        sizes = {node: _numel(node) for node in self.nodes if node.meta.get("shape")}
        self.values_per_frame = 2 * sum(sizes.values())
        self.values_per_pair = 5 * max(size for node, size in sizes.items() if node not in self.never_per_pair)

    def _before_first_layer(self) -> set[fx.Node]:
        """Nodes whose values are still pixels, so to speak: relevance travels there, not multipliers."""
        found = {self.image}
        for node in self.nodes:
            if "relevant" in node.meta and node not in self.assigned and found.issuperset(node.meta["relevant"]):
                found.add(node)
        return found

    def _mark_carriers(self) -> None:
        for node in reversed(self.nodes):
            op = self.ops.get(node)
            offset = isinstance(op, _PassOp) and not isinstance(op.function, _ZERO_TO_ZERO)
            hands_on = isinstance(op, (_PassOp, _GateOp, _Nothing, _MaxOp, *_STRUCTURE)) and op.carries
            if op is not None and node not in self.pixels and (offset or hands_on):
                for source in node.meta["relevant"]:
                    if source in self.ops:
                        self.ops[source].carries = True

    def _stays_non_negative(self, node: fx.Node, known: set[fx.Node]) -> bool:
        module = module_of(self.network, node)
        if isinstance(module, ACTIVATIONS):
            return isinstance(module, NON_NEGATIVE)
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d):
            return False
        if isinstance(module, Scale):
            return len(node.args) == 2 and all(source in known for source in node.args)
        return all(source in known for source in node.meta["relevant"])

    def _op(self, node: fx.Node, non_negative: set[fx.Node]) -> _Op:
        module = module_of(self.network, node)
        sources = node.meta["relevant"]
        in_shape, out_shape = tuple(sources[0].meta["shape"][1:]), tuple(node.meta["shape"][1:])
        if isinstance(module, nn.Conv2d | nn.Linear):
            rule: Rule = self.assigned[node]
            layer, activation = _Linear(module, in_shape, self.precision), self._draw_in_activation(node)
            if isinstance(rule, Flat):
                return _FlatOp(layer, module, activation, self._draw_in_pool(node, layer))
            if isinstance(rule, Box):
                return _BoxOp(layer, module, rule, activation)
            return _LayerOp(layer, module, rule, sources[0] not in non_negative, activation)
        if isinstance(module, Add):
            shapes = [tuple(source.meta["shape"][1:]) for source in sources]
            return _SumOp(shapes, self._draw_in_activation(node))
        if isinstance(module, Scale):
            return _GateOp(module.signal) if len(node.args) == 2 else _PassOp(module.function)
        if isinstance(module, (*ACTIVATIONS, nn.BatchNorm1d, nn.BatchNorm2d)):
            return _PassOp(module)
        if isinstance(module, Mean | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            return _AverageOp(module, in_shape)
        if isinstance(module, nn.MaxPool2d | nn.AdaptiveMaxPool2d):
            return _MaxOp(module, in_shape)
        if isinstance(module, nn.ZeroPad2d):
            return _PadOp(list(module.padding))
        if node.target is functional.pad:
            return _PadOp(list(node.args[1] if len(node.args) > 1 else node.kwargs["pad"]))  # type: ignore[arg-type]
        if node.target in CONCATENATIONS:
            dim = int(node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0))  # type: ignore[arg-type]
            return _ConcatenateOp(dim, [source.meta["shape"][dim] for source in sources])
        if node.target in PERMUTATIONS:
            return _PermuteOp(_order(node, len(in_shape) + 1))
        if isinstance(module, nn.Flatten) or node.target in RESHAPES:
            return _ReshapeOp(in_shape, out_shape)
        raise AssertionError(f"canonical network with an unknown node {node.format_node()}")

    def _draw_in_activation(self, node: fx.Node) -> nn.Module | None:
        """The activation that alone reads this node; its own node is left with nothing to do."""
        user = self._only_user(node)
        module = None if user is None else module_of(self.network, user)
        if user is None or not isinstance(module, ACTIVATIONS):
            return None
        self.ops[user] = _Nothing()
        return module

    def _draw_in_pool(self, node: fx.Node, layer: _Linear) -> nn.MaxPool2d | None:
        """The max pooling that alone reads a flat convolution, or the activation drawn into it."""
        user, between = self._only_user(node), {node}
        while user is not None and isinstance(self.ops.get(user), _Nothing):
            between.add(user)
            user = self._only_user(user)
        module = None if user is None else module_of(self.network, user)
        if user is None or not isinstance(module, nn.MaxPool2d) or not layer.conv or layer.geometry[3] != 1:
            return None
        self.never_per_pair |= between
        self.ops[user] = _Nothing()
        return module

    def _only_user(self, node: fx.Node) -> fx.Node | None:
        user = next(iter(node.users), None)
        return user if len(node.users) == 1 and user is not None and "relevant" in user.meta else None

    @torch.inference_mode()
    def forward(self, images: torch.Tensor) -> State:
        """Run the network and keep what the backward passes of these frames share."""
        values: dict[fx.Node, Any] = {}
        state = State(images)
        last_use = {source: node for node in self.nodes for source in node.all_input_nodes}
        for node in self.nodes:
            if node is self.image:
                values[node] = images
            elif node in self.ops:
                inputs = [values[source] for source in self._inputs(node)]
                values[node], saved = self.ops[node].forward(*inputs)
                state.saved[node] = self._lowered(self.ops[node], saved)
            else:
                values[node] = _run(self.network, node, values)
            for source in node.all_input_nodes:
                if last_use[source] is node and source not in self.pixels and source is not self.logits:
                    values.pop(source, None)
        state.logits = values[self.logits]
        state.values = {node: values[node] for node in self.pixels}
        return state

    def _lowered(self, op: _Op, saved: Any) -> Any:
        if self.precision is None or not isinstance(op, _SumOp | _PassOp | _GateOp) or saved.ndim != 4:
            return saved
        return saved.to(self.precision)

    def _inputs(self, node: fx.Node) -> list[fx.Node]:
        if isinstance(self.ops[node], _GateOp):
            return list(node.args)  # type: ignore[arg-type]
        return node.meta["relevant"]

    @torch.inference_mode()
    def backward(self, state: State, frame: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Relevance of the image for some outputs of some frames.

        Parameters
        ----------
        state
            Of the forward pass.
        frame, output : shape (M,), int64, on the CPU
            Row in the forward pass, and index of the logit.

        Returns
        -------
        shape (M, C, H, W)
            Starts from the logit, so that it sums to the logit where the rules conserve.
        """
        device = state.logits.device
        counts = frame.bincount(minlength=len(state.logits))
        rows = _Rows(frame.to(device), int(counts[0]) if bool((counts == counts[0]).all()) else None)
        start = torch.zeros((len(frame), state.logits.shape[1]), dtype=state.logits.dtype, device=device)
        start.scatter_(1, output[:, None].to(device), 1.0)
        multiplier: dict[fx.Node, torch.Tensor] = {self.logits: start}
        for node in reversed(self.nodes):
            if node not in self.ops or node not in multiplier:
                continue
            c = multiplier.pop(node)
            for source, passed in self._step(node, c, state, rows):
                multiplier[source] = (
                    _sum(multiplier[source], passed, self.ops[node]) if source in multiplier else passed
                )
        return multiplier[self.image]

    def _step(
        self, node: fx.Node, c: torch.Tensor, state: State, rows: _Rows
    ) -> Iterator[tuple[fx.Node, torch.Tensor]]:
        op, sources = self.ops[node], node.meta["relevant"]
        if node in self.pixels:
            if isinstance(op, _PassOp | _GateOp | _Nothing):
                yield sources[0], c
                return
            if not isinstance(op, _STRUCTURE):
                c = _times(c, 1 / stabilise(state.values[node]), rows)
        made_relevance = isinstance(op, _FlatOp | _BoxOp)
        keeps_kind = isinstance(op, _STRUCTURE) and node in self.pixels
        for source, passed in zip(sources, op.backward(c, state.saved[node], rows), strict=True):
            if source in self.pixels and not made_relevance and not keeps_kind:
                passed = _times(passed, state.values[source], rows)
            yield source, passed


def _sum(waiting: torch.Tensor, passed: torch.Tensor, op: _Op) -> torch.Tensor:
    """What meets at a branching; in the place of what a layer has just made, which nothing else reads."""
    if isinstance(op, _LayerOp) and passed.dtype == waiting.dtype and passed.shape == waiting.shape:
        return passed.add_(waiting)
    return waiting + passed


def _numel(node: fx.Node) -> int:
    return int(torch.Size(node.meta["shape"][1:]).numel())


def _run(network: fx.GraphModule, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    """Value of a node off the way, as the network computes it."""
    args = fx.node.map_arg(node.args, values.__getitem__)
    kwargs = fx.node.map_arg(node.kwargs, values.__getitem__)
    if node.op == "get_attr":
        return getattr(network, str(node.target))
    if node.op == "call_module":
        return network.get_submodule(str(node.target))(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]


def _order(node: fx.Node, n_dims: int) -> tuple[int, ...]:
    rest = list(node.args[1:]) or list(node.kwargs.values())
    if node.target in ("transpose", torch.transpose):
        a, b = (int(d) % n_dims for d in rest)  # type: ignore[arg-type]
        order = list(range(n_dims))
        order[a], order[b] = order[b], order[a]
        return tuple(order)
    dims = rest[0] if isinstance(rest[0], list | tuple) else rest
    return tuple(int(d) % n_dims for d in dims)  # type: ignore[arg-type, union-attr]
