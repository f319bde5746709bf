"""Which of some mean maps a map is nearest to, after both are brought to one unit of relevance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.spray.features import features


def unit_mass(maps: NDArray[np.floating], dtype: type = np.float64) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    r"""Maps as rows, each divided by its :math:`\sum |R|`.

    Parameters
    ----------
    maps : shape (n, h, w), logit units
    dtype
        Of the rows; sums are float64 always.

    Returns
    -------
    rows : shape (n, h * w)
        Zero where undefined.
    defined : shape (n,)
        False for a map that is all zero or not finite: it has no direction.
    """
    found, defined = features(maps, dtype=dtype)
    if len(maps) and defined.all():
        return found, defined
    rows = np.zeros((len(maps), maps.shape[1] * maps.shape[2]), dtype)
    if defined.any():
        rows[defined] = found
    return rows, defined


def nearest(maps: NDArray[np.floating], means: NDArray[np.floating]) -> NDArray[np.int64]:
    r"""Which mean is nearest to each map, by the distance of both over their :math:`\sum |R|` (methods SP-1, SP-2).

    Parameters
    ----------
    maps : shape (n, h, w), logit units
    means : shape (K, h, w), logit units
        Of the clusters. One that is zero or not finite has no direction and is nearest to nothing.

    Returns
    -------
    shape (n,), int64
        Number of the mean, the first of equals; -1 for a map that is all zero or not finite, and where no mean is
        defined.
    """
    rows, defined = unit_mass(maps)
    centres, usable = unit_mass(means)
    labels = np.full(len(maps), -1, np.int64)
    if not usable.any():
        return labels
    chosen = centres[usable]
    # ||x - c||^2 without ||x||^2, which is the same for every mean, and without an array of all differences.
    distance = (chosen**2).sum(axis=1) - 2.0 * (rows[defined] @ chosen.T)
    labels[defined] = np.flatnonzero(usable)[distance.argmin(axis=1)]
    return labels
