"""Relevance rules of linear layers (methods 7.3), each as the sums its denominators are made of.

A rule spreads the relevance of an output over the inputs in proportion to their contributions. Every rule here is a sum
of branches: with x+ and x- the positive and negative part of the input, a branch has

    z = x+ W_pos + x- W_neg + b,      R_in = share * (x+ (W_pos^T s) + x- (W_neg^T s)),      s = R_out / stabilise(z)

so that one implementation serves them all, and zennit's hooks can be made from the same description.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

from fer_batch import lean_torchvision  # noqa: F401

# isort: split

import torch
from zennit.core import BasicHook, Hook, ParamMod
from zennit.rules import AlphaBeta as ZennitAlphaBeta
from zennit.rules import Epsilon as ZennitEpsilon
from zennit.rules import Flat as ZennitFlat
from zennit.rules import Gamma as ZennitGamma
from zennit.rules import ZBox as ZennitBox

Bias = Literal["positive", "all"]

TINY = 1e-7  # what an exact zero is divided by; its numerator is zero too
NEAR_ZERO = 1e-20  # stands for a zero that must hand relevance on; its square is still a float32


def stabilise(z: torch.Tensor, epsilon: float = 0.0) -> torch.Tensor:
    """Denominator of a rule: z + epsilon * sign(z) with sign(0) = +; without epsilon, only exact zeros are moved.

    Parameters
    ----------
    z : any shape, floating
    epsilon
        Of LRP-epsilon (Bach et al. 2015, Eq. 58), in units of z.

    Returns
    -------
    A new tensor of that shape.
    """
    if epsilon:
        return z + epsilon * (1 - 2 * (z < 0).to(z.dtype))
    return z.masked_fill(z == 0, TINY)


def carrier(a: torch.Tensor) -> torch.Tensor:
    """Values that multipliers can be relative to: zeros become so small a number that it never counts as a value.

    Parameters
    ----------
    a : any shape, floating

    Returns
    -------
    A new tensor of that shape.
    """
    return a.masked_fill(a == 0, NEAR_ZERO)


class Branch(NamedTuple):
    """One denominator of a rule.

    `negative` is None where both parts of the input meet the same weights; `where` restricts the branch to outputs of
    that sign (0: all).
    """

    share: float
    positive: torch.Tensor
    negative: torch.Tensor | None
    bias: torch.Tensor | None
    where: int = 0


@dataclass(frozen=True)
class Epsilon:
    """LRP-epsilon (Bach et al. 2015, Eq. 58); LRP-Z where epsilon is 0."""

    epsilon: float = 0.0

    def branches(self, weight: torch.Tensor, bias: torch.Tensor | None) -> list[Branch]:
        """Contributions as they are.

        Parameters
        ----------
        weight : shape (out, in, ...)
        bias : shape (out,), dtype of the weight
        """
        return [Branch(1.0, weight, None, bias)]

    def zennit(self) -> Hook:
        """The same rule as a zennit hook."""
        return ZennitEpsilon(epsilon=partial(stabilise, epsilon=self.epsilon))


@dataclass(frozen=True)
class AlphaBeta:
    """LRP-alpha-beta with alpha - beta = 1 (Bach et al. 2015, Eq. 60).

    `bias="positive"` gives each denominator its own part of the bias (textbook); `bias="all"` gives the whole bias to
    both, as iNNvestigate does, which does not conserve relevance.
    """

    alpha: float = 1.0
    beta: float = 0.0
    bias: Bias = "positive"

    epsilon = 0.0

    def branches(self, weight: torch.Tensor, bias: torch.Tensor | None) -> list[Branch]:
        """Positive contributions with share alpha, negative ones with share -beta.

        Parameters
        ----------
        weight : shape (out, in, ...)
        bias : shape (out,), dtype of the weight
        """
        above, below = weight.clamp(min=0), weight.clamp(max=0)
        whole = self.bias == "all"
        b_above, b_below = (None, None) if bias is None else (bias.clamp(min=0), bias.clamp(max=0))
        found = [Branch(self.alpha, above, below, bias if whole else b_above)]
        if self.beta:
            found.append(Branch(-self.beta, below, above, bias if whole else b_below))
        return found

    def zennit(self) -> Hook:
        """The same rule as a zennit hook."""
        if self.bias == "positive":
            return ZennitAlphaBeta(self.alpha, self.beta, stabilizer=stabilise)
        return _WholeBias(self.alpha, self.beta)


@dataclass(frozen=True)
class Gamma:
    """LRP-gamma, generalised to inputs and outputs of both signs (Montavon et al. 2019; Andeol et al. 2021)."""

    gamma: float = 0.25

    epsilon = 0.0

    def branches(self, weight: torch.Tensor, bias: torch.Tensor | None) -> list[Branch]:
        """Positive outputs favour positive contributions, negative outputs negative ones.

        Parameters
        ----------
        weight : shape (out, in, ...)
        bias : shape (out,), dtype of the weight
        """
        up, down = (weight + self.gamma * part for part in (weight.clamp(min=0), weight.clamp(max=0)))
        b_up = b_down = None
        if bias is not None:
            b_up, b_down = (bias + self.gamma * part for part in (bias.clamp(min=0), bias.clamp(max=0)))
        return [Branch(1.0, up, down, b_up, where=1), Branch(1.0, down, up, b_down, where=-1)]

    def zennit(self) -> Hook:
        """The same rule as a zennit hook."""
        return ZennitGamma(self.gamma, stabilizer=stabilise)


@dataclass(frozen=True)
class Flat:
    """The relevance of an output spread evenly over its inputs inside the image (Lapuschkin et al. 2019)."""

    def zennit(self) -> Hook:
        """The same rule as a zennit hook."""
        return ZennitFlat(stabilizer=stabilise)


@dataclass(frozen=True)
class Box:
    """The z-box rule for inputs known to lie between two values per channel (Montavon et al. 2017)."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def bounds(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lowest and highest value of each channel.

        Parameters
        ----------
        like : shape (N, C, H, W), floating
            Images whose dtype and device they get.

        Returns
        -------
        low, high : shape (1, C, 1, 1)
        """
        low, high = (like.new_tensor(v).view(1, -1, 1, 1) for v in (self.low, self.high))
        return low, high

    def zennit(self) -> Hook:
        """The same rule as a zennit hook."""
        low, high = (torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (self.low, self.high))
        return ZennitBox(low, high, stabilizer=stabilise)


Rule = Epsilon | AlphaBeta | Gamma | Flat | Box


def _part(minimum: float | None, maximum: float | None, keep_bias: bool) -> ParamMod:
    def modify(parameter: torch.Tensor, name: str) -> torch.Tensor:
        if name == "bias":
            return parameter if keep_bias else torch.zeros_like(parameter)
        return parameter.clamp(min=minimum, max=maximum)

    return ParamMod(modify)


class _WholeBias(BasicHook):
    """Alpha-beta with the whole bias in both denominators, in zennit's terms."""

    def __init__(self, alpha: float, beta: float) -> None:
        above: Callable[[torch.Tensor], torch.Tensor] = partial(torch.clamp, min=0)
        below: Callable[[torch.Tensor], torch.Tensor] = partial(torch.clamp, max=0)

        def shares(relevance: torch.Tensor, z: Sequence[torch.Tensor]) -> list[torch.Tensor]:
            first, second = relevance / stabilise(z[0] + z[1]), relevance / stabilise(z[2] + z[3])
            return [first, first, second, second]

        def reduce(inputs: Sequence[Any], gradients: Sequence[Any]) -> torch.Tensor:
            x = [value * gradient for value, gradient in zip(inputs, gradients, strict=True)]
            return alpha * (x[0] + x[1]) - beta * (x[2] + x[3])

        super().__init__(
            input_modifiers=[above, below, above, below],
            param_modifiers=[
                _part(0, None, True),
                _part(None, 0, False),
                _part(None, 0, True),
                _part(0, None, False),
            ],
            gradient_mapper=shares,
            reducer=reduce,
        )
