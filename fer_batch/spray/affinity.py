"""Which maps are alike: the symmetrised graph of nearest neighbours (methods SP-2, SP-3)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fer_batch import registry, types

SYMMETRIES = ("mean", "max")

# Distances are compared in steps of this share of the median length of a feature vector. It lies above what float32
# rounding leaves between equal maps of different scale, and far below what two frames of a video differ by.
RESOLUTION = 1e-6

_BLOCK_BYTES = 64 * 2**20


def default_neighbours(n: int) -> int:
    """Neighbours per map that find one and two groups in short sequences: `min(max(3, round(ln n)), n - 1)`.

    A cluster needs at least one member more than this to separate from the others.
    """
    return max(0, min(max(3, round(math.log(n))), n - 1)) if n else 0


def nearest_neighbours(features: NDArray[np.floating], n_neighbors: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nearest other rows of every row, by Euclidean distance; among equals the lower index.

    Parameters
    ----------
    features : shape (n, d)
    n_neighbors
        1 to n - 1.

    Returns
    -------
    index : shape (n, n_neighbors)
        Nearest first.
    steps : shape (n, n_neighbors)
        Their distance in whole steps of `RESOLUTION`; 0 means equal.

    Notes
    -----
    Distances come from blocks of the Gram matrix of the centred features in float64, so memory beyond the features is
    bounded (about 200 MB) for any n.
    """
    n, d = features.shape
    if not 1 <= n_neighbors < n:
        raise ValueError(f"expected 1 <= n_neighbors < {n} rows, got {n_neighbors}")
    centre = features.mean(axis=0, dtype=np.float64)
    length = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    step = RESOLUTION * float(np.median(length)) or 1.0
    numbers = _BLOCK_BYTES // 8
    rows = max(1, min(n, numbers // max(d, 1), math.isqrt(numbers)))
    blocks = [slice(start, min(n, start + rows)) for start in range(0, n, rows)]
    keys = np.empty((n, n_neighbors), dtype=np.int64)
    for here in blocks:
        left = features[here] - centre
        best = np.empty((len(left), 0), dtype=np.int64)
        for there in blocks:
            right = left if there == here else features[there] - centre
            square = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2.0 * (left @ right.T)
            steps = np.rint(np.sqrt(np.maximum(square, 0.0)) / step).astype(np.int64)
            # Distance and index in one integer: any selection by it is exact, and ties fall to the lower index.
            key = steps * n + np.arange(there.start, there.stop)
            if there == here:
                np.fill_diagonal(key, np.iinfo(np.int64).max)
            best = np.concatenate([best, key], axis=1)
            if best.shape[1] > n_neighbors:
                best = np.partition(best, n_neighbors - 1, axis=1)[:, :n_neighbors]
        keys[here] = np.sort(best, axis=1)
    return keys % n, keys // n


def neighbour_graph(index: NDArray[np.int64], symmetry: str = "mean") -> sparse.csr_array:
    """The symmetric affinity of a nearest-neighbour list.

    Parameters
    ----------
    index : shape (n, k)
        Neighbours of every node, itself not among them.
    symmetry
        `mean` is (A + A') / 2, so a one-sided link weighs 1/2; `max` links where either side does.

    Returns
    -------
    shape (n, n), float64
    """
    if symmetry not in SYMMETRIES:
        raise types.InputError(f"unknown symmetry {symmetry!r}; {registry.nearest(symmetry, SYMMETRIES)}")
    n, k = index.shape
    links = sparse.csr_array((np.ones(n * k), index.ravel(), np.arange(0, n * k + 1, max(k, 1))[: n + 1]), shape=(n, n))
    return links.maximum(links.T).tocsr() if symmetry == "max" else ((links + links.T) * 0.5).tocsr()
