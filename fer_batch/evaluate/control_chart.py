"""Whether a figure left the range in which it varied before, night after night: a Shewhart and an EWMA chart.

Nights are the witnesses: how far a night lies from the others, at equal numbers of people, is measured between the
nights of a reference window. So whatever makes nights differ is in the limits: other people, another room, another day
of the week. People of one night count by their effective number, as frames of one person are alike.

References
----------
Shewhart (1931), Economic Control of Quality. Roberts (1959), Technometrics 1(3): EWMA. Lucas & Saccucci (1990),
Technometrics 32(1): EWMA, with Shewhart limits beside it. Laney (2002), Quality Engineering 14(4): limits from what
varies between nights of unequal size. Hahn (1969), JASA 64: prediction interval of a further mean, by t. Bartlett
(1947), Biometrics 3(1): shares as angles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # not scipy.stats, which takes a second to import

from fer_batch.evaluate.night_mean import SCALES, NightMean, Scale

MIN_NIGHTS = 5  # in the reference window; with four, the quantile of t for a rare false alarm is above 20
MEMORY = 0.2  # weight of the newest night in the EWMA: it remembers about ten
SPARSE = 0.2  # share of people who are not up to which limits count them, because their mean is far from normal


@dataclass(frozen=True)
class ControlChart:
    """A figure of T nights beside its limits, all in the unit of the figure; NaN where there is none.

    Attributes
    ----------
    centre
        Mean of the reference nights.
    lower, upper : shape (T,)
        Shewhart limits of each night: a single night beyond them is out.
    smoothed, smoothed_lower, smoothed_upper : shape (T,)
        Moving average of the nights since the reference with its limits: many small steps to one side are out.
    side : shape (T,), int64
        -1 below, 1 above, 0 within, or nothing to say.
    value : shape (T,)
        The figure itself.
    """

    centre: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    smoothed_lower: NDArray[np.float64]
    smoothed_upper: NDArray[np.float64]
    side: NDArray[np.int64]
    value: NDArray[np.float64]

    @property
    def is_open(self) -> bool:
        """Whether too little is known for limits."""
        return bool(np.isnan(self.centre))


def can_be_charted(nights: Sequence[NightMean], reference: ArrayLike) -> bool:
    """Whether the reference window, shape (T,), bool, has enough nights with the figure."""
    return sum(night.n_frames > 0 and bool(is_in) for night, is_in in _zip(nights, reference)) >= MIN_NIGHTS


def _zip(nights: Sequence[NightMean], reference: ArrayLike) -> zip[tuple[NightMean, np.bool_]]:
    return zip(nights, np.asarray(reference, bool), strict=True)


def control_chart(
    nights: Sequence[NightMean], reference: ArrayLike, level: float, scale: str = "share"
) -> ControlChart:
    r"""Chart a figure of successive nights against those of the reference window.

    On the scale of the figure (angles for shares, roots for ratios) night *k* has :math:`x_k`, and :math:`w_k`
    effective subjects, no more than the median of the reference. With :math:`c = \sum w_k x_k / W`,
    :math:`W = \sum w_k` and :math:`\phi = \sum w_k (x_k - c)^2 / (K - 1)` over the K reference nights, a later night
    lies with probability 1 - level / 2 within :math:`c \pm q \sqrt{\phi (1 / w + 1 / W)}`, q the quantile of t with
    K - 1 degrees of freedom. The EWMA :math:`s = \sum a_j x_j`, where weights :math:`a` fall by 0.8 a night, has the
    same limits with :math:`\sum a_j^2 / w_j + (\sum a_j)^2 / W` under the root; a night beyond the Shewhart limits
    enters it as these limits, so that one odd night does not stay in it for a week.

    The :math:`\phi` of a share is never less than independent frames would make it; where few people are far from 0 (or
    from 1), limits are no nearer than the beta-binomial prediction of how many people of a night may be. Limits are
    never nearer than the smallest change that is worth a look.

    Nights are later than the last one of the reference; those before it have limits, and are neither judged nor in
    the EWMA.

    Parameters
    ----------
    nights
        In their order.
    reference : shape (T,), bool
        Which of them are in the reference window.
    level
        Probability of a false alarm of one night; each of both charts takes half of it.
    scale
        Of `SCALES`.

    Raises
    ------
    ValueError
        If nights and reference are not of one length, or the level is not between 0 and 1.
    """
    known = np.asarray(reference, bool)
    if known.shape != (len(nights),):
        raise ValueError(f"expected {len(nights)} nights in the reference or not, got shape {known.shape}")
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, got {level}")
    later = np.arange(len(nights)) > np.flatnonzero(known).max(initial=-1)
    unit, value = SCALES[scale], np.array([night.value for night in nights], np.float64)
    if not can_be_charted(nights, known):
        nothing = np.full(len(nights), np.nan)
        none = np.zeros(len(nights), np.int64)
        return ControlChart(np.nan, nothing, nothing, nothing, nothing, nothing, none, value)
    basis = _basis([night for night, is_in in _zip(nights, known) if is_in and night.n_frames], unit, level)
    weight = np.minimum([night.effective or np.nan for night in nights], basis.typical)
    x = unit.forth(value)
    lower, upper = _limits(basis, unit, 1 / weight + 1 / basis.total)
    smoothed, spread = _smoothed(np.clip(x, unit.forth(lower), unit.forth(upper)), weight, later, basis)
    low, high = _limits(basis, unit, spread)
    average = unit.back(smoothed)
    above, below = later & ((value > upper) | (average > high)), later & ((value < lower) | (average < low))
    side = above.astype(np.int64) - below.astype(np.int64)
    return ControlChart(float(unit.back(np.array(basis.centre))), lower, upper, average, low, high, side, value)


@dataclass(frozen=True)
class _Basis:
    """What the reference says: centre and quantile of t times the root of phi, total and typical weight."""

    centre: float
    reach: float
    total: float
    typical: float


def _basis(nights: Sequence[NightMean], unit: Scale, level: float) -> _Basis:
    effective = np.array([night.effective for night in nights])
    typical = float(np.median(effective))
    weight = np.minimum(effective, typical)
    x = unit.forth(np.array([night.value for night in nights]))
    total = float(weight.sum())
    centre = float(weight @ x / total)
    quantile = float(special.stdtrit(len(nights) - 1, 1 - level / 4))
    phi = float(weight @ (x - centre) ** 2) / (len(nights) - 1)
    sparse = _sparse_reach(nights, centre, typical, level, unit) if unit.counted else 0.0
    if unit.counted and not sparse:
        phi = max(phi, typical / (4 * float(np.median([night.n_frames for night in nights]))))
    reach = max(quantile * np.sqrt(phi), sparse / np.sqrt(1 / typical + 1 / total))
    return _Basis(centre, reach, total, typical)


def _sparse_reach(nights: Sequence[NightMean], centre: float, typical: float, level: float, unit: Scale) -> float:
    """How far a typical night may go, as an angle, where few people are far from 0 (or 1); 0 where many are."""
    n = sum(night.n_subjects for night in nights)
    many = max(sum(night.n_near_0 for night in nights), sum(night.n_near_1 for night in nights))
    if n - many > SPARSE * n:
        return 0.0
    people = max(1, round(typical))
    # Jeffreys' prior: how many of a night's people may do what so few did.
    most = _rarely_exceeded(people, n - many + 0.5, many + 0.5, level / 4)
    end = min(centre, np.pi / 2 - centre)  # the same angle seen from the end where most people are
    return float(unit.forth(unit.back(np.array(end)) + most / people)) - end


def _rarely_exceeded(n: int, a: float, b: float, level: float) -> int:
    """The smallest count that a beta-binomial variable exceeds with at most this probability."""
    k = np.arange(n + 1)
    ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    probability = np.exp(ways + special.betaln(k + a, n - k + b) - special.betaln(a, b))
    beyond = np.cumsum(probability[::-1])[::-1] - probability  # P(more than k), summed from the small end
    return int(np.argmax(beyond <= level))


def _limits(basis: _Basis, unit: Scale, spread: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    reach = basis.reach * np.sqrt(spread)
    centre = unit.back(np.array(basis.centre))
    lower = np.minimum(unit.back(basis.centre - reach), centre - unit.least)
    upper = np.maximum(unit.back(basis.centre + reach), centre + unit.least)
    return unit.back(unit.forth(lower)), unit.back(unit.forth(upper))  # no share is below 0 or above 1


def _smoothed(
    x: NDArray[np.float64], weight: NDArray[np.float64], later: NDArray[np.bool_], basis: _Basis
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """EWMA of the nights after the reference, and its variance over phi; NaN of nights without the figure."""
    smoothed, spread = np.full(len(x), np.nan), np.full(len(x), np.nan)
    average, variance, left = basis.centre, 0.0, 1.0
    for k in np.flatnonzero(later & ~np.isnan(x)):
        average += MEMORY * (x[k] - average)
        variance = (1 - MEMORY) ** 2 * variance + MEMORY**2 / weight[k]
        left *= 1 - MEMORY
        smoothed[k], spread[k] = average, variance + (1 - left) ** 2 / basis.total
    return smoothed, spread


def looks_elsewhere(mu: ControlChart, sure: Sequence[ControlChart]) -> NDArray[np.bool_]:
    """Nights in which the relevance leaves its region while the network is as right or as sure as before.

    Parameters
    ----------
    mu
        Chart of mu over chance.
    sure
        Charts of F1, confidence, ...: the first that has limits and the figure in a night speaks for it.

    Returns
    -------
    shape (T,)
        True where mu is below its limits, and the chart that speaks for the night is not.
    """
    holds, told = (np.zeros(len(mu.side), bool) for _ in range(2))
    for chart in () if mu.is_open else sure:
        speaks = ~told & ~np.isnan(chart.value) & (not chart.is_open)
        holds |= speaks & (chart.side >= 0)
        told |= speaks
    return (mu.side < 0) & holds
