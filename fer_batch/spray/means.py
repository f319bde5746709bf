"""What a cluster looks like: its mean map, and the member nearest to it (methods RV-5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.spray.features import features


def cluster_means(maps: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean relevance map of every cluster (methods RV-5).

    Parameters
    ----------
    maps : shape (n, h, w), logit units
        Signed relevance.
    labels : shape (n,), int64
        Cluster 0 to K - 1 of every map; -1 belongs to none.

    Returns
    -------
    shape (K, h, w), float64, in the unit of the maps
    """
    n_clusters = int(labels.max(initial=-1)) + 1
    means = np.zeros((n_clusters, *maps.shape[1:]))
    for cluster_id in range(n_clusters):
        means[cluster_id] = maps[labels == cluster_id].mean(axis=0, dtype=np.float64)
    return means


def exemplars(maps: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the map of every cluster that is nearest to the cluster's mean map, both divided by their sum of |R|.

    Parameters
    ----------
    maps : shape (n, h, w), any unit
        Signed relevance.
    labels : shape (n,), int64
        Cluster 0 to K - 1 of every map; -1 belongs to none.

    Returns
    -------
    shape (K,), int64
        The first of equals.
    """
    means = cluster_means(maps, labels)
    chosen = np.zeros(len(means), dtype=np.int64)
    for cluster_id, mean in enumerate(means):
        members = np.flatnonzero(labels == cluster_id)
        mass = np.abs(mean).sum()
        target = mean.ravel() / mass if mass > 0 else mean.ravel()
        rows, defined = features(maps[members])
        distance = np.linalg.norm(rows - target, axis=1)
        chosen[cluster_id] = members[defined][np.argmin(distance)] if len(rows) else members[0]
    return chosen
