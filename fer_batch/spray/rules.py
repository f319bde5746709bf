"""Rules that choose the number of clusters from the eigenvalues (methods SP-5)."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

_DIGITS = 9  # gaps that agree to so many decimals are equal; the smallest number of clusters wins


def near_zero(eigenvalues: NDArray[np.float64], tau: float, max_clusters: int) -> int:
    """Number of clusters: how many eigenvalues are at most `tau`.

    Parameters
    ----------
    eigenvalues : shape (e,), float64, ascending
        Of the normalised Laplacian, in [0, 2].
    tau
        Largest eigenvalue that counts as zero.
    max_clusters
        Upper bound of the result.
    """
    return int(np.clip(np.count_nonzero(eigenvalues <= tau), 1, max_clusters))


def eigengap(eigenvalues: NDArray[np.float64], tau: float, max_clusters: int) -> int:
    """Number of clusters: after which eigenvalue the next is farthest.

    Parameters
    ----------
    eigenvalues : shape (e,), float64, ascending
        Of the normalised Laplacian, in [0, 2].
    tau
        Not used.
    max_clusters
        Upper bound of the result.

    References
    ----------
    von Luxburg (2007), Statistics and Computing 17: section 8.3, the eigengap heuristic.
    """
    gaps = np.diff(eigenvalues)[:max_clusters]
    return int(np.argmax(gaps.round(_DIGITS))) + 1 if len(gaps) else 1


def near_zero_gap(eigenvalues: NDArray[np.float64], tau: float, max_clusters: int) -> int:
    """Number of clusters: after which eigenvalue that is at most `tau` the next is farthest.

    Parameters
    ----------
    eigenvalues : shape (e,), float64, ascending
        Of the normalised Laplacian, in [0, 2].
    tau
        Largest eigenvalue that a cluster may have.
    max_clusters
        Upper bound of the result.
    """
    return eigengap(eigenvalues[: near_zero(eigenvalues, tau, max_clusters) + 1], tau, max_clusters)


RULES: MappingProxyType[str, Callable[[NDArray[np.float64], float, int], int]] = MappingProxyType(
    {"near_zero": near_zero, "eigengap": eigengap, "near_zero_gap": near_zero_gap, "paper": near_zero_gap}
)
