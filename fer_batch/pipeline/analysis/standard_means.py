"""Mean maps of clusters on the standard face: what looks over the collection are made of (table `looks`).

They are taken while the maps of a sequence are in memory, whatever `keep_relevance` leaves of them, on a grid so small
that the means of a million clusters fit on the disk of a laptop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def standard_means(
    faces: NDArray[np.floating], maps: NDArray[np.floating], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    r"""Mean of the maps of every cluster on the standard face, each map over its :math:`\sum |R|`.

    Parameters
    ----------
    faces : shape (n, h', w'), any unit
        The maps on the standard face, as `regions.face_maps` gives them. One that is not finite is left out.
    maps : shape (n, h, w), the same unit
        In the crop.
    labels : shape (n,), int64
        Cluster 0 to K - 1 of every map; -1 belongs to none.

    Returns
    -------
    shape (K, h', w'), float32
        NaN where no map of a cluster is on the standard face.
    """
    found = np.full((int(labels.max(initial=-1)) + 1, *faces.shape[1:]), np.nan, np.float32)
    known = (labels >= 0) & np.isfinite(faces).all(axis=(1, 2))
    for cluster in range(len(found)):
        own = np.flatnonzero(known & (labels == cluster))
        if len(own):
            mass = np.abs(maps[own]).sum(axis=(1, 2), dtype=np.float64)
            found[cluster] = (faces[own] / mass[:, None, None]).mean(axis=0)
    return found
