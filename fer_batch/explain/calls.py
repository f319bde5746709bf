"""Calls of a traced network as modules of its own: functional layers, activations and poolings, constants folded."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from fer_batch.explain.graph import argument, constant_of, depends_on_image, replace
from fer_batch.explain.modules import Reduce


def own_modules(traced: fx.GraphModule) -> fx.GraphModule:
    """Give every call a module of its own, without hooks, gradients or in-place work."""
    root: dict[str, Any] = {}
    for node in traced.graph.nodes:
        if node.op == "call_module":
            module = copy.deepcopy(traced.get_submodule(str(node.target)))
            for part in module.modules():
                part._forward_hooks.clear()
                part._forward_pre_hooks.clear()
                if hasattr(part, "inplace"):
                    part.inplace = False  # type: ignore[assignment]
            module.requires_grad_(False)
            if isinstance(module, nn.Conv2d | nn.Linear) and type(module) not in (nn.Conv2d, nn.Linear):
                module = _plain(module)
            node.meta["origin"] = str(node.target)
            node.target = f"m_{node.name}"
            root[node.target] = module
        elif node.op == "get_attr":
            value = operator.attrgetter(str(node.target))(traced)
            node.meta["origin"] = str(node.target)
            node.target = f"t_{node.name}"
            root[node.target] = value.detach().clone() if isinstance(value, torch.Tensor) else value
        else:
            node.meta["origin"] = node.name
    return fx.GraphModule(root, traced.graph)


def _plain(module: nn.Conv2d | nn.Linear) -> nn.Module:
    """A parametrised layer (weight or spectral norm) with its weight as it stands."""
    if isinstance(module, nn.Linear):
        plain: nn.Module = nn.Linear(module.in_features, module.out_features)
    else:
        plain = nn.Conv2d(
            module.in_channels,
            module.out_channels,
            module.kernel_size,  # type: ignore[arg-type]
            module.stride,  # type: ignore[arg-type]
            module.padding,  # type: ignore[arg-type]
            module.dilation,  # type: ignore[arg-type]
            module.groups,
            padding_mode=module.padding_mode,
        )
    plain.weight = nn.Parameter(module.weight.detach().clone(), requires_grad=False)
    bias = None if module.bias is None else nn.Parameter(module.bias.detach().clone(), requires_grad=False)
    plain.register_parameter("bias", bias)
    return plain.eval()


def _named(*names: str, default: tuple[Any, ...]) -> Callable[[fx.Node], dict[str, Any]]:
    """Reads the arguments behind the first of a functional call into the keywords of its module."""

    def read(node: fx.Node) -> dict[str, Any]:
        values = zip(enumerate(names, start=1), default, strict=True)
        found = {name: argument(node, position, name, value) for (position, name), value in values}
        return {name: None if value == [] else value for name, value in found.items()}  # an exported "no stride"

    return read


_POOL = _named("kernel_size", "stride", "padding", "dilation", "ceil_mode", default=(None, None, 0, 1, False))
_AVERAGE = _named(
    "kernel_size",
    "stride",
    "padding",
    "ceil_mode",
    "count_include_pad",
    "divisor_override",
    default=(None, None, 0, False, True, None),
)
_NONE: Callable[[fx.Node], dict[str, Any]] = lambda node: {}  # noqa: E731
_FUNCTIONS: dict[Any, tuple[type[nn.Module], Callable[[fx.Node], dict[str, Any]]]] = {
    **dict.fromkeys((functional.relu, functional.relu_, torch.relu, torch.relu_, "relu", "relu_"), (nn.ReLU, _NONE)),
    **dict.fromkeys((torch.sigmoid, functional.sigmoid, "sigmoid", "sigmoid_"), (nn.Sigmoid, _NONE)),
    **dict.fromkeys((torch.tanh, functional.tanh, "tanh", "tanh_"), (nn.Tanh, _NONE)),
    functional.relu6: (nn.ReLU6, _NONE),
    functional.hardtanh: (nn.Hardtanh, _named("min_val", "max_val", default=(-1.0, 1.0))),
    functional.hardswish: (nn.Hardswish, _NONE),
    functional.hardsigmoid: (nn.Hardsigmoid, _NONE),
    functional.silu: (nn.SiLU, _NONE),
    functional.mish: (nn.Mish, _NONE),
    functional.gelu: (nn.GELU, lambda node: {"approximate": node.kwargs.get("approximate", "none")}),
    functional.elu: (nn.ELU, _named("alpha", default=(1.0,))),
    functional.leaky_relu: (nn.LeakyReLU, _named("negative_slope", default=(0.01,))),
    functional.softplus: (nn.Softplus, _named("beta", "threshold", default=(1.0, 20.0))),
    functional.max_pool2d: (nn.MaxPool2d, _POOL),
    torch.max_pool2d: (nn.MaxPool2d, _POOL),
    functional.avg_pool2d: (nn.AvgPool2d, _AVERAGE),
    functional.adaptive_avg_pool2d: (nn.AdaptiveAvgPool2d, _named("output_size", default=(1,))),
    functional.adaptive_max_pool2d: (nn.AdaptiveMaxPool2d, _named("output_size", default=(1,))),
    functional.dropout: (nn.Identity, _NONE),
    functional.dropout2d: (nn.Identity, _NONE),
}


_REDUCTIONS: dict[Any, Callable[..., torch.Tensor]] = {
    **dict.fromkeys(("mean", torch.mean), torch.mean),
    **dict.fromkeys(("sum", torch.sum), torch.sum),
}


def functions_to_modules(network: fx.GraphModule) -> None:
    """Functional activations, poolings, means and sums as the modules they stand for."""
    for node in list(network.graph.nodes):
        if node.op not in ("call_function", "call_method"):
            continue
        if node.target in _FUNCTIONS:
            factory, read = _FUNCTIONS[node.target]
            replace(network, node, factory(**read(node)), (node.args[0] if node.args else node.kwargs["input"],))
        elif node.target in _REDUCTIONS and argument(node, 1, "dim", None) is not None:
            dim = argument(node, 1, "dim", None)
            dims = tuple(dim) if isinstance(dim, list | tuple) else (dim,)
            reduce = Reduce(_REDUCTIONS[node.target], dims, argument(node, 2, "keepdim", False))
            replace(network, node, reduce, (node.args[0] if node.args else node.kwargs["input"],))
        elif getattr(node.target, "__name__", "") in ("stochastic_depth", "drop_path"):
            replace(network, node, nn.Identity(), (node.args[0],))


def drop_assertions(network: fx.GraphModule) -> None:
    """Shape checks say nothing that the shapes at hand do not."""
    for node in list(network.graph.nodes):
        if node.target is torch._assert and not node.users:
            network.graph.erase_node(node)
    network.graph.eliminate_dead_code()


def fold_constants(network: fx.GraphModule) -> None:
    """Compute once what does not depend on the image (standardised weights, positional constants)."""
    dependent = depends_on_image(network)
    interpreter = fx.Interpreter(network)
    values: dict[fx.Node, Any] = {}
    for node in list(network.graph.nodes):
        if node in dependent or node.op in ("placeholder", "output"):
            continue
        interpreter.env = values
        values[node] = interpreter.run_node(node)
        if node.op != "get_attr" and isinstance(values[node], torch.Tensor):
            name = f"t_{node.name}"
            network.register_buffer(name, values[node].detach())
            with network.graph.inserting_before(node):
                constant = network.graph.get_attr(name)
            constant.meta["origin"] = node.meta["origin"]
            values[constant] = values[node]
            node.replace_all_uses_with(constant)


def functional_layers(network: fx.GraphModule) -> None:
    """Convolutions and products with constant weights that were called as functions."""

    for node in list(network.graph.nodes):
        if node.op == "call_function" and node.target in (functional.batch_norm, torch.batch_norm):
            norm = _functional_batch_norm(network, node)
            if norm is not None:
                replace(network, node, norm, (node.args[0],))
            continue
        if node.op != "call_function" or node.target not in (functional.conv2d, torch.conv2d, functional.linear):
            continue
        weight, bias = constant_of(network, argument(node, 1, "weight", None)), argument(node, 2, "bias", None)
        if weight is None or (bias is not None and constant_of(network, bias) is None):
            continue
        layer: nn.Module
        if node.target is functional.linear:
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        else:
            groups = argument(node, 6, "groups", 1)
            layer = nn.Conv2d(
                weight.shape[1] * groups,
                weight.shape[0],
                tuple(weight.shape[2:]),  # type: ignore[arg-type]
                argument(node, 3, "stride", 1),
                argument(node, 4, "padding", 0),
                argument(node, 5, "dilation", 1),
                groups,
                bias=False,
            )
        layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        offset = constant_of(network, bias)
        layer.bias = None if offset is None else nn.Parameter(offset.detach().clone(), requires_grad=False)
        replace(network, node, layer, (node.args[0],))


def _functional_batch_norm(network: fx.GraphModule, node: fx.Node) -> nn.BatchNorm2d | None:
    """The module that `functional.batch_norm` with constant statistics stands for."""
    first_is_weight = node.target is torch.batch_norm
    names = ("weight", "bias", "running_mean", "running_var")
    names = names if first_is_weight else ("running_mean", "running_var", "weight", "bias")
    arguments = {name: argument(node, position, name, None) for position, name in enumerate(names, start=1)}
    found = {name: constant_of(network, value) for name, value in arguments.items()}
    if any(found[name] is None and arguments[name] is not None for name in names) or found["running_mean"] is None:
        return None
    if argument(node, 5, "training", False):
        return None
    mean = found["running_mean"]
    norm = nn.BatchNorm2d(len(mean), eps=argument(node, 7, "eps", 1e-5), affine=False).to(mean)
    norm.running_mean, norm.running_var = mean, found["running_var"]
    for name in ("weight", "bias"):
        value = found[name]
        norm.register_parameter(name, None if value is None else nn.Parameter(value, requires_grad=False))
    return norm
