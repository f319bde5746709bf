"""What a whole collection shows: one mean map per target, and clusters of each class of stills over the dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

CLASS_MAPS = 2000  # of one class that are clustered; more are sampled
CLASS_SIDE = 28  # pixels they are averaged down to for clustering
N_EXEMPLARS = 5
WAVE = 64  # shards at a time


def shard_maps(output: str, partition: Partition, shard: str) -> dict[str, dict[str, Any]]:
    """Sums of the normalised maps of one shard, and samples of its stills by name, for each target."""
    store = Store(output)
    with store.fs.open(store.path(f"{partition.folder('sequences')}/{shard}.parquet"), "rb") as handle:
        kinds = pq.read_table(handle, columns=["sequence_id", "kind"])
    stills = set(kinds.filter(pc.equal(kinds["kind"], "still"))["sequence_id"].to_pylist())
    found: dict[str, dict[str, Any]] = {}
    with store.fs.open(store.path(f"{partition.folder('relevance')}/{shard}.parquet"), "rb") as handle:
        for batch in pq.ParquetFile(handle).iter_batches(batch_size=256):
            rows = pa.Table.from_batches([batch])
            scale = rows["scale"].fill_null(0).to_numpy()
            for index, values in enumerate(unpack_maps(rows)):
                if not scale[index] > 0:
                    continue
                target = rows["target"][index].as_py()
                own = found.setdefault(target, {"n": 0, "sum": np.zeros(values.shape), "maps": {}})
                own["sum"] += values / scale[index]
                own["n"] += 1
                sequence_id = rows["sequence_id"][index].as_py()
                if sequence_id in stills:
                    own["maps"][f"{sequence_id}#{rows['frame_index'][index].as_py()}"] = _small(values)
                    if len(own["maps"]) > 2 * CLASS_MAPS:
                        own["maps"] = _sample(own["maps"])
    return found


def _sample(maps: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """At most `CLASS_MAPS` of them, chosen by their names alone: the same whatever was published together."""
    return {name: maps[name] for name in sorted(maps, key=digest)[:CLASS_MAPS]}


def _small(values: NDArray[np.float32]) -> NDArray[np.float32]:
    side = min(CLASS_SIDE, *values.shape)
    return cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)


def publish_collection(
    store: Store,
    partition: Partition,
    shards: Sequence[str],
    method: str,
    analysis_id: str,
    metadata: dict[str, object],
    compute: Callable[[list[Any]], list[Any]],
) -> None:
    """Write tables `heatmaps` and `class_prototypes` of a partition."""
    import dask

    task = dask.delayed(shard_maps, pure=False)
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(shards), WAVE):  # what is in memory does not grow with the collection
        for part in compute([task(store.uri, partition, shard) for shard in shards[start : start + WAVE]]):
            for target, new in part.items():
                own = found.setdefault(target, {"n": 0, "sum": np.zeros(new["sum"].shape), "maps": {}})
                own["n"] += new["n"]
                own["sum"] += new["sum"]
                own["maps"] = _sample(own["maps"] | new["maps"])
    heatmaps, classes = [], []
    for target, own in sorted(found.items()):
        mean, scale = pack_maps((own["sum"] / own["n"])[None])
        heatmaps.append({"group": target, "method": method, "n": own["n"], **_map_columns(mean[0], float(scale[0]))})
        names = sorted(own["maps"])
        if names:
            classes.extend(_class_rows(target, np.stack([own["maps"][name] for name in names]), names, analysis_id))
    for name, rows in (("heatmaps", heatmaps), ("class_prototypes", classes)):
        store.put(f"{partition.folder(name)}/collection.parquet", encode(rows_of(name, rows), metadata))


def _map_columns(values: NDArray[np.float32], scale: float) -> dict[str, Any]:
    return {"height": values.shape[0], "width": values.shape[1], "scale": scale, "relevance": values.ravel()}


def _class_rows(target: str, maps: NDArray[np.float32], names: list[str], analysis_id: str) -> list[dict[str, Any]]:
    found = spray.cluster(maps)
    rows = []
    for k, mean in enumerate(spray.cluster_means(maps, found.labels)):
        members = np.flatnonzero(found.labels == k)
        distance = ((maps[members] - mean) ** 2).sum((1, 2))
        nearest = members[np.argsort(distance, kind="stable")[:N_EXEMPLARS]]
        values, scale = pack_maps(mean[None])
        rows.append(
            {
                "target": target,
                "cluster": letter(k),
                "n_frames": len(members),
                "exemplars": [names[i] for i in nearest],
                **_map_columns(values[0], float(scale[0])),
                "spectrum": found.eigenvalues.tolist(),
                "analysis_id": analysis_id,
            }
        )
    return rows
