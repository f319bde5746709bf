"""Rows of the first eigenvectors as points to cluster (methods SP-6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def embedding(vectors: NDArray[np.float64], n_clusters: int) -> NDArray[np.float64]:
    """First `n_clusters` eigenvectors, every row scaled to unit length.

    Parameters
    ----------
    vectors : shape (n, e)
        Eigenvectors as columns, smallest eigenvalue first.

    Returns
    -------
    shape (n, n_clusters)
        A row of zeros stays zero.
    """
    if n_clusters > vectors.shape[1]:
        raise ValueError(f"expected at least {n_clusters} eigenvectors, got {vectors.shape[1]}")
    rows = vectors[:, :n_clusters]
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def shared_rows(points: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Points of one group replaced by their mean, so that equal maps cannot fall into different clusters."""
    n_groups = int(group.max(initial=-1)) + 1
    total = np.zeros((n_groups, points.shape[1]))
    np.add.at(total, group, points)
    return (total / np.bincount(group, minlength=n_groups)[:, None])[group]
