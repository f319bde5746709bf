"""Rows of one sequence after another, from the published tables of a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from fer_batch.storage.parquet import Partition, with_defaults
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

WHOLE_TABLE_ROWS = 1_000_000  # up to here a shard's table is read once, beyond that per sequence

Reader = Callable[[str, Sequence[str]], pa.Table]


def partitions(store: Store) -> list[Partition]:
    """Partitions that have published sequences, sorted."""
    found = set()
    for entry in store.walk("tables/sequences"):
        keys = dict(part.split("=", 1) for part in entry.path.split("/")[:-1] if "=" in part)
        if {"dataset", "model", "explain"} <= set(keys):
            found.add((keys["dataset"], keys["model"], keys["explain"]))
    return [Partition(*keys) for keys in sorted(found)]


def published_shards(store: Store, partition: Partition) -> Iterator[ShardRows]:
    """Every shard of a partition, by name."""
    for name in store.names(partition.folder("sequences")):
        if name.endswith(".parquet"):
            yield ShardRows(store, partition, name)


def targets_of(store: Store, partition: Partition) -> list[str]:
    """What the outputs of the network stand for, in their order: as the first frame with detections has them."""
    for shard in published_shards(store, partition):
        for row in shard.sequences:
            found = shard.of(row["sequence_id"])("detections", ("frame_index", "target"))
            if found.num_rows:
                return found.filter(pc.equal(found["frame_index"], found["frame_index"][0]))["target"].to_pylist()
    return []


class ShardRows:
    """The tables of one shard, read as they are needed."""

    def __init__(self, store: Store, partition: Partition, file: str) -> None:
        self.store, self.partition, self.file = store, partition, file
        self._whole: dict[tuple[str, ...], _BySequence] = {}  # by table and columns: stills ask for others than videos

    @property
    def sequences(self) -> list[dict[str, Any]]:
        """Rows of table `sequences`."""
        table = self._dataset("sequences")
        return [] if table is None else table.to_table().sort_by("sequence_id").to_pylist()

    def of(self, sequence_id: str) -> Reader:
        """A reader of (table, columns) for one sequence."""
        return lambda table, columns: self._rows(table, columns, sequence_id)

    def _dataset(self, table: str) -> pads.Dataset | None:
        path = f"{self.partition.folder(table)}/{self.file}"
        if not self.store.exists(path):
            return None
        schema = SCHEMAS[table]  # an old file may lack a column
        return pads.dataset(self.store.path(path), schema=schema, format="parquet", filesystem=self.store.fs)

    def _rows(self, table: str, columns: Sequence[str], sequence_id: str) -> pa.Table:
        key = (table, *columns)
        if key not in self._whole:
            source = self._dataset(table)
            if source is None:
                return pa.table({name: pa.nulls(0) for name in columns})
            # Videos of hours fill tables that need not be in memory together.
            if source.count_rows() > WHOLE_TABLE_ROWS:
                found = source.to_table(columns=list(columns), filter=pads.field("sequence_id") == sequence_id)
                return with_defaults(table, found)
            found = source.to_table(columns=["sequence_id", *columns])
            self._whole[key] = _BySequence(with_defaults(table, found))
        return self._whole[key].of(sequence_id).select(list(columns))


class _BySequence:
    """A table with the rows of each sequence together, in their order, so that one of thousands costs no search."""

    def __init__(self, table: pa.Table) -> None:
        names = table["sequence_id"].combine_chunks()
        names = pc.dictionary_encode(names)
        codes = names.indices.to_numpy(zero_copy_only=False)
        if (np.diff(codes) < 0).any():
            table = table.take(pa.array(np.argsort(codes, kind="stable")))
            codes = np.sort(codes)
        self._table = table
        starts = np.searchsorted(codes, np.arange(len(names.dictionary) + 1)).tolist()
        self._place = {
            name: (start, end - start)
            for name, start, end in zip(names.dictionary.to_pylist(), starts[:-1], starts[1:], strict=True)
        }

    def of(self, sequence_id: str) -> pa.Table:
        return self._table.slice(*self._place.get(sequence_id, (0, 0)))
