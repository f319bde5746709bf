"""Clusters of the maps of one target in one sequence, by any rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch import registry, types
from fer_batch.spray.clustering import cluster
from fer_batch.spray.rules import RULES
from fer_batch.spray.ways import cluster_ways

STEPS = "steps"  # the rule that knows the order of the frames; the others are those of `cluster`


def cluster_sequence(
    maps: NDArray[np.floating],
    times: NDArray[np.int64] | None = None,
    *,
    rule: str = STEPS,
    alpha: float = 0.05,
    tau: float = 0.1,
    n_neighbors: int | None = None,
    symmetry: str = "mean",
    normalise: str = "l1",
    downsize: int | None = None,
    max_clusters: int = 20,
    seed: int = 0,
) -> types.Clustering:
    """Clusters of the maps of one target in one sequence.

    Parameters
    ----------
    maps : shape (n, h, w), floating-point numbers or integers
        Signed relevance in any unit, in the order of time.
    times : shape (n,), ascending
        Frame of each map; None for one after the other. Only `steps` knows time.
    rule
        `steps` (`cluster_ways`), or a rule of `cluster` for the number of clusters; `paper` is methods 9.
    alpha
        See `cluster_ways`.
    tau, n_neighbors, symmetry, normalise, downsize, max_clusters, seed
        See `cluster`.

    Raises
    ------
    ValueError
        If the maps are not one array (n, h, w) of real numbers, or there is not one time a map.
    types.InputError
        If an option is unknown or out of its range.
    """
    if rule not in (STEPS, *RULES):
        raise types.InputError(f"unknown rule {rule!r}; {registry.nearest(rule, (STEPS, *RULES))}")
    if rule == STEPS:
        return cluster_ways(
            maps,
            times,
            alpha=alpha,
            n_neighbors=n_neighbors,
            symmetry=symmetry,
            normalise=normalise,
            downsize=downsize,
            max_clusters=max_clusters,
            seed=seed,
        )
    return cluster(
        maps,
        rule=rule,
        tau=tau,
        n_neighbors=n_neighbors,
        symmetry=symmetry,
        normalise=normalise,
        downsize=downsize,
        max_clusters=max_clusters,
        seed=seed,
    )
