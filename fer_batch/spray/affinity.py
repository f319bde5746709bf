"""Affinity of maps: the symmetrised graph of nearest neighbours (methods SP-2, SP-3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fer_batch import registry, types

SYMMETRIES = ("mean", "max")

# Distances are compared in steps of this share of the median length of a feature vector. It lies above what float32
# rounding leaves between equal maps of different scale, and far below what two frames of a video differ by.
RESOLUTION = 1e-6

PieceMap = Callable[[Callable[[Any, Any], Any], Any, Sequence[Any]], Iterable[Any]]

_BLOCK_BYTES = 32 * 2**20
_PIECE_PAIRS = 16  # pairs of blocks that are one piece of work: some seconds
_SPARSE = 0.02  # share of a block beyond which sorting out candidates costs more than taking all
_NEAR = 1e-4  # share of (|a| + |b|)^2 up to which a squared distance from products in float32 is not taken as it is
_NONE = np.iinfo(np.int64).max


def serial_map(function: Callable[[Any, Any], Any], shared: Any, pieces: Sequence[Any]) -> Iterable[Any]:
    """Results of `function(shared, piece)` for one piece after the other, in this process."""
    return (function(shared, piece) for piece in pieces)


def default_neighbours(n: int) -> int:
    """Neighbours per map that find one and two groups in short sequences: `min(max(3, round(ln n)), n - 1)`.

    A cluster needs at least one member more than this to separate from the others.
    """
    return max(0, min(max(3, round(math.log(n))), n - 1)) if n else 0


def nearest_neighbours(
    features: NDArray[np.floating], n_neighbors: int, *, map_pieces: PieceMap = serial_map
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nearest other rows of every row, by Euclidean distance; among equals the lower index.

    Parameters
    ----------
    features : shape (n, d), float32 or float64
        Any unit.
    n_neighbors
        1 to n - 1.
    map_pieces
        How pieces of the work are computed, `map_pieces(function, features, pieces)`; the result does not depend on it.

    Returns
    -------
    index : shape (n, n_neighbors), int64
        Nearest first.
    steps : shape (n, n_neighbors), int64
        Their distance in whole steps of `RESOLUTION`; 0 means equal.

    Raises
    ------
    ValueError
        If `n_neighbors` is not in 1 to n - 1.

    Notes
    -----
    Exact: every pair of rows is compared once, in blocks of products of the centred features in float64. Memory beyond
    the features is bounded (about 400 MB for each piece at work) for any n.
    """
    n, d = features.shape
    _check_count(n_neighbors, n)
    length = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    rows = max(1, min(n, _BLOCK_BYTES // 8 // max(d, 1), math.isqrt(_BLOCK_BYTES // 8)))
    keys = np.full((n, n_neighbors), _NONE)
    starts = range(0, n, rows)
    # Blocks with themselves first: whatever is farther than the neighbours in its own block need not be sorted.
    for pairs in ([(i, i) for i in starts], [(i, j) for i in starts for j in starts if i < j]):
        task = _Pairs(n_neighbors, _step(length), features.mean(axis=0, dtype=np.float64), rows, keys[:, -1])
        pieces = [pairs[start : start + _PIECE_PAIRS] for start in range(0, len(pairs), _PIECE_PAIRS)]
        for found in map_pieces(task, features, pieces):
            keys = np.sort(np.concatenate([keys, found], axis=1), axis=1)[:, :n_neighbors]
    return keys % n, keys // n


def nearest_by_distance(
    distance: NDArray[np.float64], length: NDArray[np.float64], n_neighbors: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`nearest_neighbours` from all distances.

    Parameters
    ----------
    distance : shape (n, n), float64
        In the unit of the features.
    length : shape (n,), float64
        Of the feature vectors, in the same unit.
    n_neighbors
        1 to n - 1.

    Returns
    -------
    index, steps : shape (n, n_neighbors), int64
        As `nearest_neighbours` returns them.

    Raises
    ------
    ValueError
        If `n_neighbors` is not in 1 to n - 1.
    """
    n = len(distance)
    _check_count(n_neighbors, n)
    keys = np.rint(distance / _step(length)).astype(np.int64)
    keys *= n
    keys += np.arange(n)
    np.fill_diagonal(keys, _NONE)
    if 4 * n_neighbors < n:
        keys = np.partition(keys, n_neighbors - 1, axis=1)[:, :n_neighbors]
    keys = np.sort(keys, axis=1)[:, :n_neighbors]
    return keys % n, keys // n


def doubtful(
    square: NDArray[np.float64], length: NDArray[np.float64], n_neighbors: int, error: float
) -> NDArray[np.bool_]:
    """Rows that need better distances: one of theirs may be zero, or may or may not be to a nearest neighbour.

    Parameters
    ----------
    square : shape (n, n), float64
        Squared distances of vectors, each from inner products that are off by at most `error` of the lengths' product.
    length : shape (n,), float64
        Lengths of the vectors.
    n_neighbors
        1 to n - 1.
    error
        Share of the product of two lengths.

    Returns
    -------
    shape (n,), bool
        With the distances among these rows made exact, every row has its true neighbours and every zero is known.

    Raises
    ------
    ValueError
        If `n_neighbors` is not in 1 to n - 1.
    """
    _check_count(n_neighbors, len(square))
    # |a|^2 + |b|^2 - 2ab errs by error (|a|^2 + |b|^2 + 2 |a| |b|) at most
    reach = (length + length.max())[:, None] ** 2
    others = square.copy()
    np.fill_diagonal(others, np.inf)
    nearest = np.partition(others, n_neighbors, axis=1)[:, : n_neighbors + 1]
    last, following = nearest[:, :-1].max(axis=1, keepdims=True), nearest[:, -1:]
    margin = 2 * error * reach
    doubt = (others >= following - margin) & (others <= last + margin)
    doubt |= others <= _NEAR * reach
    return doubt.any(axis=0) | doubt.any(axis=1)


def _check_count(n_neighbors: int, n: int) -> None:
    if not 1 <= n_neighbors < n:
        raise ValueError(f"expected 1 <= n_neighbors < {n} rows, got {n_neighbors}")


def _step(length: NDArray[np.float64]) -> float:
    return RESOLUTION * median(length) or 1.0


def median(values: NDArray[np.floating]) -> float:
    """Median of values of shape (n,) in their unit, 0 of nothing.

    np.median takes as long as all else that is done with so few numbers.
    """
    n = len(values)
    return float(np.sort(values)[[(n - 1) // 2, n // 2]].sum()) / 2 if n else 0.0


@dataclass(frozen=True)
class _Pairs:
    """Nearest neighbours among some pairs of blocks, with distance and index in one integer.

    Any selection by it is exact, ties fall to the lower index, and the least of several pieces are the least of all.
    """

    n_neighbors: int
    step: float
    centre: NDArray[np.float64]
    rows: int
    known: NDArray[np.int64]  # shape (n,), of each row the last neighbour so far

    def __call__(self, features: NDArray[np.floating], pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
        n = len(features)
        best = np.full((n, self.n_neighbors), _NONE)
        for here, there in pairs:
            left, right = self._block(features, here), self._block(features, there)
            # |a|^2 and |b|^2 as two more columns: the product is the squared distance, without passes over it.
            square = np.column_stack([left, (left**2).sum(1), np.ones(len(left))]) @ (
                np.column_stack([-2.0 * right, np.ones(len(right)), (right**2).sum(1)]).T
            )
            if here == there:
                np.fill_diagonal(square, np.inf)
            self._offer(best, here, square, there)
            if here != there:
                self._offer(best, there, square.T, here)
        return best

    def _block(self, features: NDArray[np.floating], start: int) -> NDArray[np.float64]:
        return features[start : start + self.rows] - self.centre

    def _offer(self, keys: NDArray[np.int64], start: int, square: NDArray[np.float64], other: int) -> None:
        """Take in what is nearer than the last: squared distances of the rows from `start` on to those from `other`."""
        n, k = keys.shape
        best = keys[start : start + self.rows]
        last = np.minimum(best[:, -1], self.known[start : start + self.rows])
        limit = np.where(last == _NONE, np.inf, ((last // n + 1) * self.step) ** 2)
        near = square <= limit[:, None]
        if np.count_nonzero(near) > _SPARSE * near.size:
            offered = np.concatenate([best, self._keys(square, np.arange(other, other + square.shape[1]), n)], axis=1)
            best[:] = np.sort(np.partition(offered, k - 1, axis=1)[:, :k], axis=1)
            return
        row, column = _places(near)
        found, first, count = np.unique(row, return_index=True, return_counts=True)
        offered = np.full((len(found), k + int(count.max(initial=0))), _NONE)
        offered[:, :k] = best[found]
        slot = np.arange(len(row)) - np.repeat(first, count) + k
        offered[np.repeat(np.arange(len(found)), count), slot] = self._keys(square[row, column], other + column, n)
        best[found] = np.sort(np.partition(offered, k - 1, axis=1)[:, :k], axis=1)

    def _keys(self, square: NDArray[np.float64], index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        other = np.isfinite(square)  # infinite from a row to itself
        steps = np.rint(np.sqrt(np.maximum(np.where(other, square, 0.0), 0.0)) / self.step)
        return np.where(other, steps.astype(np.int64) * n + index, _NONE)


def _places(near: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of every True, by rows; reads the memory in the order in which it lies."""
    if near.flags.c_contiguous:
        row, column = np.divmod(np.flatnonzero(near), near.shape[1])
        return row, column
    column, row = np.divmod(np.flatnonzero(near.T), near.shape[0])
    order = np.argsort(row, kind="stable")
    return row[order], column[order]


def neighbour_graph(
    index: NDArray[np.int64], symmetry: str = "mean", *, dense: bool = False
) -> sparse.csr_array | NDArray[np.float64]:
    """The symmetric affinity of a nearest-neighbour list.

    Parameters
    ----------
    index : shape (n, k), int64
        Neighbours of every node, itself not among them.
    symmetry
        `mean` is (A + A') / 2, so a one-sided link weighs 1/2; `max` links where either side does.
    dense
        As an array.

    Returns
    -------
    shape (n, n), float64
        Weights 0, 1/2 or 1.

    Raises
    ------
    types.InputError
        If the symmetry is unknown.

    References
    ----------
    von Luxburg (2007), Statistics and Computing 17: section 2.2, k-nearest-neighbour graphs.
    """
    if symmetry not in SYMMETRIES:
        raise types.InputError(f"unknown symmetry {symmetry!r}; {registry.nearest(symmetry, SYMMETRIES)}")
    n, k = index.shape
    if dense:
        array = np.zeros((n, n))
        np.put_along_axis(array, index, 1.0, axis=1)
        return np.maximum(array, array.T) if symmetry == "max" else (array + array.T) * 0.5
    links = sparse.csr_array((np.ones(n * k), index.ravel(), np.arange(0, n * k + 1, max(k, 1))[: n + 1]), shape=(n, n))
    return links.maximum(links.T).tocsr() if symmetry == "max" else ((links + links.T) * 0.5).tocsr()
