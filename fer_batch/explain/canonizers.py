"""A network in the one form that relevance rules are written for.

The forward pass is traced, so that every operation between image and logits is seen, also those that are
not modules: a rule is found for each, or the network is refused. BatchNorm is merged exactly into the layer before it,
functional activations and poolings become modules, sums become `Add`, products with a gate or a constant become
`Scale`. The model that is given stays as it is: the canonical form has its own copies.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from zennit.layer import Sum

from fer_batch.explain.tracing import trace

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
_GATES = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh)
_IDENTITY = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_SUPPORTED = (
    "convolution, linear, BatchNorm, elementwise activations, max and average pooling, sums, concatenation, zero "
    "padding, flatten, reshape, permute, dropout, products with a gate (squeeze-and-excite) or a constant"
)


class Add(nn.Module):
    """Sum of two tensors, as a module, so that the rule of sums has a place to be."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = Sum()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """`a + b`, broadcast."""
        return self.sum(torch.stack(torch.broadcast_tensors(a, b), dim=-1))


class _PassThrough(torch.autograd.Function):
    """Value of `y`, gradient to `x` unchanged: relevance passes."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return grads[0], None


class Scale(nn.Module):
    """Product of a signal with something that takes no relevance: a gate or a constant; or a shift by a constant."""

    def __init__(self, function: Callable[[Any, Any], torch.Tensor], signal: int) -> None:
        super().__init__()
        self.function, self.signal = function, signal

    def forward(self, *arguments: Any) -> torch.Tensor:
        """The function's value; the gradient of the signal is the identity, as the pass rule wants it."""
        return _PassThrough.apply(arguments[self.signal], self.function(*arguments).detach())


class Mean(nn.Module):
    """Mean over some dimensions: global average pooling as a method call."""

    def __init__(self, dim: tuple[int, ...], keepdim: bool) -> None:
        super().__init__()
        self.dim, self.keepdim = dim, keepdim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x.mean(dim, keepdim)`."""
        return x.mean(self.dim, self.keepdim)


class _Shapes(fx.Interpreter):
    """Runs the network and notes in `meta["shape"]` what each node returns."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta["shape"] = tuple(result.shape) if isinstance(result, torch.Tensor) else None
        return result


def merge_batch_norm(linear: nn.Conv2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    """Make `linear` compute `norm(linear(x))` exactly, its epsilon included (arithmetic in float64).

    Raises
    ------
    ValueError
        If the BatchNorm keeps no running statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("BatchNorm without running statistics makes a frame's output depend on the other frames")
    dtype = linear.weight.dtype
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    gain = torch.rsqrt(variance + norm.eps) * (1.0 if norm.weight is None else norm.weight.double())
    offset = 0.0 if norm.bias is None else norm.bias.double()
    bias = 0.0 if linear.bias is None else linear.bias.double()
    weight = linear.weight.double() * gain.view(-1, *(1,) * (linear.weight.ndim - 1))
    linear.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    linear.bias = nn.Parameter(((bias - mean) * gain + offset).to(dtype), requires_grad=False)


@torch.no_grad()
def canonize(model: nn.Module, image_shape: tuple[int, ...]) -> fx.GraphModule:
    """Canonical copy of a network for images of one shape.

    Every node on the way from the image to the logits is a `call_module` of a known layer, or one of `torch.cat`,
    `functional.pad`, reshapes and permutations; `node.meta` has `shape` (for a batch of two), `origin` (the name in the
    model), and on the way `relevant` (the arguments that take relevance, in order).

    Raises
    ------
    ValueError
        If the model cannot be traced, does not take such images, or has an operation without a rule.
    """
    like = next(model.parameters(), torch.zeros(()))
    example = torch.zeros(2, *image_shape, device=like.device, dtype=like.dtype)
    network = _own_modules(trace(model, example))
    _drop_assertions(network)
    _functions_to_modules(network)
    _drop(network, lambda node, module: isinstance(module, _IDENTITY))
    _fold_constants(network)
    _functional_layers(network)
    _merge_batch_norms(network)
    try:
        _Shapes(network).run(example)
    except Exception as error:
        raise ValueError(
            f"the network does not take images {tuple(image_shape)}: {str(error).splitlines()[0]}"
        ) from None
    _products_and_sums(network)
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()
    _Shapes(network).run(example)
    _find_way(network)
    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0))
    _verify_values(network, model, noise.to(example))
    return network


def module_of(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The module a node calls; None for a function."""
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def _own_modules(traced: fx.GraphModule) -> fx.GraphModule:
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


def _argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def _named(*names: str, default: tuple[Any, ...]) -> Callable[[fx.Node], dict[str, Any]]:
    """Reads the arguments behind the first of a functional call into the keywords of its module."""

    def read(node: fx.Node) -> dict[str, Any]:
        values = zip(enumerate(names, start=1), default, strict=True)
        found = {name: _argument(node, position, name, value) for (position, name), value in values}
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


def _replace(network: fx.GraphModule, node: fx.Node, module: nn.Module, inputs: tuple[Any, ...]) -> fx.Node:
    name = f"m_{node.name}"
    network.add_submodule(name, module.eval())
    with network.graph.inserting_before(node):
        new = network.graph.call_module(name, inputs)
    new.meta = dict(node.meta)
    node.replace_all_uses_with(new)
    network.graph.erase_node(node)
    return new


def _functions_to_modules(network: fx.GraphModule) -> None:
    for node in list(network.graph.nodes):
        if node.op not in ("call_function", "call_method"):
            continue
        if node.target in _FUNCTIONS:
            factory, read = _FUNCTIONS[node.target]
            _replace(network, node, factory(**read(node)), (node.args[0] if node.args else node.kwargs["input"],))
        elif node.target in ("mean", torch.mean) and len(node.args) + len(node.kwargs) > 1:
            dim = _argument(node, 1, "dim", None)
            dims = tuple(dim) if isinstance(dim, list | tuple) else (dim,)
            _replace(network, node, Mean(dims, _argument(node, 2, "keepdim", False)), (node.args[0],))
        elif getattr(node.target, "__name__", "") in ("stochastic_depth", "drop_path"):
            _replace(network, node, nn.Identity(), (node.args[0],))


def _drop(network: fx.GraphModule, unwanted: Callable[[fx.Node, nn.Module | None], bool]) -> None:
    for node in list(network.graph.nodes):
        if node.op == "call_module" and unwanted(node, module_of(network, node)):
            node.replace_all_uses_with(node.args[0])
            network.graph.erase_node(node)


def _drop_assertions(network: fx.GraphModule) -> None:
    """Shape checks say nothing that the shapes at hand do not."""
    for node in list(network.graph.nodes):
        if node.target is torch._assert and not node.users:
            network.graph.erase_node(node)
    network.graph.eliminate_dead_code()


def _depends_on_image(network: fx.GraphModule) -> set[fx.Node]:
    dependent: set[fx.Node] = set()
    for node in network.graph.nodes:
        if node.op == "placeholder" or any(source in dependent for source in node.all_input_nodes):
            dependent.add(node)
    return dependent


def _fold_constants(network: fx.GraphModule) -> None:
    """Compute once what does not depend on the image (standardised weights, positional constants)."""
    dependent = _depends_on_image(network)
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


def _functional_layers(network: fx.GraphModule) -> None:
    """Convolutions and products with constant weights that were called as functions."""

    def constant(value: Any) -> torch.Tensor | None:
        if isinstance(value, fx.Node) and value.op == "get_attr":
            return operator.attrgetter(str(value.target))(network)
        return None

    for node in list(network.graph.nodes):
        if node.op == "call_function" and node.target in (functional.batch_norm, torch.batch_norm):
            norm = _functional_batch_norm(node, constant)
            if norm is not None:
                _replace(network, node, norm, (node.args[0],))
            continue
        if node.op != "call_function" or node.target not in (functional.conv2d, torch.conv2d, functional.linear):
            continue
        weight, bias = constant(_argument(node, 1, "weight", None)), _argument(node, 2, "bias", None)
        if weight is None or (bias is not None and constant(bias) is None):
            continue
        layer: nn.Module
        if node.target is functional.linear:
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        else:
            groups = _argument(node, 6, "groups", 1)
            layer = nn.Conv2d(
                weight.shape[1] * groups,
                weight.shape[0],
                tuple(weight.shape[2:]),  # type: ignore[arg-type]
                _argument(node, 3, "stride", 1),
                _argument(node, 4, "padding", 0),
                _argument(node, 5, "dilation", 1),
                groups,
                bias=False,
            )
        layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        offset = constant(bias)
        layer.bias = None if offset is None else nn.Parameter(offset.detach().clone(), requires_grad=False)
        _replace(network, node, layer, (node.args[0],))


def _functional_batch_norm(node: fx.Node, constant: Callable[[Any], torch.Tensor | None]) -> nn.BatchNorm2d | None:
    """The module that `functional.batch_norm` with constant statistics stands for."""
    first_is_weight = node.target is torch.batch_norm
    names = ("weight", "bias", "running_mean", "running_var")
    names = names if first_is_weight else ("running_mean", "running_var", "weight", "bias")
    arguments = {name: _argument(node, position, name, None) for position, name in enumerate(names, start=1)}
    found = {name: constant(value) for name, value in arguments.items()}
    if any(found[name] is None and arguments[name] is not None for name in names) or found["running_mean"] is None:
        return None
    if _argument(node, 5, "training", False):
        return None
    mean = found["running_mean"]
    norm = nn.BatchNorm2d(len(mean), eps=_argument(node, 7, "eps", 1e-5), affine=False).to(mean)
    norm.running_mean, norm.running_var = mean, found["running_var"]
    for name in ("weight", "bias"):
        value = found[name]
        norm.register_parameter(name, None if value is None else nn.Parameter(value, requires_grad=False))
    return norm


def _merge_batch_norms(network: fx.GraphModule) -> None:
    for node in list(network.graph.nodes):
        norm = module_of(network, node)
        if not isinstance(norm, _BATCH_NORM):
            continue
        before = node.args[0]
        linear = module_of(network, before) if isinstance(before, fx.Node) else None
        try:
            if isinstance(linear, nn.Conv2d | nn.Linear) and len(before.users) == 1:
                merge_batch_norm(linear, norm)
                node.replace_all_uses_with(before)
                network.graph.erase_node(node)
            elif norm.running_mean is None:
                raise ValueError("BatchNorm without running statistics makes a frame's output depend on other frames")
        except ValueError as error:
            raise ValueError(f"layer {node.meta['origin']!r}: {error}") from None


_SUM = (operator.add, operator.iadd, torch.add, "add", "add_")
_PRODUCT = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
_WITH_CONSTANT: dict[Any, Callable[..., torch.Tensor]] = {
    **dict.fromkeys(_SUM, torch.add),
    **dict.fromkeys(_PRODUCT, torch.mul),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub", "sub_"), torch.sub),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, "div", "div_"), torch.div),
}


def _constant_function(function: Callable[..., torch.Tensor], value: Any, signal: int) -> Callable[..., torch.Tensor]:
    def apply(x: torch.Tensor) -> torch.Tensor:
        constant = value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=x.dtype, device=x.device)
        return function(x, constant) if signal == 0 else function(constant, x)

    return apply


def _products_and_sums(network: fx.GraphModule) -> None:
    """Sums of two signals become `Add`; products with a gate, and any of the four with a constant, become `Scale`."""
    dependent = _depends_on_image(network)
    for node in list(network.graph.nodes):
        if node.op not in ("call_function", "call_method") or node.target not in _WITH_CONSTANT:
            continue
        if node not in dependent or len(node.args) != 2 or node.kwargs or node.meta.get("shape") is None:
            continue
        signals = [i for i, a in enumerate(node.args) if a in dependent]
        if len(signals) == 1:
            function, other = _WITH_CONSTANT[node.target], node.args[1 - signals[0]]
            if isinstance(other, fx.Node):
                other = operator.attrgetter(str(other.target))(network) if other.op == "get_attr" else None
            if other is not None:
                scale = Scale(_constant_function(function, other, signals[0]), 0)
                new = _replace(network, node, scale, (node.args[signals[0]],))
                dependent.add(new)
        elif node.target in _SUM:
            dependent.add(_replace(network, node, Add(), node.args))
        elif node.target in _PRODUCT:
            gate = _gate(network, node)
            if gate is not None:
                dependent.add(_replace(network, node, Scale(torch.mul, 1 - gate), node.args))


def _gate(network: fx.GraphModule, node: fx.Node) -> int | None:
    """Which factor of a product is the gate: the one that is broadcast, or the one a squashing activation made."""
    a, b = (math.prod(source.meta["shape"]) for source in node.args)  # type: ignore[union-attr]
    if a != b:
        return 0 if a < b else 1
    squashed = [isinstance(module_of(network, source), _GATES) for source in node.args]  # type: ignore[arg-type]
    return squashed.index(True) if sum(squashed) == 1 else None


def _verify_values(network: fx.GraphModule, model: nn.Module, images: torch.Tensor) -> None:
    """The canonical form computes what the model computes."""
    expected, found = model(images), network(images)
    error, size = float((expected - found).abs().max()), float(expected.abs().max())
    tolerance = 1e-3 if images.dtype in (torch.float32, torch.float64) else 5e-2
    if not error <= tolerance * max(size, 1e-6):
        raise ValueError(
            f"the canonical form of {type(model).__name__} gives other logits than the network (they differ by "
            f"{error:.3g} of {size:.3g}); it does something in its forward pass that tracing cannot see"
        )


CONCATENATIONS = (torch.cat, torch.concat)
PERMUTATIONS = (torch.permute, "permute", torch.transpose, "transpose")
RESHAPES = (torch.flatten, torch.reshape, torch.squeeze, "flatten", "reshape", "view", "squeeze", "contiguous")


def _find_way(network: fx.GraphModule) -> None:
    """Every node from the logits back to the image has a rule; note in `meta` which of its inputs take relevance."""
    dependent = _depends_on_image(network)
    output = next(node for node in network.graph.nodes if node.op == "output")
    logits = output.args[0]
    if not isinstance(logits, fx.Node) or logits not in dependent:
        raise ValueError("the network must return one tensor of logits that depends on the image")
    shape = logits.meta["shape"]
    if shape is None or len(shape) != 2 or shape[0] != 2:
        raise ValueError(f"the network must return logits (N, targets), got {shape} for two images")
    pending, seen = [logits], set()
    while pending:
        node = pending.pop()
        if node in seen or node.op == "placeholder":
            continue
        seen.add(node)
        node.meta["relevant"] = _relevant(network, node, dependent)
        if node.meta["shape"][0] != 2:
            raise ValueError(f"layer {node.meta['origin']!r} mixes the images of a batch; relevance cannot follow that")
        pending += node.meta["relevant"]
    if not any(source.op == "placeholder" for node in seen for source in node.meta["relevant"]):
        raise ValueError("no path without a gate leads from the logits back to the image")


def _relevant(network: fx.GraphModule, node: fx.Node, dependent: set[fx.Node]) -> list[fx.Node]:
    sources = [source for source in node.all_input_nodes if source in dependent]
    module = module_of(network, node)
    if module is not None:
        if isinstance(module, Scale):
            return [node.args[module.signal]]  # type: ignore[list-item]
        if isinstance(module, Add):
            return list(node.args)  # type: ignore[arg-type]
        if isinstance(module, nn.Conv2d):
            if module.padding_mode != "zeros":
                raise ValueError(f"layer {node.meta['origin']!r}: padding_mode {module.padding_mode!r} has no rule")
            spans = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
            if module.padding == "same" and any(span % 2 for span in spans):
                raise ValueError(f"layer {node.meta['origin']!r}: 'same' padding of an even kernel has no rule")
            return sources
        known = (nn.Linear, Mean, nn.Flatten, nn.ZeroPad2d, *_BATCH_NORM, *ACTIVATIONS)
        pools = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
        if isinstance(module, known + pools):
            return sources
        what = type(module).__name__
    else:
        if node.target in CONCATENATIONS:
            return list(node.args[0])  # type: ignore[arg-type]
        if node.target in PERMUTATIONS:
            return sources
        if node.target in RESHAPES:
            return sources[:1]
        if node.target is functional.pad and _zero_pad(node):
            return sources
        what = getattr(node.target, "__name__", str(node.target))
    hint = "; explanations start at the logits" if isinstance(module, nn.Softmax | nn.LogSoftmax) else ""
    raise ValueError(f"layer {node.meta['origin']!r} ({what}) has no relevance rule{hint}; supported: {_SUPPORTED}")


def _zero_pad(node: fx.Node) -> bool:
    mode, value = _argument(node, 2, "mode", "constant"), _argument(node, 3, "value", None)
    amounts = _argument(node, 1, "pad", None)
    return mode == "constant" and not value and all(isinstance(amount, int) for amount in amounts)
