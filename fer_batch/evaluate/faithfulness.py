"""Figures of perturbation curves: does the score fall faster than chance when the relevant goes first?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from fer_batch.evaluate.subject_mean import SubjectMean, subject_mean


def aopc(curves: NDArray[np.floating]) -> NDArray[np.float64]:
    r"""Area over a perturbation curve, :math:`\frac{1}{K+1} \sum_{k=0}^{K} f(x_0) - f(x_k)`.

    Parameters
    ----------
    curves : shape (..., K + 1), floating
        Score of the target after each step, the whole image first.

    Returns
    -------
    shape (...), float64, in the unit of the score
        Larger where the score falls sooner; NaN where a curve is undefined.

    References
    ----------
    Samek et al. (2017), IEEE TNNLS 28(11), Eq. 12.
    """
    scores = np.asarray(curves, np.float64)
    return scores[..., 0] - scores.mean(-1)


def area_over(curves: NDArray[np.floating], hidden: NDArray[np.floating]) -> NDArray[np.float64]:
    r"""Area over a perturbation curve over the share of pixels hidden, :math:`\int_0^1 f(x_0) - f(x_s) \, ds`.

    By trapezoids. Regions of any size compare: where the score falls by as much for every pixel, whichever it is, all
    orders have the same area, and no order gains by hiding a large region first.

    Parameters
    ----------
    curves : shape (..., K + 1), floating
        Score of the target after each step, the whole image first.
    hidden : shape (..., K + 1), floating
        Share of pixels that is hidden then, ascending from 0 to 1.

    Returns
    -------
    shape (...), float64, in the unit of the score
        Larger where the score falls sooner; NaN where a curve is undefined.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    scores, share = np.asarray(curves, np.float64), np.asarray(hidden, np.float64)
    if scores.shape != share.shape:
        raise ValueError(f"expected the share hidden at every point of {scores.shape}, got {share.shape}")
    return trapezoid(scores[..., :1] - scores, share, axis=-1)


def at_shares(
    curves: NDArray[np.floating], hidden: NDArray[np.floating], shares: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Curves at the same shares of pixels hidden, between their steps by straight lines.

    Parameters
    ----------
    curves, hidden : shape (..., K + 1)
        As in `area_over`.
    shares : shape (P,), floating
        Between 0 and 1.

    Returns
    -------
    shape (..., P), float64, in the unit of the score
    """
    n = curves.shape[-1]
    rows = [np.interp(shares, x, y) for x, y in zip(hidden.reshape(-1, n), curves.reshape(-1, n), strict=True)]
    return np.array(rows, np.float64).reshape(*curves.shape[:-1], len(shares))


def area_under(curves: NDArray[np.floating]) -> NDArray[np.float64]:
    """Area under a curve over the share of steps, by trapezoids.

    Parameters
    ----------
    curves : shape (..., K + 1), floating
        Score of the target after each step.

    Returns
    -------
    shape (...), float64, in the unit of the score
        Small for a good deletion, large for a good insertion; NaN where a curve is undefined.

    Raises
    ------
    ValueError
        If a curve has fewer than two points.

    References
    ----------
    Petsiuk, Das & Saenko (2018), RISE, BMVC.
    """
    scores = np.asarray(curves, np.float64)
    if scores.ndim < 1 or scores.shape[-1] < 2:
        raise ValueError(f"expected curves of two or more points, got shape {scores.shape}")
    return ((scores[..., 1:] + scores[..., :-1]) / 2).mean(-1)


@dataclass(frozen=True)
class AgainstChance:
    """A figure of images beside the same figure at random, over the images where both are defined.

    Attributes
    ----------
    value, chance
        The figure, and its mean over the random draws of an image.
    difference
        Value minus chance, image by image.
    """

    value: SubjectMean
    chance: SubjectMean
    difference: SubjectMean

    @property
    def above_chance(self) -> bool | None:
        """Whether the interval of the difference lies above zero, or no part of it; None where that is open."""
        # what is the same at random is at chance, not above it by what rounding makes of the means
        rounding = 1e-9 * max(abs(self.value.mean), abs(self.chance.mean))
        return True if self.difference.low > rounding else False if self.difference.high <= rounding else None


def against_chance(
    values: NDArray[np.floating],
    random: NDArray[np.floating],
    subjects: Sequence[Hashable],
    *,
    level: float = 0.95,
) -> AgainstChance:
    """Mean of a figure over images beside that of random draws, with intervals by subject.

    For the AOPC of a method beside that of random orders, and the fall of the score where the region of a target is
    hidden beside that of as much elsewhere.

    Parameters
    ----------
    values : shape (N,), float64
        The figure of each image, in any unit; NaN where undefined.
    random : shape (R, N), float64
        The same of R draws; those that are NaN are left out.
    subjects
        Whose face each image shows.
    level
        Of the intervals.

    Returns
    -------
    AgainstChance

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    if values.ndim != 1 or random.ndim != 2 or random.shape[1] != len(values):
        raise ValueError(f"expected values (N,) and random draws (R, N), got {values.shape} and {random.shape}")
    drawn = ~np.isnan(random)
    sums = np.where(drawn, random, 0).sum(0)
    chance = np.divide(sums, drawn.sum(0), out=np.full(len(values), np.nan), where=drawn.any(0))
    difference = values - chance
    undefined = np.isnan(difference)
    means = (
        subject_mean(np.where(undefined, np.nan, figures), subjects, level=level)
        for figures in (values, chance, difference)
    )
    return AgainstChance(*means)


def faithfulness(
    curves: NDArray[np.floating],
    random: NDArray[np.floating],
    subjects: Sequence[Hashable],
    *,
    level: float = 0.95,
) -> AgainstChance:
    """AOPC of a method beside that of random orders.

    Parameters
    ----------
    curves : shape (N, K + 1), float64, probabilities or logits
        Of `explain.perturbation.flipping_curves`, one method.
    random : shape (R, N, K + 1), float64
        In R random orders.
    subjects
        Whose face each image shows.
    level
        Of the intervals.

    Returns
    -------
    AgainstChance
    """
    return against_chance(aopc(curves), aopc(random), subjects, level=level)
