"""K-means of the points of an embedding, the same on every machine and in every frame order."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

RESTARTS = 10

_DIGITS = 9  # decimals in which points of an embedding agree that are one: eigenvectors carry rounding errors


def k_means(
    points: NDArray[np.float64], n_clusters: int, *, weights: NDArray[np.floating] | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Cluster of every point: scikit-learn's k-means, the best of `RESTARTS` greedy k-means++ starts.

    Parameters
    ----------
    points : shape (n, d), float64
        Rows of an embedding, no unit.
    n_clusters
        Fewer are used where there are fewer distinct points.
    weights : shape (n,)
        How often a point counts; None is once.
    seed
        Of the starts. Points in the same order get the same labels for the same seed.

    Returns
    -------
    shape (n,), int64
        0 to n_clusters - 1; the nearest centre, among equals the lower.

    Notes
    -----
    Iterations go on until no label changes (`tol` = 0): with scikit-learn's default they stop earlier, at labels that
    may not be those of any optimum. One OpenMP thread, since several add up centres in whatever order they end.

    References
    ----------
    Arthur & Vassilvitskii (2007), SODA: k-means++. Lloyd (1982), IEEE Trans. Inf. Theory 28.
    """
    from sklearn.cluster import KMeans  # here, since it takes a second to import and most sequences need no k-means

    n_clusters = min(n_clusters, len(np.unique(points.round(_DIGITS), axis=0)))
    model = KMeans(n_clusters, n_init=RESTARTS, tol=0.0, random_state=seed)
    with _thread_pools().limit(limits=1):
        return model.fit(points, sample_weight=weights).labels_.astype(np.int64)


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """Found once, since looking for loaded libraries takes longer than a k-means."""
    return ThreadpoolController()
