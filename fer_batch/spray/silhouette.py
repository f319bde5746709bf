"""How well clusters are separated, from the distances between their members."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def silhouette(distance: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    r"""Mean silhouette: :math:`(b_i - a_i) / \max(a_i, b_i)` averaged over all i.

    :math:`a_i` is the mean distance to the other members of i's cluster, :math:`b_i` the least mean distance to the
    members of another; a cluster of one counts 0.

    Parameters
    ----------
    distance : shape (n, n), float32 or float64
        In any unit.
    labels : shape (n,), int64, not negative

    Returns
    -------
    in [-1, 1]
        NaN for fewer than 2 clusters, or as many as maps.

    Notes
    -----
    Equal to scikit-learn's `silhouette_score` of precomputed distances to 1e-12 (tested), which takes 0.4 to 0.8 ms for
    18 to 130 maps where this takes 0.05 ms: 1.2 to 1.35 times the whole clustering (docs/spray.md).

    References
    ----------
    Rousseeuw (1987), J. Comput. Appl. Math. 20.
    """
    n = len(labels)
    size = np.bincount(labels)
    labels = (np.cumsum(size > 0) - 1)[labels]  # without the numbers that nothing has
    size = size[size > 0]
    if not 2 <= len(size) < n:
        return float("nan")
    member = labels[:, None] == np.arange(len(size))
    sums = distance @ member.astype(distance.dtype)
    own = sums[member] / np.maximum(size[labels] - 1, 1)
    other = np.where(member, np.inf, sums / size).min(axis=1)
    larger = np.maximum(own, other)
    value = np.divide(other - own, larger, out=np.zeros(n), where=(larger > 0) & (size[labels] > 1))
    return float(value.mean())
