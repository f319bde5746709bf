"""Spectral clustering of relevance maps: the number of clusters, and the cluster of each map (methods SP-5, SP-6)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster import hierarchy
from scipy.sparse import csgraph
from scipy.spatial import distance as spatial

from fer_batch import registry, types
from fer_batch.spray.affinity import (
    PieceMap,
    default_neighbours,
    doubtful,
    median,
    nearest_by_distance,
    nearest_neighbours,
    neighbour_graph,
    serial_map,
)
from fer_batch.spray.embedding import embedding, group_means
from fer_batch.spray.features import checked, direction, features
from fer_batch.spray.gram import gram, quick_gram, squared_distances
from fer_batch.spray.k_means import k_means
from fer_batch.spray.laplacian import spectrum
from fer_batch.spray.means import cluster_means
from fer_batch.spray.rules import RULES
from fer_batch.spray.silhouette import silhouette

KEPT_EIGENVALUES = 32
LONG_SEQUENCE = 2000  # maps up to which all distances are held; beyond, the silhouette is that of a sample
DENSE_GRAPH = 500  # maps up to which the graph is a dense array: sparse ones have the dearer bookkeeping

_DOUBTS = 0.5  # share of the maps with doubtful neighbours beyond which all products are made exact


def cluster(
    maps: NDArray[np.floating],
    *,
    rule: str = "near_zero_gap",
    tau: float = 0.1,
    n_neighbors: int | None = None,
    symmetry: str = "mean",
    normalise: str = "l1",
    downsize: int | None = None,
    max_clusters: int = 20,
    seed: int = 0,
    map_pieces: PieceMap = serial_map,
) -> types.Clustering:
    """Spectral relevance analysis of the maps of one target.

    Parameters
    ----------
    maps : shape (n, h, w), floating-point numbers or integers
        Signed relevance in any unit, in frame order, colour channels summed. Integers are converted to float64.
    rule, tau
        How the number of clusters follows from the eigenvalues: `near_zero`, `eigengap` or `near_zero_gap`, which is
        also called `paper`.
    n_neighbors
        Links per map, at most n - 1; None takes `default_neighbours`.
    symmetry
        `mean` or `max` of the two directions of a link.
    normalise, downsize
        See `features`.
    max_clusters
        Upper bound; a graph in more parts has its parts joined by average linkage of their mean features.
    seed
        Of k-means, ARPACK and the sample that the silhouette of more than `LONG_SEQUENCE` maps is computed on.
    map_pieces
        How the pieces of a long neighbour search are computed, see `nearest_neighbours`.

    Returns
    -------
    types.Clustering
        Labels 0.. by first occurrence, -1 for a map that is all zero or not finite; such maps change nothing else.

    Raises
    ------
    ValueError
        If the maps are not one array (n, h, w) of real numbers.
    types.InputError
        If an option is unknown or out of its range.

    Notes
    -----
    Frame order and the scale of a map have no influence but on the names of the clusters; equal maps share a cluster.
    A cluster needs `n_neighbors` + 1 members to separate fully, so up to four maps are one cluster by default.

    Time grows with n² h w; `downsize` is the lever for long sequences. Up to `LONG_SEQUENCE` maps all distances are
    held, some 200 MB at most; beyond it features in float32, twice the memory of the maps, and blocks of distances.

    References
    ----------
    Lapuschkin et al. (2019), Nature Communications 10: Unmasking Clever Hans predictors.
    Ng, Jordan & Weiss (2001): On spectral clustering. Finzel et al. (2021), LWDA.
    """
    _check_options(rule, tau, max_clusters, n_neighbors)
    maps = checked(maps, normalise)
    prepare = _short if len(maps) <= LONG_SEQUENCE else functools.partial(_long, seed=seed, map_pieces=map_pieces)
    found = prepare(maps, normalise, downsize, n_neighbors)
    labels = np.full(len(maps), -1, dtype=np.int64)
    n, k = len(found.order), found.index.shape[1]
    if n < 2:
        labels[found.defined] = 0
        return types.Clustering(labels, np.zeros(n), rule, k)

    small = n <= DENSE_GRAPH
    graph = neighbour_graph(found.index, symmetry, dense=small)
    eigenvalues, vectors, components = spectrum(
        graph, max(KEPT_EIGENVALUES, max_clusters + 1), seed=seed, with_vectors=not small
    )
    n_clusters = RULES[rule](eigenvalues, tau, min(max_clusters, n - 1))
    n_components = int(components.max()) + 1
    if n_components > n_clusters:  # only where the bound was met: every rule finds all zeros
        n_clusters = max_clusters
        assigned = _merged_components(found.part_distances(components), components, n_clusters)
    elif n_components == n_clusters:
        assigned = components
    else:  # maps at distance zero are one point, so that they cannot fall into different clusters
        if small:  # only now are they needed
            vectors = spectrum(graph, n_clusters)[1]
        equal = _equal_groups(found.index, found.steps)
        points, weights = group_means(embedding(vectors, n_clusters), equal)
        assigned = k_means(points, n_clusters, weights=weights, seed=seed)[equal]

    in_frames = np.empty(n, dtype=np.int64)
    in_frames[found.order] = assigned
    labels[found.defined] = by_first_occurrence(in_frames)
    return types.Clustering(
        labels=labels,
        eigenvalues=eigenvalues[:KEPT_EIGENVALUES],
        rule=rule,
        n_neighbors=k,
        eigengap=float(eigenvalues[n_clusters] - eigenvalues[n_clusters - 1]),  # n_clusters < n, so there is a next
        silhouette=silhouette(found.sample_distances, assigned[found.sample]),
    )


def _check_options(rule: str, tau: float, max_clusters: int, n_neighbors: int | None) -> None:
    if rule not in RULES:
        raise types.InputError(f"unknown rule {rule!r}; {registry.nearest(rule, RULES)}")
    if not tau >= 0:
        raise types.InputError(f"tau must not be negative, got {tau}")
    if max_clusters < 1 or (n_neighbors is not None and n_neighbors < 1):
        raise types.InputError(f"max_clusters and n_neighbors must be 1 or more, got {max_clusters} and {n_neighbors}")


@dataclass(frozen=True)
class _Neighbourhoods:
    """Nearest neighbours of the defined maps, in an order by content: ties do not depend on the frame order.

    `order` leads from there to the defined maps in frame order; all else follows the order.
    """

    defined: NDArray[np.bool_]
    order: NDArray[np.int64]
    index: NDArray[np.int64]
    steps: NDArray[np.int64]
    sample: NDArray[np.int64] | slice
    sample_distances: NDArray[np.floating]
    part_distances: Callable[[NDArray[np.int64]], NDArray[np.float64]]


def _short(
    maps: NDArray[np.floating], normalise: str, downsize: int | None, n_neighbors: int | None
) -> _Neighbourhoods:
    """From all inner products: in float32, and in float64 where those leave the neighbours open."""
    exact = functools.partial(gram, normalise=normalise, downsize=downsize)
    found = quick_gram(maps) if normalise == "l1" and downsize is None else exact(maps)
    order = _content_order(found.position)
    in_order = np.flatnonzero(found.defined)[order]
    products = found.products[order[:, None], order]
    square, length = squared_distances(products), np.sqrt(products.diagonal())
    k = _n_neighbors(len(order), n_neighbors)
    if found.error and k:
        rows = np.flatnonzero(doubtful(square, length, k, found.error))
        if len(rows) > _DOUBTS * len(order):
            rows = np.arange(len(order))
        square[rows[:, None], rows] = squared_distances(exact(maps[in_order[rows]]).products)
    distance = np.sqrt(square)
    none = np.empty((len(order), 0), np.int64)
    index, steps = nearest_by_distance(distance, length, k) if k else (none, none)

    def part_distances(parts: NDArray[np.int64]) -> NDArray[np.float64]:
        member = (parts == np.arange(parts.max() + 1)[:, None]).astype(np.float64)
        member /= member.sum(axis=1, keepdims=True)
        return np.sqrt(squared_distances(member @ exact(maps[in_order]).products @ member.T))

    return _Neighbourhoods(found.defined, order, index, steps, slice(None), distance, part_distances)


def _long(
    maps: NDArray[np.floating],
    normalise: str,
    downsize: int | None,
    n_neighbors: int | None,
    *,
    seed: int,
    map_pieces: PieceMap,
) -> _Neighbourhoods:
    """From feature vectors in float32, block by block."""
    rows, defined = features(maps, normalise=normalise, downsize=downsize, dtype=np.float32)
    order = _content_order(np.einsum("nd,d->n", rows, direction(rows.shape[1])))
    rows = rows[order]
    n = len(rows)
    k = _n_neighbors(n, n_neighbors)
    none = np.empty((n, 0), np.int64)
    index, steps = nearest_neighbours(rows, k, map_pieces=map_pieces) if k else (none, none)
    sample = np.arange(n)
    if n > LONG_SEQUENCE:
        sample = np.sort(np.random.default_rng(seed).choice(n, LONG_SEQUENCE, replace=False))
    sampled = rows[sample].astype(np.float64)

    def part_distances(parts: NDArray[np.int64]) -> NDArray[np.float64]:
        return spatial.squareform(spatial.pdist(cluster_means(rows[:, None, :], parts)[:, 0]))

    return _Neighbourhoods(
        defined, order, index, steps, sample, np.sqrt(squared_distances(sampled @ sampled.T)), part_distances
    )


def _n_neighbors(n: int, wanted: int | None) -> int:
    return min(default_neighbours(n) if wanted is None else wanted, max(n - 1, 0))


def _content_order(position: NDArray[np.float64]) -> NDArray[np.int64]:
    """By position, where rounding does not tell equal maps apart."""
    unit = 1e-6 * median(np.abs(position))
    return np.argsort(np.rint(position / (unit or 1.0)), kind="stable")


def _equal_groups(index: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Group of every map: maps at distance zero are one. Each links to the first of its equals, so links suffice."""
    n = len(index)
    row, column = np.nonzero(steps == 0)
    links = sparse.csr_array((np.ones(len(row)), (row, index[row, column])), shape=(n, n))
    return csgraph.connected_components(links, directed=False)[1].astype(np.int64)


def _merged_components(
    distance: NDArray[np.float64], components: NDArray[np.int64], n_clusters: int
) -> NDArray[np.int64]:
    tree = hierarchy.linkage(spatial.squareform(distance, checks=False), method="average")
    return hierarchy.fcluster(tree, n_clusters, criterion="maxclust").astype(np.int64)[components] - 1


def by_first_occurrence(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels of shape (n,), int64, numbered 0.. in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
