"""Which rule goes where: the named composites of methods 7.3, and the same as zennit composites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

from fer_batch import lean_torchvision  # noqa: F401

# isort: split

from torch import fx, nn
from zennit.composites import NameMapComposite
from zennit.core import Composite, Hook
from zennit.rules import Norm, Pass

from fer_batch.explain.graph import module_of
from fer_batch.explain.modules import ACTIVATIONS, Add, Affine, Reduce
from fer_batch.explain.rules import AlphaBeta, Bias, Box, Epsilon, Flat, Gamma, Rule, stabilise
from fer_batch.registry import Registry
from fer_batch.types import InputError


@dataclass(frozen=True)
class Preset:
    """Rules by the place of a layer.

    Attributes
    ----------
    dense, conv
        Rules of linear layers and of convolutions.
    first
        Rule of the layers that the image reaches before any other linear layer.
    directly
        Whether `first` holds only for a layer that the image feeds with nothing in between, not even padding
        (iNNvestigate's reading).
    """

    dense: Rule
    conv: Rule
    first: Rule
    directly: bool = False

    def rule(self, module: nn.Module, steps_from_image: int | None, activated: bool = True) -> Rule:
        """Rule of one convolution or dense layer.

        A depthwise convolution that other linear layers read directly is a part of them (Xception: a 1x1 convolution)
        and follows z, where the preset separates positive from negative contributions: among nine of one channel one
        side is often next to nothing, and would get all of the relevance of an output of the other sign.

        Parameters
        ----------
        module
            The layer.
        steps_from_image
            Operations between the image and it; None behind another layer.
        activated
            Whether an activation reads it.
        """
        if steps_from_image is not None and (steps_from_image == 0 or not self.directly):
            return self.first
        if isinstance(module, nn.Linear):
            return self.dense
        depthwise = isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels
        separates = isinstance(self.conv, AlphaBeta)
        return Epsilon() if depthwise and separates and not activated else self.conv

    def affine_rule(self, module: Affine, of_pixels: bool) -> Epsilon | Gamma | None:
        """Rule of a factor and an offset per channel that could not be merged; None where relevance passes.

        The offset takes its share by the rule of the preset, but by gamma (0.25) where that is alpha-beta: a single
        contribution cannot be separated into parts. alpha1-beta0 would leave all relevance of an output with the offset
        wherever the contribution is negative (5 % of the logit arrive behind the 34 BatchNorms of ResNet-101 V2),
        alpha2-beta1 would double it where it is positive. Gamma bounds multipliers by 1.25 times the factor.
        Without an offset the one contribution takes all. Before the first layer, spreading evenly over one pixel, or
        within its bounds, leaves relevance where it is.
        """
        if module.bias is None or (of_pixels and not isinstance(self.first, Epsilon)):
            return None
        rule = self.dense if module.weight.ndim == 2 else self.conv
        return rule if isinstance(rule, Epsilon | Gamma) else Gamma()


COMPOSITES: Registry[Callable[..., Preset]] = Registry("composite")


def _known_bias(bias: str) -> Bias:
    if bias not in get_args(Bias):
        raise InputError(f"explain.options.bias {bias!r}: expected positive (textbook) or all (as iNNvestigate)")
    return bias  # type: ignore[return-value]


def _not_negative(name: str, value: float) -> float:
    if not value >= 0:
        raise InputError(f"explain.options.{name} must not be negative, got {value}")
    return float(value)


@COMPOSITES.register("z")
def z() -> Preset:
    """LRP-Z everywhere."""
    return Preset(Epsilon(), Epsilon(), Epsilon())


@COMPOSITES.register("epsilon")
def epsilon(epsilon: float = 1e-7) -> Preset:
    """LRP-epsilon everywhere."""
    rule = Epsilon(_not_negative("epsilon", epsilon))
    return Preset(rule, rule, rule)


@COMPOSITES.register("preset_a_flat")
def preset_a_flat(epsilon: float = 0.1, bias: str = "positive") -> Preset:
    """Epsilon in dense layers, alpha1-beta0 in convolutions, flat first (Kohlbrenner et al. 2020: LRP-CMP alpha1)."""
    known = _known_bias(bias)
    return Preset(Epsilon(_not_negative("epsilon", epsilon)), AlphaBeta(1.0, 0.0, known), Flat(), known == "all")


@COMPOSITES.register("preset_b_flat")
def preset_b_flat(epsilon: float = 0.1, bias: str = "positive") -> Preset:
    """Epsilon in dense layers, alpha2-beta1 in convolutions, flat first (Kohlbrenner et al. 2020: LRP-CMP alpha2)."""
    known = _known_bias(bias)
    return Preset(Epsilon(_not_negative("epsilon", epsilon)), AlphaBeta(2.0, 1.0, known), Flat(), known == "all")


@COMPOSITES.register("epsilon_gamma_box")
def epsilon_gamma_box(
    epsilon: float = 1e-6, gamma: float = 0.25, low: Sequence[float] = (0.0,), high: Sequence[float] = (1.0,)
) -> Preset:
    """Epsilon in dense layers, gamma in convolutions, z-box first (Montavon et al. 2019).

    `low` and `high` are the least and greatest value an input channel can take, after mean and std.
    """
    box = Box(tuple(map(float, low)), tuple(map(float, high)))
    if len(box.low) != len(box.high) or any(a >= b for a, b in zip(box.low, box.high, strict=True)):
        raise InputError(f"explain.options.low must lie below explain.options.high, got {low} and {high}")
    return Preset(Epsilon(_not_negative("epsilon", epsilon)), Gamma(_not_negative("gamma", gamma)), box)


def rules(network: fx.GraphModule, preset: Preset) -> dict[fx.Node, Rule | None]:
    """Rule of every convolution, linear and affine layer on the way from the logits to the image; None: it passes.

    Raises
    ------
    ValueError
        If the preset has beta > 0 and a BatchNorm could not be merged, or a convolution is depthwise.
    """
    steps: dict[fx.Node, int | None] = {}
    found: dict[fx.Node, Rule | None] = {}
    for node in network.graph.nodes:
        if node.op == "placeholder":
            steps[node] = 0
        elif "relevant" in node.meta:
            before = [steps[source] for source in node.meta["relevant"]]
            reached = [n for n in before if n is not None]
            nearest = min(reached) if len(reached) == len(before) else None
            module = module_of(network, node)
            if isinstance(module, nn.Conv2d | nn.Linear):
                activated = any(isinstance(module_of(network, user), ACTIVATIONS) for user in node.users)
                found[node] = rule = preset.rule(module, nearest, activated)
                if isinstance(rule, AlphaBeta) and rule.beta and _is_depthwise(module):
                    raise ValueError(_no_beta(str(node.meta.get("origin", node.target)), "in depthwise convolutions"))
                steps[node] = None
            else:
                if isinstance(module, Affine):
                    found[node] = preset.affine_rule(module, nearest is not None)
                    if found[node] is not None and isinstance(preset.conv, AlphaBeta) and preset.conv.beta:
                        raise ValueError(_no_beta(str(node.meta["origin"]), _UNMERGED))
                steps[node] = None if nearest is None else nearest + 1
    return found


_UNMERGED = "where a BatchNorm cannot be merged into a linear layer (pre-activation, DenseNet)"


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def _no_beta(layer: str, where: str) -> str:
    """Why beta > 0 is refused.

    Convolutions between unmerged BatchNorms have outputs of both signs, which it amplifies block by block. Of the few
    inputs of a depthwise convolution one sign is often nearly empty, and would be given all of beta's share.
    """
    return f"layer {layer!r}: preset_b_flat is not stable {where}; take preset_a_flat"


def zennit_composite(network: fx.GraphModule, preset: Preset) -> Composite:
    """The preset as a zennit composite for a canonical network: the slow and independent way to the same maps."""
    hooks: list[tuple[tuple[str, ...], Hook]] = [
        ((str(node.target),), Pass() if rule is None else rule.zennit())
        for node, rule in rules(network, preset).items()
    ]
    for node in network.graph.nodes:
        module = module_of(network, node)
        if "relevant" not in node.meta or module is None:
            continue
        if isinstance(module, Add):
            hooks.append(((f"{node.target}.sum",), Norm(stabilizer=stabilise)))
        elif isinstance(module, Reduce | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            hooks.append(((str(node.target),), Norm(stabilizer=stabilise)))
        elif isinstance(module, ACTIVATIONS):
            hooks.append(((str(node.target),), Pass()))
    return NameMapComposite(name_map=hooks)
