"""A network in the one form that relevance rules are written for.

The forward pass is traced, so that every operation between image and logits is seen, also those that are not modules:
a rule is found for each, or the network is refused. BatchNorm and constants are merged exactly into neighbouring linear
layers, or become `Affine`; functional activations and poolings become modules, sums `Add`, products with a gate
`Scale`. The model that is given stays as it is: the canonical form has its own copies.
"""

from __future__ import annotations

import operator

import torch
from torch import fx, nn
from torch.nn import functional

from fer_batch.explain import calls
from fer_batch.explain.arithmetic import norms_to_affine, products_and_sums
from fer_batch.explain.graph import (
    CONCATENATIONS,
    PERMUTATIONS,
    RESHAPES,
    STACKS,
    Shapes,
    argument,
    depends_on_image,
    drop,
    module_of,
)
from fer_batch.explain.merging import merge_affine, merge_batch_norm
from fer_batch.explain.modules import ACTIVATIONS, Add, Affine, Reduce, Scale
from fer_batch.explain.tracing import trace

__all__ = ["canonize", "merge_batch_norm", "module_of"]

_IDENTITY = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_SUPPORTED = (
    "convolution, linear, BatchNorm, elementwise activations, max and average pooling, sums, concatenation, zero "
    "padding, flatten, reshape, permute, dropout, products with a gate (squeeze-and-excite) or a constant"
)


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
    network = calls.own_modules(trace(model, example))
    calls.drop_assertions(network)
    calls.functions_to_modules(network)
    drop(network, lambda module: isinstance(module, _IDENTITY))
    calls.fold_constants(network)
    calls.functional_layers(network)
    try:
        Shapes(network).run(example)
    except Exception as error:
        raise ValueError(
            f"the network does not take images {tuple(image_shape)}: {str(error).splitlines()[0]}"
        ) from None
    products_and_sums(network)
    norms_to_affine(network)
    merge_affine(network)
    network.to(example.dtype)
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()
    Shapes(network).run(example)
    _mark_relevant(network)
    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0))
    _verify_values(network, model, noise.to(example))
    return network


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


def _mark_relevant(network: fx.GraphModule) -> None:
    """Every node from the logits back to the image has a rule; note in `meta` which of its inputs take relevance."""
    dependent = depends_on_image(network)
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
        if node.meta["shape"][0] != 2 or _reduces_batch(network, node):
            raise ValueError(f"layer {node.meta['origin']!r} mixes the images of a batch; relevance cannot follow that")
        pending += node.meta["relevant"]
    if not any(source.op == "placeholder" for node in seen for source in node.meta["relevant"]):
        raise ValueError("no path without a gate leads from the logits back to the image")


def _reduces_batch(network: fx.GraphModule, node: fx.Node) -> bool:
    module = module_of(network, node)
    if not isinstance(module, Reduce):
        return False
    n_dims = len(node.args[0].meta["shape"])  # type: ignore[union-attr]
    return any(dim % n_dims == 0 for dim in module.dim)


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
        known = (nn.Linear, Affine, Reduce, nn.Flatten, nn.ZeroPad2d, *ACTIVATIONS)
        pools = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
        if isinstance(module, known + pools):
            return sources
        what = type(module).__name__
    else:
        if node.target in (*CONCATENATIONS, *STACKS):
            return list(node.args[0])  # type: ignore[arg-type]
        if node.target in PERMUTATIONS:
            return sources
        if node.target in RESHAPES:
            return sources[:1]
        if node.target is functional.pad and _zero_pad(node):
            return sources
        made = node.args[0] if node.target is operator.getitem else node  # one of several results of an operation
        what = getattr(made.target, "__name__", str(made.target))  # type: ignore[union-attr]
    hint = "; explanations start at the logits" if isinstance(module, nn.Softmax | nn.LogSoftmax) else ""
    raise ValueError(f"layer {node.meta['origin']!r} ({what}) has no relevance rule{hint}; supported: {_SUPPORTED}")


def _zero_pad(node: fx.Node) -> bool:
    mode, value = argument(node, 2, "mode", "constant"), argument(node, 3, "value", None)
    amounts = argument(node, 1, "pad", None)
    return mode == "constant" and not value and all(isinstance(amount, int) for amount in amounts)
