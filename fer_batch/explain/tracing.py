"""Every operation of a network's forward pass, as a graph."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

_MAX_BATCH = 2**20

# what torch.export calls by its own names, under the names that Python code calls it by
_BY_NAME: dict[str, Any] = {
    **{
        name: getattr(functional, name)
        for name in (
            "adaptive_avg_pool2d",
            "adaptive_max_pool2d",
            "avg_pool2d",
            "dropout",
            "elu",
            "gelu",
            "hardsigmoid",
            "hardswish",
            "hardtanh",
            "leaky_relu",
            "linear",
            "max_pool2d",
            "mish",
            "pad",
            "relu",
            "relu6",
            "silu",
            "softplus",
        )
    },
    **{
        name: getattr(torch, name)
        for name in (
            "add",
            "batch_norm",
            "cat",
            "conv2d",
            "div",
            "flatten",
            "mean",
            "mul",
            "permute",
            "reshape",
            "sigmoid",
            "squeeze",
            "sub",
            "tanh",
            "transpose",
        )
    },
    "constant_pad_nd": functional.pad,
    "view": torch.reshape,
    "_unsafe_view": torch.reshape,
}


def trace(model: nn.Module, example: torch.Tensor) -> fx.GraphModule:
    """Graph of a network: traced symbolically, or exported where Python decides along the way (padding by size).

    Parameters
    ----------
    model
        In evaluation mode.
    example : shape (2, C, H, W), dtype of the model
        Images of the shape that the graph is for.

    Raises
    ------
    ValueError
        If neither works, because the forward pass branches on the data.
    """
    try:
        return fx.symbolic_trace(model)
    except Exception as error:
        reason = str(error).splitlines()[0]
    try:
        return _exported(model, example)
    except Exception:
        raise ValueError(
            f"the network {type(model).__name__} cannot be traced ({reason}); relevance propagation needs a forward "
            "pass without branches on the data"
        ) from None


def _exported(model: nn.Module, example: torch.Tensor) -> fx.GraphModule:
    batch = torch.export.Dim("batch", min=1, max=_MAX_BATCH)
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # export explains at length why it fails; our error says it in a sentence
    try:
        program = torch.export.export(model, (example,), dynamic_shapes=({0: batch},), strict=False)
    finally:
        logger.setLevel(level)
    exported = program.module()
    graph = exported.graph
    for node in list(graph.nodes):
        if node.op == "call_module" and not node.users:
            graph.erase_node(node)  # the guards of the example's shape
        elif node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload):
            name = node.target._schema.name.partition("::")[2]
            if name in ("clone", "contiguous", "alias", "detach"):
                node.replace_all_uses_with(node.args[0])
                graph.erase_node(node)
            elif not node.users and name.startswith("_assert"):
                graph.erase_node(node)
            else:
                node.target = _known(name, node.target)
        elif node.op == "output" and isinstance(node.args[0], list | tuple) and len(node.args[0]) == 1:
            node.args = (node.args[0][0],)
    plain = fx.Graph()  # a copy sheds the argument conventions of torch.export
    plain.output(plain.graph_copy(graph, {}))
    return fx.GraphModule(exported, plain)


def _known(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function an operation stands for, in-place or not; the operation itself where there is none."""
    return _BY_NAME.get(name.removesuffix("_"), operation)
