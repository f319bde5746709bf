"""Looks: clusters of clusters over a collection, and which of them a further cluster belongs to.

A *look* is a place that the network looks at for a target, in many sequences. It is a centre, a unit vector that never
moves, and a radius. Looks are opened in rounds; a map joins the nearest centre of the first round that has one within
its radius. So what has joined a look stays there, whatever is opened later, and joining is a function of the looks and
the map alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

SMOOTHING = 2.0  # pixels of maps of 35 x 28: a fourteenth of a face, more than people and landmarks differ by
APART = 0.05  # 1 - cosine; chosen on benchmarks/looks.py --seed 7, see docs/looks.md
GAP = 2.5  # times that, up to where the widest gap is looked for
SPREAD, NEAR, FARTHEST = 3.0, 0.05, 0.5
SPLITS = 10  # of the people in halves

_BLOCK = 4096  # maps compared with all centres at a time


@dataclass(frozen=True)
class Looks:
    """The looks of one target.

    Attributes
    ----------
    centres : shape (L, d), float32
        Of length 1.
    radius : shape (L,), float64
        Distance from the centre up to which a map joins.
    opened : shape (L,), int64
        Round in which each was opened, rising from 0.
    """

    centres: NDArray[np.float32]
    radius: NDArray[np.float64]
    opened: NDArray[np.int64]

    @classmethod
    def none(cls) -> Looks:
        """No looks yet."""
        return cls(np.zeros((0, 0), np.float32), np.zeros(0), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.radius)

    def equals(self, other: Looks) -> bool:
        """Whether any map would join the same look of both."""
        return np.array_equal(self.centres, other.centres) and np.array_equal(self.radius, other.radius)

    def and_then(self, centres: NDArray[np.floating], radius: NDArray[np.floating]) -> Looks:
        """The same with those of a further round behind them.

        Parameters
        ----------
        centres : shape (m, d)
            Of length 1.
        radius : shape (m,), distances
        """
        first = self.centres if len(self) else np.zeros((0, centres.shape[1]), np.float32)
        number = int(self.opened.max(initial=-1)) + 1
        return Looks(
            np.concatenate([first, centres.astype(np.float32)]),
            np.concatenate([self.radius, radius]),
            np.concatenate([self.opened, np.full(len(centres), number, np.int64)]),
        )

    def join(self, rows: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Look of every map.

        Parameters
        ----------
        rows : shape (n, d)
            As `directions` gives them. Those of maps of another size join nothing.

        Returns
        -------
        look : shape (n,), int64
            Index of its look; -1 where none is near enough.
        distance : shape (n,), float64
            To the centre of its look, else to the nearest; NaN where there is none.
        """
        look, distance = np.full(len(rows), -1, np.int64), np.full(len(rows), np.nan)
        if not len(self) or rows.shape[1] != self.centres.shape[1]:
            return look, distance
        for start in range(0, len(rows), _BLOCK):
            part = slice(start, start + _BLOCK)
            look[part], distance[part] = self._join(rows[part])
        return look, distance

    def _join(self, rows: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        distance = distances(rows, self.centres)
        within = np.where(distance <= self.radius, distance, np.inf)
        look = np.full(len(rows), -1, np.int64)
        for number in range(int(self.opened.max()) + 1):
            mine = np.where(self.opened == number, within, np.inf)
            nearest = mine.argmin(axis=1)
            free = (look < 0) & np.isfinite(mine[np.arange(len(rows)), nearest])
            look[free] = nearest[free]
        shown = np.where(look >= 0, look, distance.argmin(axis=1))
        return look, distance[np.arange(len(rows)), shown]


def distances(rows: NDArray[np.floating], centres: NDArray[np.floating]) -> NDArray[np.float64]:
    """1 - cosine of the angle between unit vectors: 0 alike, 1 nothing in common, 2 opposite.

    Parameters
    ----------
    rows : shape (n, d), of length 1
    centres : shape (m, d), of length 1

    Returns
    -------
    shape (n, m), float64, in [0, 2]
    """
    # A product of one row is not that of many to the last bit; rounded, every machine and block says the same.
    return np.clip(1.0 - rows.astype(np.float64) @ centres.astype(np.float64).T, 0.0, 2.0).round(9)


def directions(maps: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where the evidence of mean maps lies, as unit vectors: their positive part, smoothed.

    Parameters
    ----------
    maps : shape (n, h, w), any unit
        On one face, some thirty pixels across; more would only cost.

    Returns
    -------
    rows : shape (n, h * w), float32
        Of length 1; zero where undefined.
    defined : shape (n,), bool
        False for a map that is not finite or has nothing positive.
    """
    known = np.isfinite(maps).all(axis=(1, 2))
    positive = np.where(known[:, None, None], np.maximum(maps, 0), 0).astype(np.float64)
    positive /= np.maximum(positive.max(axis=(1, 2), keepdims=True), np.finfo(np.float64).tiny)
    rows = ndimage.gaussian_filter(positive, (0, SMOOTHING, SMOOTHING)).reshape(len(maps), -1)
    length = np.linalg.norm(rows, axis=1)
    defined = length > 0
    rows[defined] /= length[defined, None]
    return rows.astype(np.float32), defined


@dataclass(frozen=True)
class OpenedLooks:
    """Looks that were found among some maps, those of most maps first.

    Attributes
    ----------
    labels : shape (n,), int64
        Look of each map.
    centres : shape (L, d), float64
        Of length 1.
    radius : shape (L,), float64
        Distance from the centre that takes in every map of the look, and at least what tells looks apart.
    stability : shape (L,), float64, in [0, 1]
        How well halves of the people give the same look; NaN where fewer than four are there, or one alone shows it.
    """

    labels: NDArray[np.int64]
    centres: NDArray[np.float64]
    radius: NDArray[np.float64]
    stability: NDArray[np.float64]


def open_looks(rows: NDArray[np.floating], people: Sequence[str], apart: float = APART) -> OpenedLooks:
    """Find the looks among some maps: average linkage, cut at its widest gap.

    Parameters
    ----------
    rows : shape (n, d), n > 0
        As `directions` gives them.
    people
        Who shows each.
    apart
        Least mean distance between the maps of two looks.

    Raises
    ------
    ValueError
        If there is no map, or not one person for each.

    Notes
    -----
    The cut is in the middle of the widest gap, by quotient, of heights between `apart` and `GAP` times that at which
    clusters of two and more people each are joined: what one person alone shows moves nothing.

    Where maps of one look differ by more than that from person to person, because the method is noisy, looks must be as
    much further apart: by `SPREAD` times the distance within which a twentieth of the maps of other people lie, for the
    quarter of the maps that has the nearest others; at most by `FARTHEST`. It does not depend on how many maps there
    are.

    The stability is the mean Jaccard index of a look with the most similar look that is found among the maps of half of
    the people alone, over `SPLITS` random halves.

    References
    ----------
    Hennig (2007), Cluster-wise assessment of cluster stability, Computational Statistics & Data Analysis 52.
    """
    if not len(rows) or len(rows) != len(people):
        raise ValueError(f"expected maps and one person for each, got {len(rows)} and {len(people)}")
    person = np.unique(np.asarray(people), return_inverse=True)[1]
    between = distances(rows, rows)
    between = (between + between.T) / 2
    np.fill_diagonal(between, 0.0)
    tree = _tree(between)
    cut = max(_widest_gap(tree, person, apart), min(SPREAD * _near_others(between, person), FARTHEST))
    labels = _linked(tree, cut)
    centres = np.stack([_centre(rows[labels == k]) for k in range(labels.max() + 1)])
    own = distances(rows, centres)
    farthest = [own[labels == k, k].max() for k in range(len(centres))]
    stability = _stability(between, person, labels, cut)
    return OpenedLooks(labels, centres, np.maximum(farthest, cut), stability)


def _near_others(between: NDArray[np.float64], person: NDArray[np.int64]) -> float:
    """Distance within which `NEAR` of the maps of other people lie, lower quartile over the maps; 0 for one person."""
    others = np.where(person[:, None] == person, np.inf, between)
    n_others = np.isfinite(others).sum(axis=1)
    if not n_others.any():
        return 0.0
    others.sort(axis=1)
    place = np.ceil(NEAR * n_others).astype(np.int64) - 1
    some = n_others > 0
    return float(np.quantile(others[np.flatnonzero(some), place[some]], 0.25))


def _tree(between: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average linkage, as scipy has it; no row for a single map."""
    return hierarchy.linkage(squareform(between, checks=False), "average") if len(between) > 1 else np.zeros((0, 4))


def _linked(tree: NDArray[np.float64], cut: float) -> NDArray[np.int64]:
    """Clusters below a height, the largest first, equals by their first map."""
    if not len(tree):
        return np.zeros(1, np.int64)
    found = hierarchy.fcluster(tree, cut, "distance")
    _, first, inverse, size = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    rank = np.argsort(np.lexsort((first, -size)))
    return rank[inverse].astype(np.int64)


def _widest_gap(tree: NDArray[np.float64], person: NDArray[np.int64], apart: float) -> float:
    """Middle of the widest gap, from `apart` to `GAP` times that, of heights that join clusters of several people."""
    shown: list[set[int]] = [{one} for one in person.tolist()]
    heights = [apart, GAP * apart]
    for one, other, height, _ in tree.tolist():
        first, second = shown[int(one)], shown[int(other)]
        if min(len(first), len(second)) > 1 and apart < height < GAP * apart:
            heights.append(height)
        small, large = sorted((first, second), key=len)
        large |= small  # neither is looked at again
        shown.append(large)
    logs = np.log(np.sort(heights))
    widest = int(np.diff(logs).argmax())
    return float(np.exp(logs[widest : widest + 2].mean()))


def _centre(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    mean = rows.mean(axis=0, dtype=np.float64)
    return np.asarray(mean / np.linalg.norm(mean))


def _stability(
    between: NDArray[np.float64], person: NDArray[np.int64], labels: NDArray[np.int64], cut: float
) -> NDArray[np.float64]:
    n_people, n_looks = int(person.max()) + 1, int(labels.max()) + 1
    n_showing = np.array([len(np.unique(person[labels == k])) for k in range(n_looks)])
    if n_people < 4:
        return np.full(n_looks, np.nan)
    rng = np.random.default_rng(0)
    found: list[NDArray[np.float64]] = []
    for _ in range(SPLITS):
        half = rng.permutation(n_people) < n_people // 2
        for part in (half, ~half):
            chosen = np.flatnonzero(part[person])
            again = _linked(_tree(between[np.ix_(chosen, chosen)]), cut)
            found.append(_jaccard(labels[chosen], again, n_looks))
    seen = np.isfinite(found)
    total = np.where(seen, found, 0.0).sum(axis=0)
    return np.where(n_showing > 1, total / np.maximum(seen.sum(axis=0), 1), np.nan)


def _jaccard(labels: NDArray[np.int64], again: NDArray[np.int64], n_looks: int) -> NDArray[np.float64]:
    """Jaccard index of each look with the most similar of other clusters; NaN for a look that is not there."""
    both = np.zeros((n_looks, int(again.max()) + 1))
    np.add.at(both, (labels, again), 1.0)
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
    share = (both / either).max(axis=1)
    return np.where(both.any(axis=1), share, np.nan)
