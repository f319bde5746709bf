"""How alike heatmaps are, and the mean of many (methods E-8, H-3)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def correlations(maps: NDArray[np.floating], *, centred: bool = True) -> NDArray[np.float64]:
    r"""Normalised correlation of every two maps, :math:`\langle H_1, H_2 \rangle / (\|H_1\| \|H_2\|)`.

    Parameters
    ----------
    maps : shape (N, H, W)
    centred
        Subtract each map's mean first: the published dendrograms do, the printed formula does not.

    Returns
    -------
    shape (N, N), in [-1, 1]
        An inverse image is at -1 only where centred. NaN with a map that is zero (centred: constant) or not finite.

    References
    ----------
    Gaya-Morey et al. (2024), Eq. 4; methods E-8.
    """
    if maps.ndim != 3:
        raise ValueError(f"expected maps (N, H, W), got shape {maps.shape}")
    rows = maps.reshape(len(maps), maps.shape[1] * maps.shape[2]).astype(np.float64)
    size = np.linalg.norm(rows, axis=1)
    if centred:
        rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1)
    defined = np.isfinite(length) & (length > 1e-12 * size)  # what is left of a constant map is rounding
    units = np.divide(rows, length[:, None], out=np.full(rows.shape, np.nan), where=defined[:, None])
    return np.clip(units @ units.T, -1.0, 1.0)


def correlation_distances(maps: NDArray[np.floating], *, centred: bool = True) -> NDArray[np.float64]:
    """1 - correlation of every two maps, condensed as `scipy.cluster.hierarchy.linkage` takes it.

    Returns
    -------
    shape (N (N - 1) / 2,), in [0, 2]
    """
    return (1.0 - correlations(maps, centred=centred))[np.triu_indices(len(maps), 1)]


def pooled_mean(groups: Iterable[ArrayLike]) -> NDArray[np.float64]:
    """Mean over all members of all groups, each member counting once: not the mean of the groups' means (H-3).

    Parameters
    ----------
    groups
        Arrays of shape (n_g, ...), the same beyond the first axis.

    Returns
    -------
    shape (...)
        NaN where no group has a member.
    """
    arrays = [np.asarray(group, dtype=np.float64) for group in groups]
    if not arrays or len({array.shape[1:] for array in arrays}) > 1:
        raise ValueError(f"expected groups of arrays of one shape, got {[array.shape for array in arrays]}")
    n = sum(len(array) for array in arrays)
    total = np.sum([array.sum(axis=0) for array in arrays], axis=0)
    return np.asarray(total / n if n else np.full(total.shape, np.nan))
