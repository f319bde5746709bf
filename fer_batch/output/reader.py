"""The one reader of published tables: of a partition, by shard, by sequence and by column, in bounded memory.

What is a query over many rows goes to DuckDB instead: `fer_batch.output.query.connect` with `Partition.key`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from fer_batch.output.table_file import TableFile, empty
from fer_batch.storage.markers import Row
from fer_batch.storage.parquet import Partition, read, with_defaults
from fer_batch.storage.published import published_files
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

Reader = Callable[[str, Sequence[str]], pa.Table]
"""Rows of one sequence, given a table and columns of it."""


def partitions(store: Store) -> list[Partition]:
    """Partitions that have published sequences, sorted."""
    found = set()
    for entry in published_files(store, "tables/sequences"):
        keys = dict(part.split("=", 1) for part in entry.path.split("/")[:-1] if "=" in part)
        if {"dataset", "model", "explain"} <= set(keys):
            found.add((keys["dataset"], keys["model"], keys["explain"]))
    return [Partition(*keys) for keys in sorted(found)]


class PartitionReader:
    """The published tables of a partition."""

    def __init__(self, store: Store, partition: Partition) -> None:
        self.store, self.partition = store, partition

    def table(self, name: str, columns: Sequence[str] | None = None, where: pads.Expression | None = None) -> pa.Table:
        """Rows of a table over all shards, in file order; only files of the partition are opened.

        Parameters
        ----------
        name
            The table.
        columns
            What to read; None takes all, and those of the partition.
        where
            Which rows, as `pyarrow.dataset` takes it.
        """
        names = None if columns is None else list(columns)
        return read(self.store, name, **self.partition.key, columns=names, filters=where)

    def shards(self) -> Iterator[ShardReader]:
        """Every published shard, by name."""
        for entry in published_files(self.store, self.partition.folder("sequences")):
            yield self.shard(entry.path.rpartition("/")[2])

    def shard(self, file: str) -> ShardReader:
        """One shard, given the name that its files have in every table."""
        return ShardReader(self.store, self.partition, file)

    def targets(self) -> list[str]:
        """What the outputs of the network stand for, in their order.

        Every ok frame has a row of table `detections` for each output, in the order of the network's card.
        """
        for shard in self.shards():
            for row in shard.sequences:
                found = shard.of(row["sequence_id"])("detections", ("frame_index", "target"))
                if found.num_rows:
                    return found.filter(pc.equal(found["frame_index"], found["frame_index"][0]))["target"].to_pylist()
        return []


class ShardReader:
    """The tables of one shard, read as they are needed.

    Parameters
    ----------
    store, partition
        Where.
    file
        Name of the shard's file, the same in every table.
    """

    def __init__(self, store: Store, partition: Partition, file: str) -> None:
        self.store, self.partition, self.file = store, partition, file
        self._files: dict[str, TableFile | None] = {}

    @property
    def sequences(self) -> list[Row]:
        """Rows of table `sequences`, by sequence."""
        return self.table("sequences").sort_by("sequence_id").to_pylist()

    def of(self, sequence_id: str) -> Reader:
        """A reader of (table, columns) for one sequence."""

        def rows(table: str, columns: Sequence[str]) -> pa.Table:
            opened = self.opened(table)
            return opened.of(sequence_id, columns) if opened else empty(table, columns)

        return rows

    def opened(self, table: str) -> TableFile | None:
        """The shard's file of a table, for rows by sequence or by number; None where it has none."""
        if table not in self._files:
            path = self.path(table)
            self._files[table] = TableFile(self.store, path, table) if self.store.exists(path) else None
        return self._files[table]

    def path(self, table: str) -> str:
        """The shard's file of a table, relative to the output."""
        return f"{self.partition.folder(table)}/{self.file}"

    def count(self, table: str) -> int:
        """Rows of a table; 0 where the shard has none."""
        opened = self.opened(table)
        return opened.n_rows if opened else 0

    def metadata(self, table: str) -> Mapping[bytes, bytes]:
        """Key-value metadata of the shard's file of a table."""
        opened = self.opened(table)
        return opened.metadata if opened else {}

    def table(self, name: str, columns: Sequence[str] | None = None, where: pads.Expression | None = None) -> pa.Table:
        """Rows of all sequences of the shard; none where it has no such table.

        Parameters
        ----------
        name
            The table.
        columns
            What to read; None takes all.
        where
            Which rows, as `pyarrow.dataset` takes it.
        """
        source = self._dataset(name)
        names = None if columns is None else list(columns)
        return empty(name, names) if source is None else with_defaults(name, source.to_table(names, filter=where))

    def batches(self, name: str, columns: Sequence[str], n_rows: int) -> Iterator[pa.Table]:
        """The same piece by piece, so that maps of a whole shard are never in memory together.

        Parameters
        ----------
        name, columns
            The table, and what to read of it.
        n_rows
            Of a piece, at most.
        """
        opened = self.opened(name)
        for start in range(0, opened.n_rows if opened else 0, n_rows):
            pieces = opened.rows(start, min(start + n_rows, opened.n_rows), columns) if opened else ()
            yield pa.concat_tables(pieces)

    def _dataset(self, table: str) -> pads.Dataset | None:
        path = self.path(table)
        if not self.store.exists(path):
            return None
        schema = SCHEMAS[table]  # an old file may lack a column
        return pads.dataset(self.store.path(path), schema=schema, format="parquet", filesystem=self.store.fs)
