"""What an operation of the backward pass is: multipliers per pair, factors per frame."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from fer_batch.explain.rules import carrier


class Rows(NamedTuple):
    """Which frame each pair belongs to.

    `each` is the number of pairs of every frame where all frames have as many, in order; then nothing is gathered.
    """

    frame: torch.Tensor
    each: int | None


def times(c: torch.Tensor, factor: torch.Tensor, rows: Rows) -> torch.Tensor:
    """Multiplier per pair times a factor per frame.

    Parameters
    ----------
    c : shape (M, ...)
    factor : shape (N, ...), dtype of c
    rows
        Which frame each pair belongs to.

    Returns
    -------
    shape (M, ...)
    """
    if rows.each == 1:
        return c * factor
    if rows.each:
        return (c.unflatten(0, (-1, rows.each)) * factor.unsqueeze(1)).flatten(0, 1)
    return c * factor.index_select(0, rows.frame)


def choose(above: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, rows: Rows) -> torch.Tensor:
    """Per pair the one or the other, by what holds for its frame.

    Parameters
    ----------
    above : shape (N, ...), bool
    positive, negative : shape (M, ...), floating
        Taken where `above` is true, and where it is false.
    rows
        Which frame each pair belongs to.

    Returns
    -------
    shape (M, ...)
    """
    if rows.each == 1:
        return torch.where(above, positive, negative)
    if rows.each:
        up, down = (part.unflatten(0, (-1, rows.each)) for part in (positive, negative))
        return torch.where(above.unsqueeze(1), up, down).flatten(0, 1)
    return torch.where(above.index_select(0, rows.frame), positive, negative)


class Operation:
    """One node between image and logits: its value and what its backward step needs, then multipliers of its inputs.

    Attributes
    ----------
    carries
        The node must hand relevance on where its value is exactly zero, because a layer that maps zero to something
        else reads it. `R = a * c` cannot, so `rules.NEAR_ZERO` stands for `a` (in the relevance, not in the value).
    lowers
        The factors that a frame leaves may be kept in the precision of the backward pass.
    """

    carries = False
    lowers = False

    def carrier(self, a: torch.Tensor) -> torch.Tensor:
        """What multipliers of this node are relative to: its value (N, ...), in its dtype, without zeros."""
        return carrier(a) if self.carries else a

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Value of the node.

        Parameters
        ----------
        inputs : shape (N, ...), floating
            Values of its sources.

        Returns
        -------
        value : shape (N, ...)
        saved
            What the backward passes of these frames share.
        """
        return self._forward(*inputs)

    def backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        """Multipliers of the inputs from those of the output.

        Parameters
        ----------
        c : shape (M, ...), floating
            Multipliers of the pairs.
        saved
            As `forward` returned it.
        rows
            Which frame each pair belongs to.

        Returns
        -------
        One tensor (M, ...) per input that takes relevance, in their order.
        """
        return self._backward(c, saved, rows)

    def _forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        raise NotImplementedError

    def _backward(self, c: torch.Tensor, saved: Any, rows: Rows) -> list[torch.Tensor]:
        raise NotImplementedError
