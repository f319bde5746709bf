"""Maps to feature vectors: size, normalisation, flattening (methods SP-1)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch import registry, types

NORMALISATIONS = ("l1", "signed", "absolute")

_BLOCK = 256  # maps turned to float64 at a time, so that a long sequence does not double its memory
NEGLIGIBLE = 1e-12  # a signed sum below this share of sum|R| is rounding, and has no direction to divide by


def averaged(maps: NDArray[np.floating], side: int) -> NDArray[np.float64]:
    """Maps shrunk by area averaging until their longer side is `side` pixels.

    Parameters
    ----------
    maps : shape (n, h, w), any real dtype
    side
        Pixels; maps that are not larger keep their size.

    Returns
    -------
    shape (n, h', w'), float64, in the unit of the maps
        Each pixel is the mean over the area that it covers; the mean of a map is kept.

    Raises
    ------
    types.InputError
        If `side` is less than 1.
    """
    if side < 1:
        raise types.InputError(f"downsize must be at least 1 pixel, got {side}")
    _, height, width = maps.shape
    ratio = min(1.0, side / max(height, width, 1))
    rows, columns = (_area_weights(size, max(1, round(size * ratio))) for size in (height, width))
    return np.einsum("ah,nhw,bw->nab", rows, maps.astype(np.float64), columns, optimize=True)


def _area_weights(size: int, target: int) -> NDArray[np.float64]:
    """Share of each of `size` pixels in each of `target` pixels; rows sum to 1."""
    edges = np.linspace(0.0, size, target + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(size)
    overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0.0, None)
    return overlap / (high - low)


def features(
    maps: NDArray[np.floating], *, normalise: str = "l1", downsize: int | None = None, dtype: type = np.float64
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    r"""Feature vectors of relevance maps, comparable whatever the size of the score they explain.

    Parameters
    ----------
    maps : shape (n, h, w), floating-point numbers or integers
        Signed relevance in any unit, colour channels summed.
    normalise
        `l1` divides by :math:`\sum |R|`; `signed` by :math:`\sum R`; `absolute` takes :math:`|R|` first.
    downsize
        Longer side in pixels that maps are averaged to; None keeps them.
    dtype
        Of the features; sums are float64 always.

    Returns
    -------
    features : shape (m, h' * w'), of the given dtype, no unit
        One row per defined map, in order.
    defined : shape (n,), bool
        False where a map is not finite or its divisor is zero.

    Raises
    ------
    ValueError
        If the maps are not one array (n, h, w) of real numbers, or the normalisation or `downsize` is not possible.

    References
    ----------
    Methods SP-1; Lapuschkin et al. (2019), Nature Communications 10.
    """
    maps = checked(maps, normalise)
    defined = np.zeros(len(maps), dtype=bool)
    found: NDArray[np.floating] = np.empty((0, 0), dtype)
    n_found = 0
    for start in range(0, len(maps), _BLOCK):
        block = np.asarray(maps[start : start + _BLOCK], dtype=np.float64)
        if downsize is not None:
            block = averaged(block, downsize)
        rows, keep = _normalised(block.reshape(len(block), -1), normalise)
        if start == 0:
            found = np.empty((len(maps), rows.shape[1]), dtype)
        found[n_found : n_found + len(rows)] = rows
        defined[start : start + len(keep)] = keep
        n_found += len(rows)
    return found[:n_found], defined


def checked(maps: NDArray[Any], normalise: str = "l1") -> NDArray[np.floating]:
    """Maps as floating-point numbers.

    Parameters
    ----------
    maps : shape (n, h, w), integers or floating-point numbers
        Relevance in any unit.
    normalise
        One of `NORMALISATIONS`.

    Returns
    -------
    shape (n, h, w)
        float16, float32 and float64 as they are, without a copy; integers and booleans as float64, exact up to 2**53.

    Raises
    ------
    ValueError
        If the maps are not one array of three axes, or hold no real numbers.
    types.InputError
        If the normalisation does not exist.
    """
    if not isinstance(maps, np.ndarray) or maps.ndim != 3:
        found = f"shape {maps.shape}" if isinstance(maps, np.ndarray) else type(maps).__name__
        raise ValueError(f"expected maps of one size as one array (n, h, w), got {found}")
    if maps.dtype.kind not in "fiub":
        raise ValueError(f"expected maps of real numbers, such as float32 or integers, got dtype {maps.dtype}")
    if normalise not in NORMALISATIONS:
        raise types.InputError(f"unknown normalisation {normalise!r}; {registry.nearest(normalise, NORMALISATIONS)}")
    return maps.astype(np.float64) if maps.dtype.kind != "f" or maps.dtype.itemsize > 8 else maps


@functools.lru_cache(maxsize=4)
def direction(size: int) -> NDArray[np.float64]:
    """A fixed random vector of shape (size,), float64: no two different maps have the same inner product with it."""
    return np.random.default_rng(0).standard_normal(size)


def _normalised(rows: NDArray[np.float64], normalise: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    peak = np.abs(rows).max(axis=1, initial=0.0)  # NaN and infinity carry through
    defined = np.isfinite(peak) & (peak > 0)
    rows = rows[defined] / peak[defined, None]  # first by the peak: sums of very large or small maps stay finite
    if normalise == "absolute":
        rows = np.abs(rows)
    mass = np.abs(rows).sum(axis=1)
    total = rows.sum(axis=1) if normalise == "signed" else mass
    usable = np.abs(total) > NEGLIGIBLE * mass
    defined[np.flatnonzero(defined)[~usable]] = False
    return rows[usable] / total[usable, None], defined
