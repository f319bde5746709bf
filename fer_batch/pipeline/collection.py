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
from fer_batch.storage.parquet import Partition, encode, pack_maps, rows_of, unpack_maps
from fer_batch.storage.store import Store

CLASS_MAPS = 2000  # of one class that are clustered; more are sampled evenly
CLASS_SIDE = 28  # pixels they are averaged down to for clustering
N_EXEMPLARS = 5


def shard_maps(output: str, partition: Partition, shard: str, n_samples: int) -> dict[str, dict[str, Any]]:
    """Sums of the normalised maps of one shard, and evenly spaced samples of its stills, for each target."""
    store = Store(output)
    stills = set()
    with store.fs.open(store.path(f"{partition.folder('sequences')}/{shard}.parquet"), "rb") as handle:
        kinds = pq.read_table(handle, columns=["sequence_id", "kind"])
        stills.update(kinds.filter(pc.equal(kinds["kind"], "still"))["sequence_id"].to_pylist())
    found: dict[str, dict[str, Any]] = {}
    with store.fs.open(store.path(f"{partition.folder('relevance')}/{shard}.parquet"), "rb") as handle:
        file = pq.ParquetFile(handle)
        totals = pq.ParquetFile(handle).read(columns=["target"])["target"].value_counts().to_pylist()
        steps = {t["values"]: max(1, -(-t["counts"] // max(1, n_samples))) for t in totals}
        for batch in file.iter_batches(batch_size=256):
            rows = pa.Table.from_batches([batch])
            scale = rows["scale"].fill_null(0).to_numpy()
            for index, values in enumerate(unpack_maps(rows)):
                if not scale[index] > 0:
                    continue
                target = rows["target"][index].as_py()
                own = found.setdefault(target, {"n": 0, "sum": np.zeros(values.shape), "maps": [], "names": []})
                own["sum"] += values / scale[index]
                sequence_id = rows["sequence_id"][index].as_py()
                if sequence_id in stills and own["n"] % steps[target] == 0:
                    own["maps"].append(values)
                    own["names"].append(f"{sequence_id}#{rows['frame_index'][index].as_py()}")
                own["n"] += 1
    for own in found.values():
        own["maps"] = [_small(values) for values in own["maps"]]
    return found


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

    n_samples = -(-CLASS_MAPS // max(1, len(shards)))
    task = dask.delayed(shard_maps, pure=False)
    parts = compute([task(store.uri, partition, shard, n_samples) for shard in shards])
    heatmaps, classes = [], []
    for target in sorted({name for part in parts for name in part}):
        own = [part[target] for part in parts if target in part]
        n = sum(part["n"] for part in own)
        mean, scale = pack_maps((sum(part["sum"] for part in own) / n)[None])
        heatmaps.append({"group": target, "method": method, "n": n, **_map_columns(mean[0], float(scale[0]))})
        maps = [values for part in own for values in part["maps"]]
        if maps:
            names = [name for part in own for name in part["names"]]
            classes.extend(_class_rows(target, np.stack(maps), names, analysis_id))
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
