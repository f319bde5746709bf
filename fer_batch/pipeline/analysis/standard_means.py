"""Mean maps of clusters on the standard face: what looks over the collection are made of (table `looks`).

They are taken while the maps of a sequence are in memory, whatever `keep_relevance` leaves of them, on a grid so small
that the means of a million clusters fit on the disk of a laptop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.regions import face_maps
from fer_batch.regions.face_maps import CANVAS


def standard_means(
    maps: NDArray[np.floating], landmarks: NDArray[np.floating], labels: NDArray[np.int64], crop: int
) -> NDArray[np.float32]:
    r"""Mean of the maps of every cluster on the standard face, each map over its :math:`\sum |R|`.

    Parameters
    ----------
    maps : shape (n, h, w), any unit
        Relevance in pixels of the crop.
    landmarks : shape (n, 68, 2), pixels of the crop
        Of their frames; NaN where there are none. Such a map is left out.
    labels : shape (n,), int64
        Cluster 0 to K - 1 of every map; -1 belongs to none.
    crop
        Side of the crops, pixels.

    Returns
    -------
    shape (K, *CANVAS), float32
        NaN where no map of a cluster has landmarks.
    """
    found = np.full((int(labels.max(initial=-1)) + 1, *CANVAS), np.nan, np.float32)
    seen = np.flatnonzero(labels >= 0)
    if not len(seen):
        return found
    warped = face_maps(maps[seen], landmarks[seen], (crop, crop))
    warped /= np.abs(maps[seen]).sum(axis=(1, 2), dtype=np.float64)[:, None, None]
    known = np.isfinite(warped).all(axis=(1, 2))
    for cluster in range(len(found)):
        own = known & (labels[seen] == cluster)
        if own.any():
            found[cluster] = warped[own].mean(axis=0)
    return found
