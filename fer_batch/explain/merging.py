"""Affine layers merged exactly into convolutions and dense layers, and parallel linear layers into one.

A rule divides by sums of contributions. What is linear as a whole gets one such sum: a BatchNorm that stands directly
behind or before a linear layer, and the branches of a re-parameterised block (RepVGG), whose values partly cancel.
Arithmetic is in float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from fer_batch.explain.arithmetic import norm_constants
from fer_batch.explain.graph import RESHAPES, module_of, remove, replace
from fer_batch.explain.modules import Add, Affine, Reduce

Linear = nn.Conv2d | nn.Linear


def merge_batch_norm(linear: Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    """Make `linear` compute `norm(linear(x))` exactly, its epsilon included.

    Raises
    ------
    ValueError
        If the BatchNorm keeps no running statistics.
    """
    _scale_outputs(linear, *norm_constants(norm))


def merge_affine(network: fx.GraphModule) -> None:
    """Merge every `Affine` that can be merged exactly; the rest stay."""
    merged = True
    while merged:  # what is merged may itself be a branch, or stand before the next
        merged = False
        for node in list(network.graph.nodes):
            merged |= _backward(network, node) or _parallel(network, node)
    image = _before_any_layer(network)
    for node in list(network.graph.nodes):
        if node not in image:
            _forward(network, node)


def _set(linear: Linear, weight: torch.Tensor, bias: torch.Tensor) -> None:
    dtype = linear.weight.dtype
    linear.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    linear.bias = nn.Parameter(bias.to(dtype), requires_grad=False)


def _bias(linear: Linear) -> torch.Tensor:
    w = linear.weight
    return w.new_zeros(len(w), dtype=torch.float64) if linear.bias is None else linear.bias.double()


def _scale_outputs(linear: Linear, gain: torch.Tensor, offset: torch.Tensor) -> None:
    weight = linear.weight.double() * gain.view(-1, *(1,) * (linear.weight.ndim - 1))
    _set(linear, weight, _bias(linear) * gain + offset)


def _channels(module: Affine, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Factor and offset [C] of an affine layer with an output of some shape; None where positions differ."""
    tensors = (module.weight, torch.zeros_like(module.weight) if module.bias is None else module.bias)
    if any(n != 1 for tensor in tensors for axis, n in enumerate(tensor.shape) if axis != 1):
        return None
    gain, offset = (tensor.flatten().double().expand(shape[1]) for tensor in tensors)
    return gain, offset


def _backward(network: fx.GraphModule, node: fx.Node) -> bool:
    """Into the layer before, if nothing else reads that."""
    module, before = module_of(network, node), node.args[0] if node.args else None
    if not isinstance(module, Affine) or not isinstance(before, fx.Node) or len(before.users) != 1:
        return False
    target = module_of(network, before)
    constants = _channels(module, node.meta["shape"])
    if constants is None or before.meta["shape"] != node.meta["shape"]:
        return False
    gain, offset = constants
    if isinstance(target, Affine):
        inner = _channels(target, before.meta["shape"])
        if inner is None:
            return False
        shape = (1, -1, *(1,) * (len(node.meta["shape"]) - 2))
        network.set_submodule(
            str(before.target), Affine((inner[0] * gain).view(shape), (inner[1] * gain + offset).view(shape))
        )
    elif isinstance(target, nn.Conv2d) or (isinstance(target, nn.Linear) and len(node.meta["shape"]) == 2):
        _scale_outputs(target, gain, offset)
    else:
        return False
    remove(network, node)
    return True


def _forward(network: fx.GraphModule, node: fx.Node) -> bool:
    """Into the linear layer behind, over global averages; not where padding would be shifted."""
    module = module_of(network, node)
    if not isinstance(module, Affine) or node.meta["shape"] != node.args[0].meta["shape"]:  # type: ignore[union-attr]
        return False
    constants, reader = _channels(module, node.meta["shape"]), _reader(network, node)
    if constants is None:
        return False
    target = module_of(network, reader)
    gain, offset = constants
    if isinstance(target, nn.Conv2d):
        single = set(target.kernel_size) == {1}
        if target.padding not in ((0, 0), "valid") and not (target.padding == "same" and single):
            return False
        n_inputs = target.in_channels // target.groups
        per_group = gain.view(target.groups, n_inputs).repeat_interleave(target.out_channels // target.groups, 0)
        shift = offset.view(target.groups, n_inputs).repeat_interleave(target.out_channels // target.groups, 0)
        weight = target.weight.double()
        bias = _bias(target) + (weight * shift[:, :, None, None]).sum((1, 2, 3))
        _set(target, weight * per_group[:, :, None, None], bias)
    elif isinstance(target, nn.Linear) and target.in_features == len(gain):
        weight = target.weight.double()
        _set(target, weight * gain, _bias(target) + weight @ offset)
    else:
        return False
    remove(network, node)
    return True


def _reader(network: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """What alone reads a node, behind averages over all positions."""
    n_channels = node.meta["shape"][1]
    while len(node.users) == 1:
        node = next(iter(node.users))
        module, shape = module_of(network, node), node.meta.get("shape")
        pooled = isinstance(module, nn.AdaptiveAvgPool2d) or (
            isinstance(module, Reduce) and module.function is torch.mean
        )
        flat = isinstance(module, nn.Flatten) or node.target in RESHAPES
        if not (pooled or flat) or shape is None or shape[1] != n_channels or any(n != 1 for n in shape[2:]):
            return node
    return None


def _before_any_layer(network: fx.GraphModule) -> set[fx.Node]:
    """Nodes whose values are still pixels: what prepares the image stays apart from the first layer and its rule."""
    found: set[fx.Node] = set()
    for node in network.graph.nodes:
        linear = isinstance(module_of(network, node), nn.Conv2d | nn.Linear)
        if not linear and found.issuperset(node.all_input_nodes):
            found.add(node)
    return found


def _parallel(network: fx.GraphModule, node: fx.Node) -> bool:
    """A sum of two linear layers that read the same values as one of them."""
    if not isinstance(module_of(network, node), Add) or len(set(node.args)) != 2:
        return False
    branches = [module_of(network, source) for source in node.args]
    sources = [source.args[0] for source in node.args if source.args]  # type: ignore[union-attr]
    convs = [branch for branch in branches if isinstance(branch, nn.Conv2d)]
    if len(sources) != 2 or sources[0] is not sources[1] or not convs:
        return False
    if any(len(source.users) != 1 or source.meta["shape"] != node.meta["shape"] for source in node.args):  # type: ignore[union-attr]
        return False
    if len(convs) == 1:
        affine = next(branch for branch in branches if branch is not convs[0])
        if not isinstance(affine, Affine) or sources[0].meta["shape"] != node.meta["shape"]:  # type: ignore[union-attr]
            return False
        constants = _channels(affine, node.meta["shape"])
        if constants is None:
            return False
        convs.append(_as_convolution(*constants, convs[0]))
    merged = _sum_of(convs[0], convs[1])
    if merged is None:
        return False
    new = replace(network, node, merged, (sources[0],))
    for source in list(new.args[0].users):  # type: ignore[union-attr]
        if not source.users:
            network.graph.erase_node(source)
    return True


def _as_convolution(gain: torch.Tensor, offset: torch.Tensor, like: nn.Conv2d) -> nn.Conv2d:
    """An affine layer as a 1x1 convolution with as many groups as another."""
    n, groups = like.in_channels, like.groups
    conv = nn.Conv2d(n, n, 1, groups=groups).to(like.weight)
    weight = torch.zeros(n, n // groups, 1, 1, dtype=torch.float64, device=gain.device)
    weight[torch.arange(n), torch.arange(n) % (n // groups), 0, 0] = gain
    _set(conv, weight, offset)
    return conv


def _sum_of(a: nn.Conv2d, b: nn.Conv2d) -> nn.Conv2d | None:
    """One convolution that computes the sum of two; None where their kernels do not lie on the same positions."""
    if (a.stride, a.groups, a.in_channels, a.out_channels) != (b.stride, b.groups, b.in_channels, b.out_channels):
        return None
    if any(c.padding_mode != "zeros" or isinstance(c.padding, str) or set(c.dilation) != {1} for c in (a, b)):
        return None
    large = max((a, b), key=lambda c: c.kernel_size)
    weight, bias = torch.zeros_like(large.weight, dtype=torch.float64), _bias(a) + _bias(b)
    for conv in (a, b):
        pads: Any = (large.padding, conv.padding)
        margins = [outer - inner for outer, inner in zip(*pads, strict=True)]
        spans = [K - k for K, k in zip(large.kernel_size, conv.kernel_size, strict=True)]
        if any(span != 2 * margin or margin < 0 for span, margin in zip(spans, margins, strict=True)):
            return None
        weight += functional.pad(conv.weight.double(), (margins[1], margins[1], margins[0], margins[0]))
    kernel: Any = large.kernel_size
    merged = nn.Conv2d(a.in_channels, a.out_channels, kernel, groups=a.groups).to(a.weight)
    merged.stride, merged.padding = a.stride, large.padding
    _set(merged, weight, bias)
    return merged
