"""How alike heatmaps are, their dendrogram, and the mean of many (methods E-8, E-9, H-3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import fcluster, linkage

Maps = NDArray[np.floating] | NDArray[np.uint8]


def correlations(maps: Maps, *, centred: bool = True) -> NDArray[np.float64]:
    r"""Normalised correlation of every two maps, :math:`\langle H_1, H_2 \rangle / (\|H_1\| \|H_2\|)`.

    Parameters
    ----------
    maps : shape (N, H, W), floating or uint8
        In any unit: the scale of a map does not matter.
    centred
        Subtract each map's mean first: the published dendrograms do, the printed formula does not.

    Returns
    -------
    shape (N, N), float64, in [-1, 1]
        An inverse image is at -1 only where centred. NaN with a map that is zero (centred: constant) or not finite.

    Raises
    ------
    ValueError
        If there are not three axes.

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


def correlation_distances(
    maps: NDArray[np.floating] | NDArray[np.uint8], *, centred: bool = True
) -> NDArray[np.float64]:
    """1 - correlation of every two maps, condensed as `scipy.cluster.hierarchy.linkage` takes it.

    Parameters
    ----------
    maps, centred
        As in `correlations`.

    Returns
    -------
    shape (N (N - 1) / 2,), float64, in [0, 2]
    """
    return (1.0 - correlations(maps, centred=centred))[np.triu_indices(len(maps), 1)]


@dataclass(frozen=True)
class Dendrogram:
    """How maps merge, the most alike first.

    Attributes
    ----------
    links : shape (N - 1, 4), float64
        As `scipy.cluster.hierarchy.linkage` gives them.
    """

    links: NDArray[np.float64]

    @property
    def heights(self) -> NDArray[np.float64]:
        """Distance at which each two clusters merge, shape (N - 1,), float64, in [0, 2], rising."""
        return self.links[:, 2]

    @property
    def merges(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Numbers of the maps in the two clusters that each row of `links` merges."""
        members = [(i,) for i in range(len(self.links) + 1)]
        found = []
        for one, other in self.links[:, :2].astype(np.int64).tolist():
            found.append((members[one], members[other]))
            members.append((*members[one], *members[other]))
        return found

    def highest_within(self, group: Iterable[int]) -> float:
        """Height of the highest merge of maps of one group alone; NaN where no two of them merge so.

        Parameters
        ----------
        group
            Numbers of maps.
        """
        own = set(group)
        inside = [own.issuperset((*one, *other)) for one, other in self.merges]
        return float(self.heights[inside].max()) if any(inside) else float("nan")

    def separates(self, group: Iterable[int]) -> bool:
        """Whether the cut into two clusters divides the maps of a group from the others (methods E-9)."""
        if not len(self.links):
            return False
        labels = fcluster(self.links, 2, "maxclust")
        own = np.isin(np.arange(len(labels)), list(group))
        return bool(own.any() and not own.all() and len(set(labels[own])) == len(set(labels[~own])) == 1)


def dendrogram(maps: Maps, *, centred: bool = True) -> Dendrogram:
    """Average linkage of maps by 1 - their correlation.

    Parameters
    ----------
    maps : shape (N, H, W), N at least 1, floating or uint8
    centred
        As in `correlations`.

    Returns
    -------
    Dendrogram

    Raises
    ------
    ValueError
        If a correlation is undefined: a map is zero, constant or not finite.

    References
    ----------
    Gaya-Morey et al. (2024), Fig. 10; methods E-9.
    """
    distances = correlation_distances(maps, centred=centred)
    if not np.isfinite(distances).all():
        raise ValueError("expected maps with a defined correlation; one is constant or not finite")
    return Dendrogram(linkage(distances, "average") if len(distances) else np.zeros((0, 4)))


def pooled_mean(groups: Iterable[ArrayLike]) -> NDArray[np.float64]:
    """Mean over all members of all groups, each member counting once: not the mean of the groups' means (H-3).

    Parameters
    ----------
    groups
        Arrays of shape (n_g, ...), the same beyond the first axis.

    Returns
    -------
    shape (...), float64
        NaN where no group has a member.

    Raises
    ------
    ValueError
        If there is no group, or their shapes differ beyond the first axis.
    """
    arrays = [np.asarray(group, dtype=np.float64) for group in groups]
    if not arrays or len({array.shape[1:] for array in arrays}) > 1:
        raise ValueError(f"expected groups of arrays of one shape, got {[array.shape for array in arrays]}")
    n = sum(len(array) for array in arrays)
    total = np.sum([array.sum(axis=0) for array in arrays], axis=0)
    return np.asarray(total / n if n else np.full(total.shape, np.nan))
