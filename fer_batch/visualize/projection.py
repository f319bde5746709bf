"""Which part of a relevance map is worth showing: normalisation and the Top-X-Relevance projection."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ties = Literal["all", "stable"]

# Rounding in a cumulative sum must not push the boundary of exactly x percent one feature further.
_MASS_TOLERANCE = 1e-12


def normalise(relevance: NDArray[np.floating], *, two_sided: bool = False) -> NDArray[np.float64]:
    r"""Scale each map to [-1, 1] with zero fixed.

    .. math:: R / \max |R|

    Parameters
    ----------
    relevance : shape (..., H, W)
        Signed relevance, one map per leading index.
    two_sided
        Scale positives by their own maximum and negatives by their own minimum, so that the highest and the lowest
        value both reach the end of the colour scale.

    Returns
    -------
    shape (..., H, W), in [-1, 1]
        An all-zero map stays zero; a map with a value that is not finite is NaN throughout.

    Raises
    ------
    ValueError
        If there are fewer than two axes.

    References
    ----------
    Methods RV-2; Finzel et al. (2021), section 3.3.
    """
    values = _maps(relevance)
    if two_sided:
        positive, negative = np.maximum(values, 0.0), np.minimum(values, 0.0)
        return normalise(positive) + normalise(negative)
    largest = np.abs(values).max(axis=(-2, -1), keepdims=True, initial=0.0)
    return values / np.where(largest == 0, 1.0, largest)


def top_relevance(relevance: NDArray[np.floating], share: float = 25.0, ties: Ties = "all") -> NDArray[np.float64]:
    r"""Top-X-Relevance projection: the fewest pixels that hold `share` percent of the positive relevance.

    With :math:`r_1 \ge r_2 \ge \dots` the positive values in descending order, keep the first

    .. math:: k = \min \{ j : r_1 + \dots + r_j \ge \tfrac{x}{100} \sum_i r_i \}

    and set everything else to zero.

    Parameters
    ----------
    relevance : shape (..., H, W)
        Signed relevance, one map per leading index.
    share : percent
        100 or more keeps every positive pixel, 0 or less none.
    ties
        What becomes of pixels equal to the k-th value: `all` keeps them (no pixel order decides), `stable` keeps
        exactly k pixels, row-major first.

    Returns
    -------
    shape (..., H, W)
        The kept values in the unit of `relevance`; a map with a value that is not finite is NaN throughout.

    Raises
    ------
    ValueError
        If there are fewer than two axes, `ties` is unknown or `share` is not finite.

    References
    ----------
    Finzel et al. (2021), section 3.5; methods RV-4.
    """
    if ties not in ("all", "stable"):
        raise ValueError(f"ties must be 'all' or 'stable', got {ties!r}")
    if not np.isfinite(share):
        raise ValueError(f"share must be a finite percentage, got {share}")
    values = _maps(relevance)
    flat = values.reshape(-1, values.shape[-2] * values.shape[-1])
    kept = [np.where(_top(one, share, ties), one, 0.0) if np.isfinite(one).all() else one for one in flat]
    return np.asarray(kept, dtype=np.float64).reshape(values.shape)


def _top(values: NDArray[np.float64], share: float, ties: Ties) -> NDArray[np.bool_]:
    positive = values > 0
    if share <= 0 or not positive.any():
        return np.zeros(values.shape, dtype=bool)
    if share >= 100:
        return positive
    ordered = np.sort(values[positive])[::-1]
    mass = np.cumsum(ordered)
    # The sum of the sorted values, not of the map: it is the same for every order of the pixels.
    last = int(np.searchsorted(mass, share / 100 * mass[-1] * (1 - _MASS_TOLERANCE)))
    if ties == "all":
        return values >= ordered[last]
    kept = np.zeros(values.shape, dtype=bool)
    kept[np.argsort(-values, kind="stable")[: last + 1]] = True
    return kept


def _maps(relevance: NDArray[np.floating]) -> NDArray[np.float64]:
    values = np.asarray(relevance, dtype=np.float64)
    if values.ndim < 2:
        raise ValueError(f"expected maps of shape (..., H, W), got {values.shape}")
    undefined = ~np.isfinite(values).all(axis=(-2, -1), keepdims=True)
    return np.where(undefined, np.nan, values)
