"""How the maps of a target were split, and the layout of its spectrum that the figure and the SVG both draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MIN_MAPS = 3  # two maps have one neighbour each, whatever they show


@dataclass(frozen=True)
class ClusterMap:
    """One cluster of a target.

    Attributes
    ----------
    letter
        Its name within the sequence.
    relevance : shape (h, w)
        Mean map of its frames; None where it was not stored.
    n_frames
        Frames in the cluster.
    face : uint8, shape (H, W) or (H, W, 3)
        Crop of its exemplar; None draws the standard face.
    """

    letter: str
    relevance: NDArray[np.floating] | None
    n_frames: int
    face: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class ClusterDecision:
    """How the maps of one target were split.

    Attributes
    ----------
    target
        Its name.
    clusters
        In order of their letters.
    eigenvalues : ascending
        Smallest eigenvalues of the normalised Laplacian; may be empty.
    rule
        How the number of clusters was chosen, as text.
    n_neighbors
        k of the neighbour graph, where there was one.
    """

    target: str
    clusters: tuple[ClusterMap, ...]
    eigenvalues: tuple[float, ...] = ()
    rule: str = ""
    n_neighbors: int | None = None


def has_spectrum(decision: ClusterDecision) -> bool:
    """Whether there are maps enough for a spectrum that depends on them."""
    return _n_maps(decision) >= _MIN_MAPS


def _n_maps(decision: ClusterDecision) -> int:
    return sum(cluster.n_frames for cluster in decision.clusters)


def without_spectrum(decision: ClusterDecision) -> str:
    """What stands where there is no spectrum."""
    n, k = _n_maps(decision), len(decision.clusters)
    clusters = {0: "no cluster", 1: "one cluster"}.get(k, f"{k} clusters")
    return f"{n} map{'' if n == 1 else 's'}: {clusters}"


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues by number, and the gap that gave the number of clusters.

    Attributes
    ----------
    values : shape (e,), float64, in [0, 2]
        The finite eigenvalues, ascending.
    n_clusters
        Clusters that were chosen: the first so many eigenvalues lie below the gap.
    gap
        The eigenvalue before and after it; None where no eigenvalue follows, or steps gave the number of clusters.
    title, details
        `2 clusters`, and the rule and k of the neighbour graph.
    """

    values: NDArray[np.float64]
    n_clusters: int
    gap: tuple[float, float] | None
    title: str
    details: str


def spectrum_layout(decision: ClusterDecision) -> Spectrum:
    """What a drawing of the spectrum shows."""
    values = np.asarray(decision.eigenvalues, dtype=np.float64)
    values = values[np.isfinite(values)]
    k = len(decision.clusters)
    details = (decision.rule, f"k = {decision.n_neighbors}" if decision.n_neighbors else "")
    return Spectrum(
        values=values,
        n_clusters=k,
        gap=(float(values[k - 1]), float(values[k])) if 0 < k < len(values) and decision.rule != "steps" else None,
        title=f"{k} cluster" + ("" if k == 1 else "s"),
        details=", ".join(filter(None, details)),
    )
