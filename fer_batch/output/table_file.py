"""One published file of a table, read by sequence: only the row groups that are asked for, some of them kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fer_batch.storage.parquet import with_defaults
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

KEEP_BYTES = 256 << 20  # of the pieces of a file that were read last

Span = tuple[int, int]


class RecentTables:
    """The tables that were loaded last, up to `KEEP_BYTES` and at least one."""

    def __init__(self) -> None:
        self._tables: dict[Hashable, pa.Table] = {}
        self._n_bytes = 0

    def get(self, key: Hashable, load: Callable[[], pa.Table]) -> pa.Table:
        """The table of a key, loaded where it is not kept."""
        if key not in self._tables:
            table = load()
            self._n_bytes += table.nbytes
            while self._tables and self._n_bytes > KEEP_BYTES:
                self._n_bytes -= self._tables.pop(next(iter(self._tables))).nbytes
            self._tables[key] = table
        return self._tables[key]


class TableFile:
    """Rows of one Parquet file of a table, in its schema: a column that an older file lacks has its declared default.

    Parameters
    ----------
    store, path
        Where the file is.
    name
        Its table.
    """

    def __init__(self, store: Store, path: str, name: str) -> None:
        self.where, self.name = store.url(path), name
        self._file = pq.ParquetFile(store.fs.open(store.path(path), "rb"), read_dictionary=["sequence_id"])
        groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._ends = np.cumsum(groups, dtype=np.int64)
        self._recent = RecentTables()

    @property
    def n_rows(self) -> int:
        """Rows of the file, from its footer."""
        return int(self._file.metadata.num_rows)

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """Key-value metadata of the file, as `storage.parquet.encode` wrote it."""
        return self._file.schema_arrow.metadata or {}

    @cached_property
    def _spans(self) -> dict[str, list[Span]]:
        """First row and the row after the last of every run of rows of a sequence, in file order."""
        codes = self._file.read(columns=["sequence_id"])["sequence_id"].unify_dictionaries().combine_chunks()
        spans: dict[str, list[Span]] = {}
        if len(codes):
            index = np.asarray(codes.indices)
            starts = np.concatenate([[0], np.flatnonzero(np.diff(index)) + 1]).tolist()
            names = codes.dictionary.take(pa.array(index[starts])).to_pylist()
            for name, start, stop in zip(names, starts, [*starts[1:], len(index)], strict=True):
                spans.setdefault(name, []).append((start, stop))
        return spans

    def first_row(self, sequence_id: str) -> int:
        """Number of the first row of a sequence in the file; 0 where it has none."""
        return self._spans.get(sequence_id, [(0, 0)])[0][0]

    def rows(self, start: int, stop: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Rows of the file, by row group.

        Parameters
        ----------
        start, stop
            First row, and the row after the last.
        columns
            What to read; None takes all.
        """
        if stop <= start:
            return
        names = None if columns is None else tuple(columns)
        first_group, last_group = np.searchsorted(self._ends, [start, stop - 1], side="right").tolist()
        for group in range(first_group, last_group + 1):
            table = self._recent.get((group, names), partial(self._group, group, names))
            first = int(self._ends[group - 1]) if group else 0
            low = max(start - first, 0)
            yield table.slice(low, min(stop - first, table.num_rows) - low)

    def of(self, sequence_id: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a sequence, in file order."""
        spans = self._spans.get(sequence_id, [])
        found = [piece for start, stop in spans for piece in self.rows(start, stop, columns)]
        return pa.concat_tables(found) if found else empty(self.name, columns)

    def _group(self, group: int, columns: tuple[str, ...] | None) -> pa.Table:
        schema = _schema(self.name, columns)
        there = set(self._file.schema_arrow.names)
        found = self._file.read_row_group(group, columns=[name for name in schema.names if name in there])
        n_rows = self._file.metadata.row_group(group).num_rows
        arrays = [
            found[field.name].cast(field.type) if field.name in there else pa.nulls(n_rows, field.type)
            for field in schema
        ]
        return with_defaults(self.name, pa.table(arrays, schema=schema)).combine_chunks()


def _schema(name: str, columns: Sequence[str] | None) -> pa.Schema:
    schema = SCHEMAS[name]
    return schema if columns is None else pa.schema([schema.field(column) for column in columns])


def empty(name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """No rows of a table, with the types of its columns."""
    return _schema(name, columns).empty_table()
