"""Writing files of tables, whole or piece by piece, with what is recorded of them: `storage.published`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fer_batch.storage.parquet import ROW_GROUP, encode, settings, with_metadata, without_nan
from fer_batch.storage.published import FileState, PublishedFile, recorded
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

ROW_GROUP_BYTES = 64 << 20


def put_table(
    store: Store, path: str, table: pa.Table, metadata: Mapping[str, object] | None = None, keep_same: bool = False
) -> None:
    """Write a whole file of a table that no shard marker names, with its record.

    Parameters
    ----------
    store, path
        Where the file appears.
    table, metadata
        As `encode` takes them.
    keep_same
        Whether a file that would be the same stays as it is.
    """
    data = encode(table, metadata)
    same = keep_same and store.exists(path) and store.read_bytes(path) == data
    with recorded(store, path, FileState.of(data, table.num_rows)):
        if not same:
            store.put(path, data)


class TableWriter:
    """Writes one Parquet file piece by piece; it appears in the store whole, when the `with` block ends well.

    Parameters
    ----------
    store, path
        Where the file appears.
    name
        Table whose schema it has.
    metadata
        For the file's key-value metadata.
    record
        Whether it gets a record of its own, because no shard marker names it.
    """

    def __init__(
        self,
        store: Store,
        path: str,
        name: str,
        metadata: Mapping[str, object] | None = None,
        record: bool = False,
    ) -> None:
        self.store, self.path, self.record = store, path, record
        self.schema = with_metadata(SCHEMAS[name], metadata)

    def __enter__(self) -> TableWriter:
        with ExitStack() as stack:
            self._file = stack.enter_context(PublishedFile(self.store, self.path, self.record))
            writer = pq.ParquetWriter(self._file.sink, self.schema, **settings(self.schema))
            self._writer = stack.enter_context(writer)
            self._pending: list[pa.Table] = []
            self._n_rows = self._n_bytes = 0
            self._stack = stack.pop_all()
        return self

    @property
    def state(self) -> FileState:
        """What the file is, once the block has ended well."""
        return self._file.state

    def write(self, table: pa.Table) -> None:
        """Append rows; they are gathered into row groups, because rows may come one by one."""
        if not table.num_rows:
            return
        self._file.n_rows += table.num_rows
        self._pending.append(without_nan(table).cast(self.schema))
        self._n_rows += table.num_rows
        self._n_bytes += table.nbytes
        if self._n_rows >= ROW_GROUP or self._n_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.concat_tables(self._pending).combine_chunks(), row_group_size=ROW_GROUP)
            self._pending, self._n_rows, self._n_bytes = [], 0, 0

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                self._flush()
        except BaseException:
            error = sys.exc_info()
            raise
        finally:
            self._stack.__exit__(*error)
