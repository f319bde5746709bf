"""A figure with the range in which it is expected, and the total of a collection from some of its parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
ALONE = 2.0  # factor up and down where one part alone was tried, which shows no spread


@dataclass(frozen=True)
class Range:
    """A figure and between which it is expected.

    Attributes
    ----------
    value, low, high
    """

    value: float
    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Range:
        """What is known."""
        return cls(value, value, value)

    @classmethod
    def between(cls, low: float, high: float) -> Range:
        """Of what only its ends are known; both are positive, and the middle is that of their logarithms."""
        low, high = min(low, high), max(low, high)
        return cls(math.sqrt(low * high), low, high)

    def __add__(self, other: Range) -> Range:
        return Range(self.value + other.value, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Range:
        """Of so many."""
        return Range(self.value * factor, self.low * factor, self.high * factor)

    def most(self, other: Range) -> Range:
        """The larger of two figures."""
        return Range(max(self.value, other.value), max(self.low, other.low), max(self.high, other.high))


def ratio_total(parts: Sequence[float], sizes: Sequence[float], total: float, drawn: float = 0.0) -> Range:
    """The total of a quantity over a collection, from its values in some parts of it.

    Parameters
    ----------
    parts
        Of each part that was tried.
    sizes
        Of the same parts, in what the quantity grows with.
    total
        Size of the collection.
    drawn
        Share of the collection that was tried, 0 to 1; there is nothing to guess where it is 1.

    Returns
    -------
    Range
        The ratio estimate and its 95 % interval, never below what was seen.

    References
    ----------
    W. G. Cochran (1977), Sampling Techniques, 3rd ed., Wiley, section 6.
    """
    amount, size = float(sum(parts)), float(sum(sizes))
    if not size or not amount:
        return Range.exactly(0.0)
    value, k = amount / size * total, len(parts)
    if drawn >= 1:
        return Range.exactly(value)
    if k == 1:
        return Range(value, max(min(amount, value), value / ALONE), value * ALONE)
    from scipy.special import stdtrit  # not for a run that estimates nothing

    residuals = np.asarray(parts) - amount / size * np.asarray(sizes)
    error = total / size * math.sqrt(k * float((residuals**2).sum()) / (k - 1) * (1 - drawn))
    half = float(stdtrit(k - 1, (1 + LEVEL) / 2)) * error
    return Range(value, max(min(amount, value), value - half), value + half)
