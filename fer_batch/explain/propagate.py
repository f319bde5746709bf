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

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from fer_batch.explain.assembly import STRUCTURE, Assembly
from fer_batch.explain.composites import Preset
from fer_batch.explain.linear_operations import BoxOp, FlatOp, LayerOp
from fer_batch.explain.operation import Operation, Rows, times
from fer_batch.explain.operations import GateOp, Nothing, PassOp
from fer_batch.explain.rules import stabilise


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
        assembly = Assembly(network, preset, precision)
        self.ops, self.pixels = assembly.ops, assembly.pixels
        sizes = {node: _numel(node) for node in self.nodes if node.meta.get("shape")}
        self.values_per_frame = 2 * sum(sizes.values())
        self.values_per_pair = 5 * max(size for node, size in sizes.items() if node not in assembly.never_per_pair)

    @torch.inference_mode()
    def forward(self, images: torch.Tensor) -> State:
        """Run the network and keep what the backward passes of these frames share.

        Parameters
        ----------
        images : shape (N, C, H, W), dtype of the network

        Returns
        -------
        State
            With the logits (N, n_outputs).
        """
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

    def _lowered(self, op: Operation, saved: Any) -> Any:
        if self.precision is None or not op.lowers or saved is None or saved.ndim != 4:
            return saved
        return saved.to(self.precision)

    def _inputs(self, node: fx.Node) -> list[fx.Node]:
        if isinstance(self.ops[node], GateOp):
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
        rows = Rows(frame.to(device), int(counts[0]) if bool((counts == counts[0]).all()) else None)
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

    def _step(self, node: fx.Node, c: torch.Tensor, state: State, rows: Rows) -> Iterator[tuple[fx.Node, torch.Tensor]]:
        op, sources = self.ops[node], node.meta["relevant"]
        if node in self.pixels:
            if isinstance(op, PassOp | GateOp | Nothing):
                yield sources[0], c
                return
            if not isinstance(op, STRUCTURE):
                c = times(c, 1 / stabilise(state.values[node]), rows)
        made_relevance = isinstance(op, FlatOp | BoxOp)
        keeps_kind = isinstance(op, STRUCTURE) and node in self.pixels
        for source, passed in zip(sources, op.backward(c, state.saved[node], rows), strict=True):
            if source in self.pixels and not made_relevance and not keeps_kind:
                passed = times(passed, state.values[source], rows)
            yield source, passed


def _sum(waiting: torch.Tensor, passed: torch.Tensor, op: Operation) -> torch.Tensor:
    """What meets at a branching; in the place of what a layer has just made, which nothing else reads."""
    if isinstance(op, LayerOp) and passed.dtype == waiting.dtype and passed.shape == waiting.shape:
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
