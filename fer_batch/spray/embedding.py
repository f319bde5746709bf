"""Rows of the first eigenvectors as points to cluster (methods SP-6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def embedding(vectors: NDArray[np.float64], n_clusters: int) -> NDArray[np.float64]:
    """First `n_clusters` eigenvectors, every row scaled to unit length.

    Parameters
    ----------
    vectors : shape (n, e), float64
        Eigenvectors as columns, smallest eigenvalue first.
    n_clusters
        How many of them.

    Returns
    -------
    shape (n, n_clusters), float64, no unit
        A row of zeros stays zero.

    Raises
    ------
    ValueError
        If there are fewer than `n_clusters` eigenvectors.

    References
    ----------
    Ng, Jordan & Weiss (2001), NIPS: On spectral clustering, steps 4 and 5.
    """
    if n_clusters > vectors.shape[1]:
        raise ValueError(f"expected at least {n_clusters} eigenvectors, got {vectors.shape[1]}")
    rows = vectors[:, :n_clusters]
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def group_means(
    points: NDArray[np.float64], group: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean point of every group 0.., shape (G, d), and how many points it has, shape (G,), both float64.

    Of points of shape (n, d) in any unit, and the group of each, shape (n,), int64.
    """
    count = np.bincount(group).astype(np.float64)
    total = np.zeros((len(count), points.shape[1]))
    np.add.at(total, group, points)
    return total / count[:, None], count
