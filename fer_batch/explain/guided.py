r"""Deconvnet and guided backpropagation: gradients with another rule at ReLUs (methods 7.1).

For a ReLU with input :math:`X` and incoming signal :math:`R`: backpropagation passes :math:`R\,[X>0]`, deconvnet
:math:`R\,[R>0]`, guided backpropagation :math:`R\,[X>0]\,[R>0]`.

The rule is put on the graph that autograd recorded, so that a ReLU is found whether it is a module, a function or a
clamp at zero, the model stays as it is, and an activation without a rule is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn
from torch.autograd.function import BackwardCFunction

from fer_batch.explain.explainer import Explainer, Images, prepared_images, relevance
from fer_batch.explain.gradient import Gradient, reduction
from fer_batch.explain.layers import unknown_module
from fer_batch.explain.targets import check_outputs, frame_chunks, named, one_of, positive_int, target_free_pairs
from fer_batch.types import InputError, Relevance

Rule = Literal["deconvnet", "guided"]

_SMOOTH = {
    "Abs", "Clamp", "ClampMax", "ClampMin", "Elu", "Gelu", "Glu", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
    "LeakyRelu", "LogSigmoid", "Maximum", "Minimum", "Mish", "PreluKernel", "RreluWithNoise", "Sigmoid", "Silu",
    "Softplus", "Softshrink", "Tanh", "Threshold",
}  # fmt: skip


def recorded(output: torch.Tensor) -> Iterator[Any]:
    """Every node of the graph that autograd recorded behind a tensor, once.

    Parameters
    ----------
    output
        Of any shape and dtype; without a graph there are no nodes.
    """
    seen, waiting = set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(following for following, _ in node.next_functions)


def _is_relu(node: Any, kind: str) -> bool:
    """ReLU, ReLU6, or a clamp whose lower end is zero: the identity where it is not constant."""
    if kind == "Relu":
        return True
    if kind == "Hardtanh":
        return node._saved_min_val == 0
    if kind in ("Clamp", "ClampMin"):
        low = getattr(node, "_saved_min", None)
        return not isinstance(low, torch.Tensor) and low == 0
    return False


def smooth_activations(output: torch.Tensor) -> set[str]:
    """Names of the activations behind a tensor, but for ReLU, ReLU6 and clamps at zero.

    Parameters
    ----------
    output
        Of any shape and dtype, with the graph of one forward pass.
    """
    kinds = [(node, re.sub(r"Backward\d*$", "", node.name())) for node in recorded(output)]
    return {
        kind
        for node, kind in kinds
        if not _is_relu(node, kind) and (kind in _SMOOTH or isinstance(node, BackwardCFunction))
    }


def put_rule(output: torch.Tensor, rule: str, other_activations: str = "refuse") -> None:
    """Let gradients of `output` obey a rule at every ReLU behind it.

    Parameters
    ----------
    output
        Of any shape, such as logits (N, n_outputs), with the graph of one forward pass; the rule lasts as long as that
        graph.
    rule
        `deconvnet` (Zeiler & Fergus 2014) or `guided` (Springenberg et al. 2015).
    other_activations
        What has no rule is refused, or passes its `derivative`.

    Raises
    ------
    ValueError
        If the network applies an activation without a rule.
    """
    for node in recorded(output):
        if _is_relu(node, re.sub(r"Backward\d*$", "", node.name())):
            if rule == "guided":
                node.register_prehook(lambda incoming: (incoming[0].clamp(min=0), *incoming[1:]))
            else:
                node.register_hook(lambda outgoing, incoming: (incoming[0].clamp(min=0), *outgoing[1:]))
    others = smooth_activations(output)
    if others and other_activations == "refuse":
        raise ValueError(
            f"{'guided backpropagation' if rule == 'guided' else 'deconvnet'} has a rule for ReLU and ReLU6; the "
            f"network also applies {', '.join(sorted(others))}. Take gradient or integrated_gradients, or set "
            "explain.options.other_activations: derivative"
        )


class FromLayer:
    """Guided or deconvnet signal of the summed output of a layer: a map without target (methods X-2).

    Parameters
    ----------
    rule, other_activations
        See `put_rule`.
    channels
        `sum` or `largest`.
    layer
        Module by name; None for the last convolution, with the ReLU that reads it, as Keras counts it to its layer.
    batch_size
        Images in one pass.
    """

    def __init__(self, rule: str, channels: str, other_activations: str, layer: str | None, batch_size: int) -> None:
        self.rule, self.reduce, self.other_activations = rule, reduction(channels), other_activations
        self.layer, self.batch_size = named(layer), positive_int("batch_size", batch_size)

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; pairs may have output -1, whose score is NaN."""
        x = prepared_images(model, images)
        rows = target_free_pairs(pairs, len(x))
        maps = np.empty((len(rows), *x.shape[2:]), np.float32)
        scores = np.full(len(rows), np.nan, np.float32)
        for where, frames, position in frame_chunks(rows, self.batch_size):
            image = x[torch.from_numpy(frames).to(x.device)].requires_grad_()
            start, logits = self._start(model, image)
            check_outputs(rows[where], len(x), logits.shape[1], target_free=True)
            put_rule(start, self.rule, self.other_activations)
            (w,) = torch.autograd.grad(start, image)
            maps[where] = self.reduce(w, image.detach()).float().cpu().numpy()[position]
            scored = np.flatnonzero(rows[where, 1] >= 0)
            values = logits.detach().float().cpu().numpy()
            scores[scored + where.start] = values[position[scored], rows[where][scored, 1]]
        return relevance(maps, scores, conserves=False)

    def _start(self, model: nn.Module, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        modules = dict(model.named_modules())
        if self.layer is not None and self.layer not in modules:
            raise InputError(f"explain.options.layer: {unknown_module(self.layer, modules)}")
        found: dict[str, Any] = {}

        def note(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            # a copy: the next layer may work in place
            found["value"], found["node"] = output.clone(), output.grad_fn

        chosen = [
            module
            for name, module in modules.items()
            if name == self.layer or (self.layer is None and _is_conv(module))
        ]
        handles = [module.register_forward_hook(note) for module in chosen]
        try:
            with torch.enable_grad():
                logits = model(image)
                if not found:
                    raise ValueError(f"the network ran no {self.layer or 'convolution'} to start from")
                value = found["value"]
                if self.layer is None and any(
                    _is_relu(node, re.sub(r"Backward\d*$", "", node.name()))
                    and node.next_functions[0][0] is found["node"]
                    for node in recorded(logits)
                ):
                    value = value.clamp(min=0)
                return value.sum(), logits
        finally:
            for handle in handles:
                handle.remove()


def _is_conv(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d)


def _explainer(
    rule: Rule, start: str, channels: str, other_activations: str, layer: str | None, batch_size: int
) -> Explainer:
    one_of("start", start, ("class", "last_conv"))
    one_of("other_activations", other_activations, ("refuse", "derivative"))
    if start == "last_conv":
        return FromLayer(rule, channels, other_activations, layer, batch_size)
    if layer is not None:
        raise InputError("explain.options.layer belongs to start: last_conv; a class start has no layer")
    return Gradient(reduction(channels), batch_size, lambda logits: put_rule(logits, rule, other_activations))


def deconvnet(
    start: str = "class",
    channels: str = "sum",
    other_activations: str = "refuse",
    layer: str | None = None,
    batch_size: int = 32,
) -> Explainer:
    """Deconvnet (Zeiler & Fergus 2014)."""
    return _explainer("deconvnet", start, channels, other_activations, layer, batch_size)


def guided_backprop(
    start: str = "class",
    channels: str = "sum",
    other_activations: str = "refuse",
    layer: str | None = None,
    batch_size: int = 32,
) -> Explainer:
    """Guided backpropagation (Springenberg et al. 2015); `start: last_conv` is methods X-2."""
    return _explainer("guided", start, channels, other_activations, layer, batch_size)
