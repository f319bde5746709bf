"""What a whole collection shows: one mean map per target, and clusters of each class of stills over the dataset.

Maps are read on the workers, a shard at a time. To the driver come sums and, for some classes at a time, stills at
28x28; a class of more than `CLASS_MAPS` stills is clustered on an even sample, and the others join the nearest mean.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch import spray
from fer_batch.prototypes.stages import letter
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition, encode, pack_maps, rows_of, unpack_maps
from fer_batch.storage.store import Store
from fer_batch.types import Clustering

CLASS_MAPS = 50_000  # of one class that are clustered; minutes on two cores, and memory for two such classes
GATHERED_MAPS = 2 * CLASS_MAPS  # of several classes that are held at a time: 300 MB
CLASS_SIDE = 28  # pixels they are averaged down to for clustering
N_EXEMPLARS = 5
SUMS = "_sums"  # of each shard, so that a nightly run reads the maps of its new shards only
WAVE = 64  # tasks at a time: what is in memory does not grow with the collection

Compute = Callable[[list[Any]], list[Any]]


def publish_collection(
    store: Store,
    partition: Partition,
    shards: Sequence[str],
    method: str,
    analysis_id: str,
    metadata: dict[str, object],
    compute: Compute,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Write tables `heatmaps` and `class_prototypes` of a partition.

    Parameters
    ----------
    compute
        Runs a list of Dask tasks.
    options
        Of `spray.cluster`.
    """
    sums: dict[str, dict[str, Any]] = {}
    for part in _over_shards(compute, kept_sums, store, partition, shards):
        for target, new in part.items():
            own = sums.setdefault(target, {"n": 0, "n_stills": 0, "sum": np.zeros(new["sum"].shape)})
            for key in own:
                own[key] = own[key] + new[key]
    heatmaps = []
    for target, own in sorted(sums.items()):
        mean, scale = pack_maps((own["sum"] / own["n"])[None])
        heatmaps.append({"group": target, "method": method, "n": own["n"], **_map_columns(mean[0], float(scale[0]))})

    classes: list[dict[str, Any]] = []
    n_stills = {target: own["n_stills"] for target, own in sorted(sums.items()) if own["n_stills"]}
    for targets in _groups(n_stills):
        below = {target: _share(CLASS_MAPS / n_stills[target]) for target in targets}
        gathered: dict[str, dict[str, NDArray[np.float32]]] = {target: {} for target in targets}
        for part in _over_shards(compute, shard_stills, store, partition, shards, below):
            for target, maps in part.items():
                gathered[target] |= maps
        for target in targets:
            maps = gathered.pop(target)
            sampled = len(maps) < n_stills[target]
            names = sorted(maps)
            stacked = np.stack([maps.pop(name) for name in names])
            found = spray.cluster(stacked, **(options or {}), map_pieces=_spread(compute))
            clusters = members(stacked, names, found.labels)
            if sampled and clusters:
                means = [cluster["sum"] / cluster["n"] for cluster in clusters]
                others = {target: (below[target], np.stack(means))}
                for part in _over_shards(compute, shard_others, store, partition, shards, others):
                    clusters = [_merged(*pair) for pair in zip(clusters, part[target], strict=True)]
            decision = _decision(found) | {"analysis_id": analysis_id}
            classes.extend(_class_row(target, k, own) | decision for k, own in enumerate(clusters))
    for name, rows in (("heatmaps", heatmaps), ("class_prototypes", classes)):
        store.put(f"{partition.folder(name)}/collection.parquet", encode(rows_of(name, rows), metadata))


def kept_sums(output: str, partition: Partition, shard: str) -> dict[str, dict[str, Any]]:
    """`shard_sums`, from the file it left as long as the maps are those it was made of."""
    store = Store(output)
    maps = next(store.walk(f"{partition.folder('relevance')}/{shard}.parquet"))
    version = f"{maps.size}:{maps.version}"
    path = f"{SUMS}/{digest(asdict(partition))}/{shard}.npz"
    try:
        with np.load(io.BytesIO(store.read_bytes(path)), allow_pickle=False) as kept:
            if str(kept["version"]) == version:
                counts = zip(kept["targets"].tolist(), kept["n"].tolist(), kept["n_stills"].tolist(), strict=True)
                return {t: {"n": n, "n_stills": m, "sum": kept[f"sum_{t}"]} for t, n, m in counts}
    except FileNotFoundError:
        pass
    found = shard_sums(output, partition, shard)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        version=version,
        targets=np.array(list(found), dtype=np.str_),
        n=np.array([own["n"] for own in found.values()], np.int64),
        n_stills=np.array([own["n_stills"] for own in found.values()], np.int64),
        **{f"sum_{target}": own["sum"] for target, own in found.items()},
    )
    store.put(path, buffer.getvalue())
    return found


def shard_sums(output: str, partition: Partition, shard: str) -> dict[str, dict[str, Any]]:
    """Of each target in one shard: number of maps, of stills among them, and the sum of the maps over their scales."""
    found: dict[str, dict[str, Any]] = {}
    for target, name, values in _maps(output, partition, shard):
        own = found.setdefault(target, {"n": 0, "n_stills": 0, "sum": np.zeros(values.shape)})
        own["sum"] += values / np.abs(values).max()
        own["n"] += 1
        own["n_stills"] += name is not None
    return found


def shard_stills(
    output: str, partition: Partition, shard: str, below: Mapping[str, str]
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Small maps of the stills of one shard by name, of each target those whose names' digests are below its bound."""
    found: dict[str, dict[str, NDArray[np.float32]]] = {target: {} for target in below}
    for target, name, values in _maps(output, partition, shard):
        if name is not None and target in below and digest(name) < below[target]:
            found[target][name] = _small(values)
    return found


def shard_others(
    output: str, partition: Partition, shard: str, means: Mapping[str, tuple[str, NDArray[np.floating]]]
) -> dict[str, list[dict[str, Any]]]:
    """`members` of the stills of one shard that `shard_stills` left out, each in the cluster with the nearest mean."""
    found = {target: _no_members(len(centres)) for target, (_, centres) in means.items()}
    waiting: dict[str, dict[str, NDArray[np.float32]]] = {target: {} for target in means}

    def join(target: str) -> None:
        names = list(waiting[target])
        if names:
            maps = np.stack([waiting[target].pop(name) for name in names])
            labels = _nearest(maps, means[target][1])
            new = members(maps, names, labels, means[target][1])
            found[target] = [_merged(*pair) for pair in zip(found[target], new, strict=True)]

    for target, name, values in _maps(output, partition, shard):
        if name is not None and target in means and digest(name) >= means[target][0]:
            waiting[target][name] = _small(values)
            if len(waiting[target]) >= 1024:
                join(target)
    for target in means:
        join(target)
    return found


def members(
    maps: NDArray[np.float32],
    names: Sequence[str],
    labels: NDArray[np.int64],
    means: NDArray[np.floating] | None = None,
) -> list[dict[str, Any]]:
    """Of every cluster: number and sum of its maps, and the distances and names of those nearest to its mean.

    Distances are between maps divided by their sums of |R|; of equals the first by name comes first.
    """
    if means is None:
        means = spray.cluster_means(maps, labels)
    rows, centres = _unit_mass(maps), _unit_mass(means).astype(np.float32)
    clusters = []
    for k, centre in enumerate(centres):
        own = np.flatnonzero(labels == k)
        distance = np.linalg.norm(rows[own] - centre, axis=1)
        near = sorted(zip(distance.tolist(), (names[i] for i in own.tolist()), strict=True))[:N_EXEMPLARS]
        clusters.append({"n": len(own), "sum": maps[own].sum(0, dtype=np.float64), "near": near})
    return clusters


def _no_members(n_clusters: int) -> list[dict[str, Any]]:
    return [{"n": 0, "sum": 0.0, "near": []} for _ in range(n_clusters)]


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    near = sorted([*one["near"], *other["near"]])[:N_EXEMPLARS]
    return {"n": one["n"] + other["n"], "sum": one["sum"] + other["sum"], "near": near}


def _unit_mass(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    """Maps as rows, each divided by its sum of |R|."""
    rows = maps.reshape(len(maps), -1)
    mass = np.abs(rows).sum(axis=1, keepdims=True)
    return rows / np.where(mass > 0, mass, 1)


def _nearest(maps: NDArray[np.floating], means: NDArray[np.floating]) -> NDArray[np.int64]:
    rows, centres = _unit_mass(maps), _unit_mass(means)
    labels = ((centres**2).sum(1) - 2.0 * (rows @ centres.T)).argmin(axis=1)
    return np.where(rows.any(axis=1), labels, -1)


def _over_shards(
    compute: Compute,
    function: Callable[..., Any],
    store: Store,
    partition: Partition,
    shards: Sequence[str],
    *more: Any,
) -> Iterator[Any]:
    """Results of `function(output, partition, shard, *more)` in the order of the shards."""
    import dask

    task = dask.delayed(function, pure=False)
    for start in range(0, len(shards), WAVE):
        yield from compute([task(store.uri, partition, shard, *more) for shard in shards[start : start + WAVE]])


def _spread(compute: Compute) -> Callable[[Callable[[Any, Any], Any], Any, Sequence[Any]], Iterable[Any]]:
    """Pieces of a neighbour search as Dask tasks."""
    import dask

    def spread(function: Callable[[Any, Any], Any], shared: Any, pieces: Sequence[Any]) -> Iterator[Any]:
        if len(pieces) == 1:
            yield function(shared, pieces[0])
            return
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


def _maps(output: str, partition: Partition, shard: str) -> Iterator[tuple[str, str | None, NDArray[np.float32]]]:
    """Target, name and map of every defined map of a shard; the name is None where it is not of a still."""
    store = Store(output)
    with store.fs.open(store.path(f"{partition.folder('sequences')}/{shard}.parquet"), "rb") as handle:
        kinds = pq.read_table(handle, columns=["sequence_id", "kind"])
    stills = set(kinds.filter(pc.equal(kinds["kind"], "still"))["sequence_id"].to_pylist())
    columns = ["sequence_id", "frame_index", "target", "height", "width", "scale", "relevance"]
    with store.fs.open(store.path(f"{partition.folder('relevance')}/{shard}.parquet"), "rb") as handle:
        for batch in pq.ParquetFile(handle).iter_batches(batch_size=256, columns=columns):
            rows = pa.Table.from_batches([batch])
            scale = rows["scale"].fill_null(0).to_numpy()
            keys = [rows[name].to_pylist() for name in ("target", "sequence_id", "frame_index")]
            for own_scale, values, target, sequence_id, frame in zip(scale, unpack_maps(rows), *keys, strict=True):
                if own_scale > 0:
                    yield target, f"{sequence_id}#{frame}" if sequence_id in stills else None, values


def _small(values: NDArray[np.float32]) -> NDArray[np.float32]:
    side = min(CLASS_SIDE, *values.shape)
    return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _map_columns(values: NDArray[np.float32], scale: float) -> dict[str, Any]:
    return {"height": values.shape[0], "width": values.shape[1], "scale": scale, "relevance": values.ravel()}


def _class_row(target: str, k: int, own: dict[str, Any]) -> dict[str, Any]:
    values, scale = pack_maps((own["sum"] / own["n"])[None])
    return {
        "target": target,
        "cluster": letter(k),
        "n_frames": own["n"],
        "exemplars": [name for _, name in own["near"]],
        **_map_columns(values[0], float(scale[0])),
    }


def _decision(found: Clustering) -> dict[str, Any]:
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
