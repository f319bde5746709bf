"""Table `class_prototypes`: clusters of the stills of each class over a partition.

Shard tasks keep every still at 28x28 in passing (`accumulators.STILLS`); here they come together, some classes at a
time. A class of more than `CLASS_MAPS` stills is clustered on an even sample, and the others join the nearest mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch import spray
from fer_batch.pipeline.analysis.accumulators import STILLS
from fer_batch.pipeline.analysis.key import analysis_key
from fer_batch.pipeline.analysis.sums import kept_sums, sequence_rows
from fer_batch.pipeline.partition.heatmaps import FILE, say_missing
from fer_batch.pipeline.partition.stage import WAVE, Compute, StageWork
from fer_batch.prototypes.stages import letter
from fer_batch.spray.nearest import nearest, unit_mass
from fer_batch.spray.sequence import STEPS
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition, pack_maps, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table
from fer_batch.types import Clustering

CLASS_MAPS = 50_000  # of one class that are clustered; minutes on two cores, and memory for two such classes
GATHERED_MAPS = 2 * CLASS_MAPS  # of several classes that are held at a time: 300 MB
N_EXEMPLARS = 5
JOINED = 1024  # stills beyond the sample that join clusters at a time


@dataclass(frozen=True)
class Members:
    """Stills of one cluster.

    Attributes
    ----------
    n
        How many.
    total : shape (h, w), float64
        Sum of their maps, logit units.
    near
        Distances and names of those nearest to the mean, at most `N_EXEMPLARS`, nearest first.
    """

    n: int
    total: NDArray[np.float64]
    near: tuple[tuple[float, str], ...]

    def __add__(self, other: Members) -> Members:
        near = sorted([*self.near, *other.near])[:N_EXEMPLARS]
        return Members(self.n + other.n, self.total + other.total, tuple(near))


def publish_class_prototypes(work: StageWork) -> None:
    """Write the table."""
    n_stills, shards = _counted(work)
    n_missing = len(work.shards) - len(shards)
    if n_missing:
        say_missing(n_missing, len(work.shards), "class_prototypes")
    common = {"analysis_id": analysis_key(work.config), "complete": not n_missing}
    rows: list[dict[str, object]] = []
    for targets in _groups(n_stills):
        below = {target: _share(CLASS_MAPS / n_stills[target]) for target in targets}
        gathered: dict[str, dict[str, NDArray[np.float32]]] = {target: {} for target in targets}
        for part in work.over_shards(shard_stills, shards, below):
            for target, maps in part.items():
                gathered[target] |= maps
        for target in targets:
            sample = gathered.pop(target)
            sampled = len(sample) < n_stills[target]
            found, clusters = _sample_clusters(work, sample)
            if sampled and clusters:
                clusters = _with_others(work, shards, target, below[target], clusters)
            rows.extend(_class_row(target, k, own) | _decision(found) | common for k, own in enumerate(clusters))
    path = f"{work.partition.folder('class_prototypes')}/{FILE}"
    put_table(work.store, path, rows_of("class_prototypes", rows), work.metadata)


def _counted(work: StageWork) -> tuple[dict[str, int], list[str]]:
    """Stills with a map of each target, by target, and the shards whose stills can be had."""
    n_stills: dict[str, int] = {}
    shards: list[str] = []
    counts = work.over_shards(kept_counts, work.shards, work.partition, work.targets)
    for shard, part in zip(work.shards, counts, strict=True):
        if part is not None:
            shards.append(shard)
            for target, n in part.items():
                n_stills[target] = n_stills.get(target, 0) + n
    return dict(sorted(n_stills.items())), shards


def _sample_clusters(work: StageWork, maps: dict[str, NDArray[np.float32]]) -> tuple[Clustering, list[Members]]:
    """Clusters of the maps of one class, which are taken out of `maps` to save memory."""
    names = sorted(maps)
    stacked = np.stack([maps.pop(name) for name in names])
    options = work.config.spray.model_dump(exclude={"max_frames", "align", "alpha"})
    if options["rule"] == STEPS:
        options["rule"] = "near_zero_gap"  # stills have no order
    found = spray.cluster(stacked, **options, map_pieces=_spread(work.compute))
    return found, members(stacked, names, found.labels)


def _with_others(
    work: StageWork, shards: Sequence[str], target: str, bound: str, clusters: list[Members]
) -> list[Members]:
    """The clusters with the stills beyond the sample, each in that with the nearest mean."""
    means = np.stack([cluster.total / cluster.n for cluster in clusters])
    for part in work.over_shards(shard_others, shards, {target: (bound, means)}):
        clusters = [one + more for one, more in zip(clusters, part[target], strict=True)]
    return clusters


def kept_counts(output: str, shard: str, partition: Partition, targets: Sequence[str]) -> dict[str, int] | None:
    """Of each target, how many stills of a shard have a map; None where they cannot be had."""
    sums = kept_sums(output, shard, partition, targets, STILLS.name)
    return None if sums is None else {key.target: own.n for key, own in sums.items()}


def _stills(output: str, shard: str, targets: Iterable[str]) -> Iterator[tuple[str, str, NDArray[np.float32]]]:
    """Target, name and small map of the stills of a shard."""
    for row in sequence_rows(Store(output), shard, STILLS.name, targets):
        yield row.key.target, f"{row.sequence_id}#{row.own.first_frame}", row.own.total.astype(np.float32)


def shard_stills(output: str, shard: str, below: Mapping[str, str]) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Small maps of the stills of one shard, of each target those whose names' digests are below its bound.

    Parameters
    ----------
    output, shard
        Where.
    below
        Bound of each target, as `digest` writes it.

    Returns
    -------
    dict
        By target and name, maps of shape (h, w), float32, logit units.
    """
    found: dict[str, dict[str, NDArray[np.float32]]] = {target: {} for target in below}
    for target, name, values in _stills(output, shard, below):
        if digest(name) < below[target]:
            found[target][name] = values
    return found


def shard_others(
    output: str, shard: str, means: Mapping[str, tuple[str, NDArray[np.floating]]]
) -> dict[str, list[Members]]:
    """`members` of the stills of one shard that `shard_stills` left out, each in the cluster with the nearest mean.

    Parameters
    ----------
    output, shard
        Where.
    means
        Of each target its bound, and the means of its clusters, shape (K, h, w), logit units.

    Returns
    -------
    dict
        The members of every cluster, by target.
    """
    found = {target: [_nobody(centre) for centre in centres] for target, (_, centres) in means.items()}
    waiting: dict[str, dict[str, NDArray[np.float32]]] = {target: {} for target in means}

    def join(target: str) -> None:
        names = list(waiting[target])
        if names:
            maps = np.stack([waiting[target].pop(name) for name in names])
            new = members(maps, names, nearest(maps, means[target][1]), means[target][1])
            found[target] = [one + more for one, more in zip(found[target], new, strict=True)]

    for target, name, values in _stills(output, shard, means):
        if digest(name) >= means[target][0]:
            waiting[target][name] = values
            if len(waiting[target]) >= JOINED:
                join(target)
    for target in means:
        join(target)
    return found


def members(
    maps: NDArray[np.float32],
    names: Sequence[str],
    labels: NDArray[np.int64],
    means: NDArray[np.floating] | None = None,
) -> list[Members]:
    """Of every cluster: number and sum of its maps, and the distances and names of those nearest to its mean.

    Distances are between maps divided by their sums of |R|; of equals the first by name comes first.

    Parameters
    ----------
    maps : shape (n, h, w), logit units
    names
        Of the maps.
    labels : shape (n,)
        Their clusters; -1 for none.
    means : shape (K, h, w)
        Of the clusters, where they are not those of these maps.
    """
    if means is None:
        means = spray.cluster_means(maps, labels)
    rows, centres = unit_mass(maps, np.float32)[0], unit_mass(means, np.float32)[0]
    clusters = []
    for k, centre in enumerate(centres):
        own = np.flatnonzero(labels == k)
        distance = np.linalg.norm(rows[own] - centre, axis=1)
        near = sorted(zip(distance.tolist(), (names[i] for i in own.tolist()), strict=True))[:N_EXEMPLARS]
        clusters.append(Members(len(own), maps[own].sum(0, dtype=np.float64), tuple(near)))
    return clusters


def _nobody(mean: NDArray[np.floating]) -> Members:
    return Members(0, np.zeros(mean.shape), ())


def _spread(compute: Compute | None) -> Callable[[Callable[[Any, Any], Any], Any, Sequence[Any]], Iterable[Any]]:
    """Pieces of a neighbour search, as Dask tasks where `compute` runs them."""

    def spread(function: Callable[[Any, Any], Any], shared: Any, pieces: Sequence[Any]) -> Iterator[Any]:
        if compute is None or len(pieces) == 1:
            yield from (function(shared, piece) for piece in pieces)
            return
        import dask

        task = dask.delayed(function, pure=False, traverse=False)
        # As the result of a task the features lie in Ray's object store once, and not once for every piece.
        held = dask.delayed(_itself, pure=False)(dask.delayed(shared, pure=False, traverse=False))
        for start in range(0, len(pieces), WAVE):
            yield from compute([task(held, piece) for piece in pieces[start : start + WAVE]])

    return spread


def _itself(value: Any) -> Any:
    return value


def _groups(n_stills: Mapping[str, int]) -> list[list[str]]:
    """Targets whose stills are in memory together."""
    groups: list[list[str]] = []
    room = 0
    for target, n in n_stills.items():
        if not groups or min(n, CLASS_MAPS) > room:
            groups.append([])
            room = GATHERED_MAPS
        groups[-1].append(target)
        room -= min(n, CLASS_MAPS)
    return groups


def _share(share: float) -> str:
    """Bound below which this share of all digests lies: a sample by names alone, the same in any order and sharding."""
    return "g" if share >= 1 else f"{int(share * 16**16):016x}"


def _class_row(target: str, k: int, own: Members) -> dict[str, object]:
    values, scale = pack_maps((own.total / own.n)[None])
    return {
        "target": target,
        "cluster": letter(k),
        "n_frames": own.n,
        "exemplars": [name for _, name in own.near],
        "height": values.shape[1],
        "width": values.shape[2],
        "scale": float(scale[0]),
        "relevance": values[0].ravel(),
    }


def _decision(found: Clustering) -> dict[str, object]:
    """How the clusters of a class were found; None where undefined."""
    quality = {"eigengap": found.eigengap, "silhouette": found.silhouette}
    return {
        "n_clusters": found.n_clusters,
        "n_clustered": int(np.count_nonzero(found.labels >= 0)),
        "spectrum": found.eigenvalues.tolist(),
        "rule": found.rule,
        "n_neighbors": found.n_neighbors,
        **{name: value if np.isfinite(value) else None for name, value in quality.items()},
    }
