"""Ways of looking in a sequence: its maps between steps, those that are alike taken together."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch import types
from fer_batch.spray.affinity import default_neighbours, nearest_by_distance, neighbour_graph
from fer_batch.spray.clustering import DENSE_GRAPH, KEPT_EIGENVALUES, by_first_occurrence
from fer_batch.spray.features import checked
from fer_batch.spray.gram import gram, quick_gram, squared_distances
from fer_batch.spray.laplacian import spectrum
from fer_batch.spray.silhouette import silhouette
from fer_batch.spray.steps import find_steps

SIDE = 28  # pixels of the shorter side that maps are averaged down to
SMOOTHING = 1.0  # pixels of those, standard deviation: what landmarks jitter by, and much of the noise
ALIKE = 0.5  # squared distance of two ways over that of the smaller step beside them, below which they are one
FOLDS = 3  # of the frames; each is left out once for `stability`


def cluster_ways(
    maps: NDArray[np.floating],
    times: NDArray[np.int64] | None = None,
    *,
    alpha: float = 0.05,
    n_neighbors: int | None = None,
    symmetry: str = "mean",
    normalise: str = "l1",
    downsize: int | None = None,
    max_clusters: int = 20,
    seed: int = 0,
) -> types.Clustering:
    """Clusters of the maps of one target in one sequence, split only where they take a step.

    Parameters
    ----------
    maps : shape (n, h, w), floating-point numbers or integers
        Signed relevance in any unit, in the order of time, best on the standard face. They are averaged down.
    times : shape (n,), ascending
        Frame of each map; None for one after the other.
    alpha
        Level of the test that a sequence has any step.
    n_neighbors, symmetry
        Of the graph whose spectrum is told; they decide nothing.
    normalise
        See `features`.
    downsize
        Pixels of the shorter side that maps are averaged down to; None for `SIDE`.
    max_clusters
        Upper bound; of more, the nearest are joined.
    seed
        Of the spectrum.

    Returns
    -------
    types.Clustering
        With `p_split`, and `stability` of each cluster. Labels 0.. by first occurrence, -1 for a map that is all zero
        or not finite; such maps change nothing else.

    Raises
    ------
    ValueError
        If the maps are not one array (n, h, w) of real numbers, or there is not one time a map.
    types.InputError
        If an option is unknown or out of its range.

    Notes
    -----
    Two pieces between steps are one way of looking where the squared distance of their means is less than `ALIKE` of
    the smallest step at their ends; the nearest two are joined first. So are two that follow each other where the step
    between them led nowhere, as a flicker of two frames does. Distances are freed of what noise adds to them.

    The stability of a cluster is its mean Jaccard index with the most similar cluster that is found when every third
    frame is left out, over the three ways to do so.

    References
    ----------
    Hennig (2007), Comput. Stat. Data Anal. 52: cluster-wise stability by the Jaccard index.
    """
    _check_options(alpha, max_clusters, n_neighbors, downsize)
    maps = checked(maps, normalise)
    order = np.arange(len(maps)) if times is None else np.asarray(times)
    if order.shape != (len(maps),):
        raise ValueError(f"expected one time a map, got {order.shape} for {len(maps)} maps")
    small = _small(maps, SIDE if downsize is None else downsize) if maps.size else maps
    found = quick_gram(small) if normalise == "l1" else gram(small, normalise=normalise)
    products, order = found.products, order[found.defined]
    assigned, p_split = _ways(products, order, alpha, max_clusters)
    labels = np.full(len(maps), -1, np.int64)
    labels[found.defined] = assigned
    n = len(products)
    k = min(default_neighbours(n) if n_neighbors is None else n_neighbors, max(n - 1, 0))
    one = types.Clustering(labels, np.zeros(n), "steps", k, p_split=p_split, stability=(1.0,) * min(n, 1))
    if n < 2:
        return one
    stability = _stability(products, order, assigned, p_split, alpha, max_clusters)
    return dataclasses.replace(_with_spectrum(one, products, assigned, symmetry, seed), stability=stability)


def _check_options(alpha: float, max_clusters: int, n_neighbors: int | None, downsize: int | None) -> None:
    if not 0 < alpha < 1 or min(1 if v is None else v for v in (max_clusters, n_neighbors, downsize)) < 1:
        raise types.InputError(
            f"alpha is between 0 and 1, counts are 1 or more; got alpha {alpha}, max_clusters {max_clusters}, "
            f"n_neighbors {n_neighbors}, downsize {downsize}"
        )


def _with_spectrum(
    found: types.Clustering, products: NDArray[np.float64], assigned: NDArray[np.int64], symmetry: str, seed: int
) -> types.Clustering:
    """The same with the spectrum of the neighbour graph of the defined maps, its gap, and the silhouette."""
    n, n_clusters = len(products), found.n_clusters
    distance = np.sqrt(squared_distances(products))
    index, _ = nearest_by_distance(distance, np.sqrt(products.diagonal()), found.n_neighbors)
    graph = neighbour_graph(index, symmetry, dense=n <= DENSE_GRAPH)
    values, _, _ = spectrum(graph, max(KEPT_EIGENVALUES, n_clusters + 1), seed=seed, with_vectors=False)
    return dataclasses.replace(
        found,
        eigenvalues=values[:KEPT_EIGENVALUES],
        eigengap=float(values[n_clusters] - values[n_clusters - 1]) if n_clusters < n else float("nan"),
        silhouette=silhouette(distance, assigned),
    )


def _small(maps: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    """Maps averaged down until the shorter side is `side` pixels, and smoothed, shape (n, h', w')."""
    height, width = maps.shape[1:]
    ratio = min(1.0, side / max(min(height, width), 1))
    if ratio < 1:
        size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
        maps = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in _resizable(maps)])
    down, across = (_smoothing(side, str(maps.dtype)) for side in maps.shape[1:])
    return down @ maps @ across.T


def _resizable(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    """OpenCV has no float16 to average."""
    return maps.astype(np.float32) if maps.dtype == np.float16 else maps


@functools.lru_cache(maxsize=16)
def _smoothing(side: int, dtype: str) -> NDArray[np.floating]:
    """Gaussian weights of the pixels of a line for each of them, shape (side, side); the last pixels go on beyond."""
    reach = int(4 * SMOOTHING)
    kernel = np.exp(-((np.arange(-reach, reach + 1) / SMOOTHING) ** 2) / 2)
    weights = np.zeros((side, side))
    pixel = np.arange(side)
    for offset, weight in zip(range(-reach, reach + 1), kernel / kernel.sum(), strict=True):
        np.add.at(weights, (pixel, np.clip(pixel + offset, 0, max(side - 1, 0))), weight)
    return weights.astype(dtype)


def _ways(
    products: NDArray[np.float64], times: NDArray[np.int64], alpha: float, max_clusters: int
) -> tuple[NDArray[np.int64], float]:
    """Way of looking of each map, by first occurrence, and p of the split."""
    n = len(products)
    steps = find_steps(products, times, alpha=alpha)
    if not len(steps.first):
        return np.zeros(n, np.int64), steps.p_split
    piece = np.searchsorted(steps.first, np.arange(n), side="right")
    pieces = _Pieces.of(products, piece)
    return by_first_occurrence(_joined(pieces, steps.size, max_clusters)[piece]), steps.p_split


@dataclasses.dataclass(frozen=True)
class _Pieces:
    """Groups of maps, with what distances of their means need: sums of inner products, between groups and of own."""

    count: NDArray[np.float64]
    sums: NDArray[np.float64]
    own: NDArray[np.float64]

    @classmethod
    def of(cls, products: NDArray[np.float64], group: NDArray[np.int64]) -> _Pieces:
        member = (group == np.arange(group.max() + 1)[:, None]).astype(np.float64)
        return cls(member.sum(axis=1), member @ products @ member.T, member @ products.diagonal())

    def together(self, group: NDArray[np.int64]) -> _Pieces:
        member = (group == np.arange(group.max() + 1)[:, None]).astype(np.float64)
        return _Pieces(member @ self.count, member @ self.sums @ member.T, member @ self.own)

    @property
    def distances(self) -> NDArray[np.float64]:
        """Squared, of the means, without the noise's share; every group has more than one map."""
        within = (self.sums.diagonal() - self.own) / (self.count * (self.count - 1))
        return within[:, None] + within - 2.0 * self.sums / np.outer(self.count, self.count)


def _joined(pieces: _Pieces, size: NDArray[np.float64], max_clusters: int) -> NDArray[np.int64]:
    """Group of each piece: the nearest two are joined as long as they are alike, or there are too many.

    Also pieces that follow each other, where the step between them led nowhere: a flicker of a frame or two.
    """
    beside = np.append(size, np.inf)
    step = np.minimum(beside, np.roll(beside, 1))  # the smaller of the two at the ends of a piece
    group = np.arange(len(step))
    while group.max() > 0:
        smallest = np.full(group.max() + 1, np.inf)
        np.minimum.at(smallest, group, step)
        limit = ALIKE * np.maximum(np.minimum(smallest[:, None], smallest), np.finfo(float).tiny)
        ratio = pieces.together(group).distances / limit
        ratio[np.tril_indices(len(ratio))] = np.inf
        first, second = np.unravel_index(ratio.argmin(), ratio.shape)
        if ratio[first, second] >= 1 and len(ratio) <= max_clusters:
            break
        group[group == second] = first
        group[group > second] -= 1
    return group


def _stability(
    products: NDArray[np.float64],
    times: NDArray[np.int64],
    labels: NDArray[np.int64],
    p_split: float,
    alpha: float,
    max_clusters: int,
) -> tuple[float, ...]:
    """Mean Jaccard index of each cluster with the most similar one where a fold of the frames is left out."""
    n, n_clusters = len(labels), int(labels.max()) + 1
    if n_clusters == 1 and p_split == 1:
        return (1.0,)  # nothing came near a step
    total = np.zeros(n_clusters)
    for fold in range(FOLDS):
        kept = np.flatnonzero(np.arange(n) % FOLDS != fold)
        found, _ = _ways(products[kept[:, None], kept], times[kept], alpha, max_clusters)
        both = np.zeros((n_clusters, int(found.max(initial=0)) + 1))
        np.add.at(both, (labels[kept], found), 1.0)
        either = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
        total += np.divide(both, either, out=np.zeros_like(both), where=either > 0).max(axis=1)
    return tuple((total / FOLDS).tolist())
