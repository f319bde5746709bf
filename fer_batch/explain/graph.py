"""What every step on a traced network needs: its modules, its arguments, and replacing its nodes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

CONCATENATIONS = (torch.cat, torch.concat)
STACKS = (torch.stack,)
PERMUTATIONS = (torch.permute, "permute", torch.transpose, "transpose")
RESHAPES = (torch.flatten, torch.reshape, torch.squeeze, "flatten", "reshape", "view", "squeeze", "contiguous")


class Shapes(fx.Interpreter):
    """Runs the network and notes in `meta` the `shape` of what each node returns, and whether it is `floating`."""

    def run_node(self, n: fx.Node) -> Any:
        """The node's value."""
        result = super().run_node(n)
        n.meta["shape"] = tuple(result.shape) if isinstance(result, torch.Tensor) else None
        n.meta["floating"] = isinstance(result, torch.Tensor) and result.is_floating_point()
        return result


def module_of(network: fx.GraphModule, node: object) -> nn.Module | None:
    """The module a node calls; None for a function and for what is no node."""
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    return network.get_submodule(str(node.target))


def constant_of(network: fx.GraphModule, value: object) -> torch.Tensor | None:
    """The tensor that an argument names, of any shape and dtype; None where it names none, or depends on the image."""
    if isinstance(value, fx.Node) and value.op == "get_attr":
        return operator.attrgetter(str(value.target))(network)
    return None


def argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    """An argument of a call by its position or name."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def replace(network: fx.GraphModule, node: fx.Node, module: nn.Module, inputs: tuple[Any, ...]) -> fx.Node:
    """Let a module take the place of a node."""
    name = f"m_{node.name}"
    network.add_submodule(name, module.eval())
    with network.graph.inserting_before(node):
        new = network.graph.call_module(name, inputs)
    new.meta = dict(node.meta)
    node.replace_all_uses_with(new)
    network.graph.erase_node(node)
    return new


def remove(network: fx.GraphModule, node: fx.Node) -> None:
    """Let the first input of a node take its place."""
    node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
    network.graph.erase_node(node)


def drop(network: fx.GraphModule, unwanted: Callable[[nn.Module | None], bool]) -> None:
    """Remove the modules that are not wanted."""
    for node in list(network.graph.nodes):
        if node.op == "call_module" and unwanted(module_of(network, node)):
            remove(network, node)


def depends_on_image(network: fx.GraphModule) -> set[fx.Node]:
    """Nodes that are not the same for every image."""
    dependent: set[fx.Node] = set()
    for node in network.graph.nodes:
        if node.op == "placeholder" or any(source in dependent for source in node.all_input_nodes):
            dependent.add(node)
    return dependent
