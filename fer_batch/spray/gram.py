"""Inner products of maps, from which distances follow without a copy of the maps as feature vectors."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.spray.features import NEGLIGIBLE, averaged, checked, direction

_BLOCK_BYTES = 2**20  # converted and multiplied at a time: it stays in the cache of a core
_NARROWEST = 512  # columns of a block, below which matrix products lose their speed
_QUICK_ROWS = 4  # maps whose magnitudes are summed at a time
_QUICK_COLUMNS = 2048  # pixels that float32 sums over before float64 takes over
_QUICK_RANGE = (1e-10, 1e10)  # mean |R| of maps whose products neither overflow nor vanish in float32

# A sum of w products, each rounded to u = 2^-24, errs by a standard deviation of at most sqrt(w) u / 3 of the lengths'
# product where rounding errors are independent (Higham & Mary 2019, SIAM J. Sci. Comput. 41). This is nine of them:
# noise, blobs, segments and attention maps erred by 2e-6 or less, constant maps, whose errors add up, by 7e-6.
QUICK_ERROR = 3 * _QUICK_COLUMNS**0.5 * 2.0**-24


@dataclass(frozen=True)
class Gram:
    """What distances between feature vectors need.

    Attributes
    ----------
    products : shape (m, m), float64
        Inner products of the features of the defined maps.
    position : shape (m,), float64
        Inner product of every feature vector with a fixed random direction: different for different maps.
    defined : shape (n,), bool
        False where a map is not finite or its divisor is zero.
    error
        Products are off by at most this share of the product of the two lengths; 0 where they are float64.
    """

    products: NDArray[np.float64]
    position: NDArray[np.float64]
    defined: NDArray[np.bool_]
    error: float = 0.0


def gram(maps: NDArray[np.floating], *, normalise: str = "l1", downsize: int | None = None) -> Gram:
    """Inner products of `features(maps)`, in float64.

    Parameters
    ----------
    maps : shape (n, h, w), floating-point numbers or integers
        Signed relevance in any unit.
    normalise, downsize
        As in `features`.

    Raises
    ------
    ValueError
        As `features` does.

    Notes
    -----
    A block of pixels at a time is converted to float64 and multiplied; the divisors enter at the end. So the features
    are never written out, which for float32 maps takes more time than the products.
    """
    maps = checked(maps, normalise)
    if downsize is not None:
        maps = averaged(maps, downsize)
    rows = maps.reshape(len(maps), maps.shape[1] * maps.shape[2])
    n, size = rows.shape
    # Squares of very large or small float64 numbers are not finite, so such maps are divided by their peak first.
    peak = _peak(rows)[:, None] if rows.dtype.itemsize > 4 else None
    width = max(_NARROWEST, _BLOCK_BYTES // 8 // max(n, 1))
    block = np.empty((n, min(width, size)))
    ones, fixed = np.ones(width), direction(size)
    products, mass, total, position = np.zeros((n, n)), np.zeros(n), np.zeros(n), np.zeros(n)
    with np.errstate(invalid="ignore"):  # what is not finite stays in its own row and column
        for start in range(0, size, width):
            part = rows[:, start : start + width]
            values = block[:, : part.shape[1]]
            if peak is None:
                np.copyto(values, part)
            else:
                np.divide(part, peak, out=values)
            if normalise == "absolute":
                np.abs(values, out=values)
            elif normalise == "signed":
                total += values @ ones[: part.shape[1]]
            position += values @ fixed[start : start + width]
            products += values @ values.T
            mass += np.abs(values, out=values) @ ones[: part.shape[1]]
        defined = np.isfinite(mass) & (mass > 0)
        if normalise == "signed":
            defined &= np.abs(total) > NEGLIGIBLE * mass
        else:
            total = mass
    if not defined.all():
        products, position, total = products[defined][:, defined], position[defined], total[defined]
    products /= total[:, None]
    products /= total
    return Gram(products, position / total, defined)


def quick_gram(maps: NDArray[np.floating]) -> Gram:
    """`gram(maps)` by products in float32, in two thirds of the time; enough to find which need float64.

    Parameters
    ----------
    maps : shape (n, h, w), floating-point numbers or integers
        Signed relevance in any unit.

    Returns
    -------
    Gram
        With `error` = `QUICK_ERROR`, or exact where the maps are not float32, not finite, or very large or small.
    """
    maps = checked(maps)
    rows = np.ascontiguousarray(maps.reshape(len(maps), maps.shape[1] * maps.shape[2]))
    n, size = rows.shape
    if rows.dtype != np.float32 or not size:
        return gram(maps)
    ones, fixed = np.ones(maps.shape[2], np.float32), _single_direction(size)
    magnitude = np.empty((_QUICK_ROWS, size), np.float32)
    products, mass, position = np.zeros((n, n)), np.empty(n), np.empty(n)
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, n, _QUICK_ROWS):
            some = rows[start : start + _QUICK_ROWS]
            position[start : start + _QUICK_ROWS] = some @ fixed
            sums = np.abs(some, out=magnitude[: len(some)]).reshape(-1, maps.shape[2]) @ ones  # of lines
            mass[start : start + _QUICK_ROWS] = sums.reshape(len(some), -1).sum(axis=1, dtype=np.float64)
        low, high = _QUICK_RANGE
        if not ((mass == 0) | ((mass > low * size) & (mass < high * size))).all():
            return gram(maps)
        for start in range(0, size, _QUICK_COLUMNS):
            values = rows[:, start : start + _QUICK_COLUMNS]
            products += values @ values.T
    defined = mass > 0
    if not defined.all():
        products, position, mass = products[defined][:, defined], position[defined], mass[defined]
    products /= mass[:, None]
    products /= mass
    return Gram(products, position / mass, defined, QUICK_ERROR)


@functools.lru_cache(maxsize=4)
def _single_direction(size: int) -> NDArray[np.float32]:
    return direction(size).astype(np.float32)


def _peak(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """max|R| of every map; 1 where the map is zero, NaN where it is not finite."""
    peak = np.maximum(rows.max(axis=1, initial=-np.inf), -rows.min(axis=1, initial=np.inf)).astype(np.float64)
    return np.where(peak == 0, 1.0, np.where(np.isfinite(peak), peak, np.nan))


def squared_distances(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared Euclidean distances, shape (m, m), float64, of vectors with these inner products, shape (m, m)."""
    square = products * -2.0
    length = products.diagonal()
    square += length
    square += length[:, None]
    return np.maximum(square, 0.0, out=square)
