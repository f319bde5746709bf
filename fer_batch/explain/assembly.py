"""The operation of every node of a canonical network, and which nodes are drawn into the one before."""

from __future__ import annotations

import torch
from torch import fx, nn
from torch.nn import functional

from fer_batch.explain.composites import Preset, rules
from fer_batch.explain.graph import CONCATENATIONS, PERMUTATIONS, RESHAPES, STACKS, argument, module_of
from fer_batch.explain.linear_operations import AffineOp, BoxOp, FlatOp, LayerOp, Linear
from fer_batch.explain.modules import ACTIVATIONS, NON_NEGATIVE, Add, Affine, Reduce, Scale
from fer_batch.explain.operation import Operation
from fer_batch.explain.operations import (
    AverageOp,
    ConcatenateOp,
    GateOp,
    MaxOp,
    Nothing,
    PadOp,
    PassOp,
    PermuteOp,
    ReshapeOp,
    StackOp,
    SumOp,
)
from fer_batch.explain.rules import Box, Epsilon, Flat, Gamma

STRUCTURE = (ReshapeOp, PermuteOp, PadOp, ConcatenateOp, StackOp)
_ZERO_TO_ZERO = tuple(a for a in ACTIVATIONS if a not in (nn.Sigmoid, nn.Hardsigmoid, nn.Softplus))


class Assembly:
    """Operations of the nodes on the way from the logits to the image.

    Parameters
    ----------
    network
        As `canonizers.canonize` returns it.
    preset
        Which rule goes where.
    precision
        Of the backward step of convolutions; None: that of the network.

    Attributes
    ----------
    ops
        By node, in the order of the forward pass.
    pixels
        Nodes before the first layer: relevance itself travels there, not multipliers.
    never_per_pair
        Nodes that hold no tensor per pair, because what reads them is drawn in.
    """

    def __init__(self, network: fx.GraphModule, preset: Preset, precision: torch.dtype | None = None) -> None:
        self.network, self.precision = network, precision
        self.assigned = rules(network, preset)
        self.ops: dict[fx.Node, Operation] = {}
        self.never_per_pair: set[fx.Node] = set()
        self.pixels = self._before_first_layer()
        non_negative: set[fx.Node] = set()
        for node in network.graph.nodes:
            if "relevant" in node.meta:
                if node not in self.ops:
                    self.ops[node] = self._op(node, non_negative)
                if self._stays_non_negative(node, non_negative):
                    non_negative.add(node)
            elif isinstance(module_of(network, node), NON_NEGATIVE):
                non_negative.add(node)
        self._mark_carriers()

    def _before_first_layer(self) -> set[fx.Node]:
        found: set[fx.Node] = set()
        for node in self.network.graph.nodes:
            layer = isinstance(module_of(self.network, node), nn.Conv2d | nn.Linear)
            reached = "relevant" in node.meta and found.issuperset(node.meta["relevant"])
            if node.op == "placeholder" or (reached and not layer):
                found.add(node)
        return found

    def _mark_carriers(self) -> None:
        for node in reversed(self.network.graph.nodes):
            op = self.ops.get(node)
            offset = isinstance(op, PassOp) and not isinstance(op.function, _ZERO_TO_ZERO)
            hands_on = isinstance(op, (PassOp, GateOp, Nothing, MaxOp, *STRUCTURE)) and op.carries
            if op is not None and node not in self.pixels and (offset or hands_on):
                for source in node.meta["relevant"]:
                    if source in self.ops:
                        self.ops[source].carries = True

    def _stays_non_negative(self, node: fx.Node, known: set[fx.Node]) -> bool:
        module = module_of(self.network, node)
        if isinstance(module, ACTIVATIONS):
            return isinstance(module, NON_NEGATIVE)
        if isinstance(module, nn.Conv2d | nn.Linear | Affine):
            return False
        if isinstance(module, Scale):
            return len(node.args) == 2 and all(source in known for source in node.args)
        return all(source in known for source in node.meta["relevant"])

    def _op(self, node: fx.Node, non_negative: set[fx.Node]) -> Operation:
        module = module_of(self.network, node)
        sources = node.meta["relevant"]
        in_shape, out_shape = tuple(sources[0].meta["shape"][1:]), tuple(node.meta["shape"][1:])
        if isinstance(module, nn.Conv2d | nn.Linear):
            rule = self.assigned[node]
            layer, activation = Linear(module, in_shape, self.precision), self._draw_in_activation(node)
            if isinstance(rule, Flat):
                return FlatOp(layer, module, activation, self._draw_in_pool(node, layer))
            if isinstance(rule, Box):
                return BoxOp(layer, module, rule, activation)
            return LayerOp(layer, module, rule, sources[0] not in non_negative, activation)
        if isinstance(module, Affine):
            return self._affine(node, module)
        if isinstance(module, Add):
            shapes = [tuple(source.meta["shape"][1:]) for source in sources]
            return SumOp(shapes, self._draw_in_activation(node))
        if isinstance(module, Scale):
            return GateOp(module.signal) if len(node.args) == 2 else PassOp(module.function)
        if isinstance(module, ACTIVATIONS):
            return PassOp(module)
        if isinstance(module, Reduce | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            return AverageOp(module, in_shape)
        if isinstance(module, nn.MaxPool2d | nn.AdaptiveMaxPool2d):
            return MaxOp(module, in_shape)
        if isinstance(module, nn.ZeroPad2d):
            return PadOp(list(module.padding))
        if node.target is functional.pad:
            return PadOp(list(argument(node, 1, "pad", ())))
        if node.target in CONCATENATIONS:
            dim = int(argument(node, 1, "dim", 0))
            return ConcatenateOp(dim, [source.meta["shape"][dim] for source in sources])
        if node.target in STACKS:
            return StackOp(int(argument(node, 1, "dim", 0)))
        if node.target in PERMUTATIONS:
            return PermuteOp(_order(node, len(in_shape) + 1))
        if isinstance(module, nn.Flatten) or node.target in RESHAPES:
            return ReshapeOp(in_shape, out_shape)
        raise AssertionError(f"canonical network with an unknown node {node.format_node()}")

    def _affine(self, node: fx.Node, module: Affine) -> Operation:
        rule = self.assigned[node]
        if not isinstance(rule, Epsilon | Gamma):
            return PassOp(module)
        activation = self._draw_in_activation(node)
        return AffineOp(module, rule, tuple(node.meta["relevant"][0].meta["shape"][1:]), activation)

    def _draw_in_activation(self, node: fx.Node) -> nn.Module | None:
        """The activation that alone reads this node; its own node is left with nothing to do."""
        user = self._only_user(node)
        module = None if user is None else module_of(self.network, user)
        if user is None or not isinstance(module, ACTIVATIONS):
            return None
        self.ops[user] = Nothing()
        return module

    def _draw_in_pool(self, node: fx.Node, layer: Linear) -> nn.MaxPool2d | None:
        """The max pooling that alone reads a flat convolution, or the activation drawn into it."""
        user, between = self._only_user(node), {node}
        while user is not None and isinstance(self.ops.get(user), Nothing):
            between.add(user)
            user = self._only_user(user)
        module = None if user is None else module_of(self.network, user)
        if user is None or not isinstance(module, nn.MaxPool2d) or not layer.conv or layer.geometry[3] != 1:
            return None
        self.never_per_pair |= between
        self.ops[user] = Nothing()
        return module

    def _only_user(self, node: fx.Node) -> fx.Node | None:
        user = next(iter(node.users), None)
        return user if len(node.users) == 1 and user is not None and "relevant" in user.meta else None


def _order(node: fx.Node, n_dims: int) -> tuple[int, ...]:
    rest = list(node.args[1:]) or list(node.kwargs.values())
    if node.target in ("transpose", torch.transpose):
        a, b = (int(d) % n_dims for d in rest)  # type: ignore[arg-type]
        order = list(range(n_dims))
        order[a], order[b] = order[b], order[a]
        return tuple(order)
    dims = rest[0] if isinstance(rest[0], list | tuple) else rest
    return tuple(int(d) % n_dims for d in dims)  # type: ignore[arg-type, union-attr]
