"""K-means of few points in few dimensions: all restarts at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

RESTARTS = 10
MAX_ITERATIONS = 300

_BLOCK_NUMBERS = 2**22  # distances held at a time: more points mean fewer restarts side by side


def k_means(
    points: NDArray[np.float64], n_clusters: int, *, weights: NDArray[np.floating] | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Cluster of every point, by Lloyd's iterations from the best of `RESTARTS` k-means++ starts.

    Parameters
    ----------
    points : shape (n, d)
    n_clusters
        Fewer are used where there are fewer distinct points.
    weights : shape (n,)
        How often a point counts; None is once.
    seed
        Of the starts.

    Returns
    -------
    shape (n,)
        0 to n_clusters - 1; the nearest centre, among equals the lower.

    References
    ----------
    Arthur & Vassilvitskii (2007), SODA: k-means++.
    """
    n = len(points)
    mass = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    points = points - np.average(points, axis=0, weights=mass)  # smaller numbers lose less in the products
    rng = np.random.default_rng(seed)
    side_by_side = max(1, min(RESTARTS, _BLOCK_NUMBERS // max(1, n * n_clusters)))
    best, least = np.zeros(n, dtype=np.int64), np.inf
    for start in range(0, RESTARTS, side_by_side):
        centres = _starts(points, mass, n_clusters, rng, min(side_by_side, RESTARTS - start))
        labels, inertia = _lloyd(points, mass, centres)
        winner = int(np.argmin(inertia))
        if inertia[winner] < least * (1 - 1e-9):  # starts that end alike differ by rounding: the first stays
            best, least = labels[winner], float(inertia[winner])
    return best


def _starts(
    points: NDArray[np.float64], mass: NDArray[np.float64], n_clusters: int, rng: np.random.Generator, restarts: int
) -> NDArray[np.float64]:
    """Greedy k-means++, shape (restarts, n_clusters, d).

    A point's chance grows with its squared distance to the centres so far; of a few drawn, the one that leaves the
    least sum of squares becomes a centre.
    """
    n, rows = len(points), np.arange(restarts)
    drawn = 2 + int(math.log(n_clusters))
    chance = np.broadcast_to(mass, (restarts, n))
    nearest = np.full((restarts, n), np.inf)
    centres = np.empty((restarts, n_clusters, points.shape[1]))
    for k in range(n_clusters):
        reach = chance.cumsum(axis=1)
        wanted = rng.random((restarts, drawn)) * reach[:, -1:]
        chosen = np.stack([np.searchsorted(*pair, side="right") for pair in zip(reach, wanted, strict=True)])
        chosen = np.minimum(chosen, n - 1)
        left = np.minimum(_squares(points, points[chosen]), nearest[:, :, None])
        pick = (mass @ left).argmin(axis=1)
        nearest = left[rows, :, pick]
        centres[:, k] = points[chosen[rows, pick]]
        chance = nearest * mass
    return centres


def _lloyd(
    points: NDArray[np.float64], mass: NDArray[np.float64], centres: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    restarts, n_clusters, size = centres.shape
    weighted = np.concatenate([points * mass[:, None], mass[:, None]], axis=1)
    labels = np.full((restarts, len(points)), -1)
    moving = np.arange(restarts)
    for _ in range(MAX_ITERATIONS):
        new = _squares(points, centres[moving]).argmin(axis=2)
        changed = (new != labels[moving]).any(axis=1)
        labels[moving] = new
        moving = moving[changed]
        if not len(moving):
            break
        member = (new[changed][:, None, :] == np.arange(n_clusters)[:, None]).astype(np.float64)
        sums = member @ weighted
        count = sums[:, :, size:]
        # A cluster that lost its members keeps its centre.
        centres[moving] = np.where(count > 0, sums[:, :, :size] / np.where(count > 0, count, 1.0), centres[moving])
    square = np.take_along_axis(_squares(points, centres), labels[:, :, None], axis=2)[:, :, 0]
    return labels, square @ mass


def _squares(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances, shape (restarts, n, k)."""
    square = (-2.0 * points) @ centres.transpose(0, 2, 1)
    square += (centres**2).sum(2)[:, None, :]
    square += (points**2).sum(1)[:, None]
    return np.maximum(square, 0.0, out=square)
