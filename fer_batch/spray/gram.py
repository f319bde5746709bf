"""Inner products of maps, from which distances follow without a copy of the maps as feature vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.spray.features import NEGLIGIBLE, averaged, check, direction

_BLOCK_BYTES = 2**20  # what is converted and multiplied at a time; it should stay in the cache of a core
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
    peak = np.maximum(rows.max(axis=1, initial=-np.inf), -rows.min(axis=1, initial=np.inf)).astype(np.float64)
    defined = np.isfinite(peak) & (peak > 0)
    if not defined.all():
        rows, peak = rows[defined], peak[defined]
    n, size = rows.shape
    width = max(_NARROWEST, _BLOCK_BYTES // 8 // max(n, 1))
    block = np.empty((n, min(width, size)))
    magnitude = np.empty_like(block)
    ones, fixed = np.ones(block.shape[1]), direction(size)
    products, mass, total, position = np.zeros((n, n)), np.zeros(n), np.zeros(n), np.zeros(n)
    for start in range(0, size, width):
        part = rows[:, start : start + width]
        here, sizes = block[:, : part.shape[1]], magnitude[:, : part.shape[1]]
        if part.dtype.itemsize > 4:  # first by the peak: squares of very large or small maps stay finite
            np.divide(part, peak[:, None], out=here)
        else:
            np.copyto(here, part)
        np.abs(here, out=sizes)
        mass += sizes @ ones[: part.shape[1]]
        if normalise == "absolute":
            here = sizes
        elif normalise == "signed":
            total += here @ ones[: part.shape[1]]
        position += here @ fixed[start : start + width]
        products += here @ here.T
    if normalise == "signed":
        usable = np.abs(total) > NEGLIGIBLE * mass
        if not usable.all():
            defined[np.flatnonzero(defined)[~usable]] = False
            products, position, total = products[usable][:, usable], position[usable], total[usable]
    else:
        total = mass
    products /= total[:, None]
    products /= total
    return Gram(products, position / total, defined)


def squared_distances(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared Euclidean distances, shape (m, m), of vectors with these inner products."""
    square = products * -2.0
    length = products.diagonal()
    square += length
    square += length[:, None]
    return np.maximum(square, 0.0, out=square)
