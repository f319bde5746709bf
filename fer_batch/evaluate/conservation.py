"""Whether the maps of a run add up to the logits that they explain, in numbers and in words (methods X-7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

LARGE_SHARE = 0.1  # of all pairs; small runs of sound networks have up to 6 % outside
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
    def alarming(self) -> bool:
        """Whether the maps need a warning: the median is outside the band, or more than `LARGE_SHARE` of the pairs are.

        A sound network has some logits near zero, whose quotients scatter: a few maps outside are not news.
        """
        return not self.sound or self.n_outside > LARGE_SHARE * self.n_explained

    @property
    def sentence(self) -> str:
        """What is said of the maps; empty where every pair is within the band."""
        if not self.n_outside:
            return ""
        low, high = self.band
        share = 100 * self.n_outside / self.n_explained
        pairs = "1 explained pair has" if self.n_outside == 1 else f"{self.n_outside:,} explained pairs have"
        middle = "undefined in all pairs" if math.isnan(self.median) else f"the median of all is {self.median:.3g}"
        counted = (
            f"{pairs} a map whose sum is not {low:g} to {high:g} times the logit ({share:.1f} % of "
            f"{self.n_explained:,}; {middle})"
        )
        if not self.sound:
            cause = _LOST if self.median < low else ""
            return f"{counted}: relevance was lost or made up on the way, so do not trust these maps.{cause}"
        if self.alarming:
            return f"{counted}: relevance was lost or made up on the way in these, so look at each target's verdict."
        return f"{counted}; so few are no sign of unsound maps."

    @property
    def line(self) -> str:
        """The sentence for a terminal, with `WARNING:` before it where it is one."""
        return f"WARNING: {self.sentence}" if self.alarming else self.sentence
