"""Whether the maps of a run add up to the logits that they explain, in numbers and in words (methods X-7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

_LOST = (
    " Depthwise convolutions (MobileNet, EfficientNet, Xception) can leave most of it with their biases: docs/lrp.md."
)


@dataclass(frozen=True)
class Conservation:
    """Sums of maps over logits, of pairs (frame, target) whose method should conserve relevance.

    Attributes
    ----------
    n_explained
        Pairs that have a map.
    n_outside
        Those of them whose quotient is not within `band`, or not defined.
    median
        Of the defined quotients; NaN for none.
    band
        Lowest and highest quotient of a sound map.
    """

    n_explained: int
    n_outside: int
    median: float
    band: tuple[float, float]

    @property
    def sound(self) -> bool:
        """Whether the median lies within the band; true of no pairs at all."""
        return not self.n_explained or self.band[0] <= self.median <= self.band[1]

    @property
    def sentence(self) -> str:
        """What a reader is told; empty where every pair is within the band."""
        if not self.n_outside:
            return ""
        low, high = self.band
        share = 100 * self.n_outside / self.n_explained
        pairs = "1 explained pair has" if self.n_outside == 1 else f"{self.n_outside:,} explained pairs have"
        middle = "undefined in all pairs" if math.isnan(self.median) else f"the median of all is {self.median:.3g}"
        return (
            f"{pairs} a map whose sum is not {low:g} to {high:g} times the logit ({share:.1f} % of "
            f"{self.n_explained:,}; {middle}): relevance was lost or made up on the way, so do not trust these maps."
            f"{_LOST if self.median < low else ''}"
        )
