"""Inner products of maps, from which distances follow without a copy of the maps as feature vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.spray.features import NEGLIGIBLE, averaged, check, direction

_BLOCK_BYTES = 2**20  # converted and multiplied at a time: it stays in the cache of a core
_NARROWEST = 512  # columns of a block, below which matrix products lose their speed


@dataclass(frozen=True)
class Gram:
    """What distances between feature vectors need.

    Attributes
    ----------
    products : shape (m, m), float64
        Inner products of the features of the defined maps.
    position : shape (m,)
        Inner product of every feature vector with a fixed random direction: it tells maps apart by what they show.
    defined : shape (n,)
        False where a map is not finite or its divisor is zero.
    """

    products: NDArray[np.float64]
    position: NDArray[np.float64]
    defined: NDArray[np.bool_]


def gram(maps: NDArray[np.floating], *, normalise: str = "l1", downsize: int | None = None) -> Gram:
    """Inner products of `features(maps)`, in float64.

    Parameters
    ----------
    maps : shape (n, h, w)
    normalise, downsize
        As in `features`.

    Notes
    -----
    A block of pixels at a time is converted to float64 and multiplied; the divisors enter at the end. So the features
    are never written out, which for float32 maps takes more time than the products.
    """
    check(maps, normalise)
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


def _peak(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """max|R| of every map; 1 where the map is zero, NaN where it is not finite."""
    peak = np.maximum(rows.max(axis=1, initial=-np.inf), -rows.min(axis=1, initial=np.inf)).astype(np.float64)
    return np.where(peak == 0, 1.0, np.where(np.isfinite(peak), peak, np.nan))


def squared_distances(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared Euclidean distances, shape (m, m), of vectors with these inner products."""
    square = products * -2.0
    length = products.diagonal()
    square += length
    square += length[:, None]
    return np.maximum(square, 0.0, out=square)
