"""How alike the maps of two lists are, one by one: the measures of Adebayo et al. (2018)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from skimage.metrics import structural_similarity

Maps = NDArray[np.floating]


def pearson(a: Maps, b: Maps) -> NDArray[np.float64]:
    """Correlation of each map of one list with the same of another.

    Parameters
    ----------
    a, b : shape (N, H, W), floating

    Returns
    -------
    shape (N,), float64, in [-1, 1]
        NaN where either is constant or not finite.
    """
    return row_correlation(_rows(a), _rows(b))


def spearman(a: Maps, b: Maps) -> NDArray[np.float64]:
    """Rank correlation of maps, sign included; ties share their mean rank.

    Parameters
    ----------
    a, b : shape (N, H, W), floating

    Returns
    -------
    shape (N,), float64, in [-1, 1]
        NaN where either is constant or not finite.
    """
    return row_correlation(ranks(a), ranks(b))


def spearman_of_size(a: Maps, b: Maps) -> NDArray[np.float64]:
    """Rank correlation of the absolute values of maps.

    Parameters
    ----------
    a, b : shape (N, H, W), floating

    Returns
    -------
    shape (N,), float64, in [-1, 1]
        NaN where either is constant or not finite.
    """
    return spearman(np.abs(a), np.abs(b))


def ssim(a: Maps, b: Maps) -> NDArray[np.float64]:
    """Structural similarity (Wang et al. 2004; windows of 7 pixels) of maps, each over its largest absolute value.

    Parameters
    ----------
    a, b : shape (N, H, W), floating

    Returns
    -------
    shape (N,), float64, in [-1, 1]
        NaN where either is zero or not finite, or is smaller than 3 pixels.
    """
    found = np.full(len(a), np.nan)
    side = min(7, *a.shape[1:])
    window = side - (side + 1) % 2
    for i, (one, other) in enumerate(zip(a.astype(np.float64), b.astype(np.float64), strict=True)):
        peaks = np.abs(one).max(), np.abs(other).max()
        if np.isfinite(peaks).all() and min(peaks) > 0 and window >= 3:
            found[i] = structural_similarity(one / peaks[0], other / peaks[1], win_size=window, data_range=2.0)
    return found


MEASURES: dict[str, Callable[[Maps, Maps], NDArray[np.float64]]] = {
    "pearson": pearson,
    "spearman": spearman,
    "spearman_of_size": spearman_of_size,
    "ssim": ssim,
}


def _rows(maps: Maps) -> NDArray[np.float64]:
    return maps.reshape(len(maps), -1).astype(np.float64)


def ranks(maps: Maps) -> NDArray[np.float64]:
    """Ranks of the pixels of each map; ties share their mean rank.

    Parameters
    ----------
    maps : shape (N, H, W), floating, any unit

    Returns
    -------
    shape (N, H W), float64
        NaN for a map that is not finite.
    """
    rows = _rows(maps)
    finite = np.isfinite(rows).all(1)
    found = np.full(rows.shape, np.nan)
    found[finite] = rankdata(rows[finite], axis=1)
    return found


def row_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of each row of one list with the same of another.

    Parameters
    ----------
    a, b : shape (N, P), float64, any unit

    Returns
    -------
    shape (N,), float64, in [-1, 1]
        NaN where either is constant or not finite.
    """
    with np.errstate(invalid="ignore"):
        scales = [np.linalg.norm(rows, axis=1) for rows in (a, b)]
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        lengths = [np.linalg.norm(rows, axis=1) for rows in (a, b)]
    # what is left of a constant map is rounding
    kept = [np.isfinite(length) & (length > 1e-12 * scale) for length, scale in zip(lengths, scales, strict=True)]
    products, size = (a * b).sum(1), lengths[0] * lengths[1]
    return np.clip(np.divide(products, size, out=np.full(len(a), np.nan), where=kept[0] & kept[1]), -1, 1)
