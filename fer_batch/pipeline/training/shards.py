"""The crops of a job as few large files, which every epoch reads at the speed of memory."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fer_batch.pipeline.progress import progress
from fer_batch.storage.manifest import digest, dump, json_of
from fer_batch.storage.parquet import decode, encode
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

SHARD_FRAMES = 8192  # 0.3 GB of 112x112 crops
ROWS = pa.schema(
    [
        ("dataset", pa.string()),
        ("subject_id", pa.string()),
        ("sequence_id", pa.string()),
        ("frame_index", pa.int64()),
        ("split", pa.string()),
        ("emotion", pa.string()),
        ("timestamp_ns", pa.int64()),
        ("face_box", pa.list_(pa.float32())),
        ("crop_matrix", pa.list_(pa.float64())),
        ("landmarks", pa.list_(pa.float32())),
        ("targets", pa.list_(pa.string())),
        ("intensity", pa.list_(pa.float32())),
        ("occurrence", pa.list_(pa.bool_())),
    ]
)
_INPUTS = pa.schema(
    [*(field for field in SCHEMAS["sequences"] if field.name != "run_id"), pa.field("dataset", pa.string())]
)


Row = Mapping[str, Any]  # of a table


@dataclass(frozen=True)
class Crops:
    """The crops of a job.

    Attributes
    ----------
    folder
        Under the output.
    shards
        Names without suffix: `<name>.npy` holds crops, `<name>.parquet` their rows.
    size
        Side of the crops.
    frames
        Of all inputs together, how many have which status; empty where they were cut before that was kept.
    """

    folder: str
    shards: tuple[str, ...]
    size: int
    frames: tuple[tuple[str, int], ...] = ()

    def rows(self, store: Store) -> pa.Table:
        """Rows of all crops, in their order."""
        parts = [decode(store.read_bytes(f"{self.folder}/{name}.parquet")) for name in self.shards]
        return pa.concat_tables(parts, promote_options="default") if parts else ROWS.empty_table()

    def inputs(self, store: Store) -> list[Row]:
        """Rows of table `sequences`, without `run_id` and with `dataset`."""
        return decode(store.read_bytes(f"{self.folder}/inputs.parquet")).to_pylist()

    def files(self, store: Store) -> list[str]:
        """Local paths of the crops; those of an object store are copied here once."""
        if store.local:
            return [store.path(f"{self.folder}/{name}.npy") for name in self.shards]
        here = Path(tempfile.gettempdir()) / f"fer_batch-{digest([store.uri, self.folder])}"
        here.mkdir(mode=0o700, exist_ok=True)
        for name in self.shards:
            if not (here / f"{name}.npy").exists():
                part = here / f"{name}.{os.getpid()}.tmp"
                store.fs.get_file(store.path(f"{self.folder}/{name}.npy"), str(part))
                part.replace(here / f"{name}.npy")
        return [str(here / f"{name}.npy") for name in self.shards]


def read_crops(store: Store, folder: str) -> Crops | None:
    """Crops that are all there; None where they are not."""
    if not store.exists(f"{folder}/crops.json"):
        return None
    found = json_of(store, f"{folder}/crops.json", ("shards", "size"))
    return Crops(folder, tuple(found["shards"]), found["size"], tuple(sorted(found.get("frames", {}).items())))


def consolidate(store: Store, folder: str, units: Sequence[tuple[str, str]], size: int) -> Crops:
    """Few large files out of many small ones, in the order of the listing; needs a running Ray.

    Parameters
    ----------
    store, folder
        Where the crops of the job lie.
    units
        Pairs of id and dataset.
    size : pixels
        Side of the crops.
    """
    tables = (
        (unit_id, dataset, decode(store.read_bytes(f"{folder}/units/{unit_id}.parquet"))) for unit_id, dataset in units
    )
    shards: list[list[str]] = [[]]
    n_frames, inputs = 0, []
    frames: Counter[str] | None = Counter()
    for unit_id, dataset, table in tables:
        frames = _added(frames, table)
        for sequence in json.loads(table.schema.metadata[b"sequences"]):
            inputs.append({**sequence, "dataset": dataset, "unit_id": unit_id})
        if shards[-1] and n_frames + table.num_rows > SHARD_FRAMES:
            shards.append([])
            n_frames = 0
        shards[-1].append(unit_id)
        n_frames += table.num_rows
    names = _write_shards(store, folder, shards, size)
    store.put(f"{folder}/inputs.parquet", encode(pa.Table.from_pylist(inputs, _INPUTS)))
    found = {"shards": names, "size": size} | ({} if frames is None else {"frames": dict(frames)})
    store.put(f"{folder}/crops.json", dump(found))
    store.delete(f"{folder}/units")
    return Crops(folder, tuple(names), size, tuple(sorted((frames or {}).items())))


def _added(frames: Counter[str] | None, table: pa.Table) -> Counter[str] | None:
    """Frames by status with those of one more unit; None where a unit was cut before they were counted."""
    counted = table.schema.metadata.get(b"frames")
    if frames is None or counted is None:
        return None
    return sum(map(Counter, json.loads(counted).values()), frames)


def _write_shards(store: Store, folder: str, shards: Sequence[Sequence[str]], size: int) -> list[str]:
    """Write one shard of crops for each list of unit ids, on Ray; their names."""
    import ray

    names = [f"shard-{number:05d}" for number in range(len(shards))]
    task = ray.remote(num_cpus=1)(write_shard)
    with progress("shards of crops", len(shards), "shard") as advance:
        waiting = [task.remote(store.uri, folder, name, ids, size) for name, ids in zip(names, shards, strict=True)]
        while waiting:
            (done, *_), waiting = ray.wait(waiting)
            ray.get(done)
            advance(1)
    return names


def write_shard(output: str, folder: str, name: str, unit_ids: Sequence[str], size: int) -> None:
    """Write the crops of some units as one `.npy`, uint8 of shape (N, size, size, 3), and their rows as Parquet.

    Parameters
    ----------
    output, folder
        Where the crops of the job lie.
    name
        Of the shard.
    unit_ids
        In the order of the crops.
    size : pixels
        Side of the crops.
    """
    store = Store(output)
    tables = [decode(store.read_bytes(f"{folder}/units/{unit_id}.parquet")) for unit_id in unit_ids]
    rows = pa.concat_tables(
        [table.replace_schema_metadata(None) for table in tables], promote_options="default"
    )  # a unit that an earlier version cut lacks columns
    filled = [(unit_id, table.num_rows) for unit_id, table in zip(unit_ids, tables, strict=True) if table.num_rows]
    with store.staged(f"{folder}/{name}.npy") as local:
        if filled:
            _write_images(store, local, [(f"{folder}/units/{unit_id}.u8", n) for unit_id, n in filled], size)
        else:  # a memory map of no pixels cannot be made
            with open(local, "wb") as file:
                np.lib.format.write_array(file, np.zeros((0, size, size, 3), np.uint8))
    store.put(f"{folder}/{name}.parquet", encode(rows))


def _write_images(store: Store, local: str, parts: Sequence[tuple[str, int]], size: int) -> None:
    """Write files of raw crops, each with its number of crops, into one `.npy` file."""
    images = np.lib.format.open_memmap(local, "w+", np.uint8, (sum(n for _, n in parts), size, size, 3))
    start = 0
    for path, n in parts:
        whole = np.memmap(store.path(path), np.uint8, "r") if store.local else store.read_bytes(path)
        images[start : start + n] = np.frombuffer(whole, np.uint8).reshape(-1, size, size, 3)
        start += n
    images.flush()
