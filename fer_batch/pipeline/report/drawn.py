"""Which pages of sequences are drawn, and from what: the marker of each shard, and the task that draws a shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import pyarrow.parquet as pq

from fer_batch import __version__
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.report import DRAWING
from fer_batch.pipeline.report.data import SequenceTables, occurrences
from fer_batch.pipeline.report.sequence import PageOptions, sequence_files
from fer_batch.storage.manifest import digest, dump, json_of
from fer_batch.storage.published import published_files
from fer_batch.storage.store import Store
from fer_batch.types import READ, InputError
from fer_batch.visualize.colours import Palette

_TABLES = (
    "sequences", "frames", "detections", "prototypes", "stages", "temporal_prototypes", "cluster_looks", "episodes",
)  # fmt: skip


def marker_path(file: str) -> str:
    """Where the report says that the pages of a shard are drawn, and from what."""
    return f"drawn/{file.removesuffix('.parquet')}.json"


def drawn_from(store: Store, options: PageOptions, shards: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Of each shard, a digest of what its pages are drawn from.

    Parameters
    ----------
    shards
        First and last sequence of each.
    """
    tables = [store.files(options.partition.folder(name)) for name in _TABLES]
    truth = _truth_files(store, options.partition.folder("annotations"))
    common = digest([__version__, DRAWING, asdict(options)])
    found = {}
    for file, (first, last) in shards.items():
        own = [(entry.size, entry.version) if (entry := table.get(file)) else None for table in tables]
        # Ground truth is not cut like the shards: what may be about this one.
        about = [version for version, low, high in truth if low <= last and first <= high]
        found[file] = digest([common, own, about])
    return found


def _truth_files(store: Store, folder: str) -> list[tuple[tuple[str, int, str], str, str]]:
    """Version, first and last sequence of every file of annotations that has rows."""
    found = []
    for entry in published_files(store, folder):
        with store.fs.open(store.path(entry.path), "rb") as handle:
            footer = pq.ParquetFile(handle).metadata
        column = footer.schema.names.index("sequence_id")
        groups = [footer.row_group(i).column(column).statistics for i in range(footer.num_row_groups)]
        known = [group for group in groups if group is not None and group.has_min_max]
        if known:
            bounds = min(group.min for group in known), max(group.max for group in known)
            found.append(((entry.path.rpartition("/")[2], entry.size, entry.version), *bounds))
    return found


def draw_shard(output: str, file: str, key: str, options: PageOptions) -> int:
    """Write the pages and thumbnails of a shard, its marker last.

    Returns
    -------
    int
        Pages that were written.
    """
    store = Store(output)
    shard = PartitionReader(store, options.partition).shard(file)
    rows = [row for row in shard.sequences if row["status"] in READ and row["kind"] != "still"]
    truth = occurrences(store, options.partition.dataset, (row["sequence_id"] for row in rows), options.rule)
    palette = Palette(options.targets, options.summary.maps)
    has_episodes = shard.opened("episodes") is not None
    for row in rows:
        sequence = SequenceTables(shard.of(row["sequence_id"]), row, options.crop_size, has_episodes)
        for path, content in sequence_files(sequence, palette, options, truth.get(row["sequence_id"], {})):
            store.put(f"{options.folder}/{path}", content)
    store.put(f"{options.folder}/{marker_path(file)}", dump({"from": key}))
    return len(rows)


def is_drawn(store: Store, options: PageOptions, file: str, key: str) -> bool:
    """Whether the pages of a shard are there, drawn from what is there now."""
    path = f"{options.folder}/{marker_path(file)}"
    try:
        return store.exists(path) and json_of(store, path, ("from",))["from"] == key
    except InputError:  # it is cut off: the pages are drawn again
        return False
