"""Every column of every row of an output, to be held against those of a run that nothing disturbed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

LEFT_OUT = ("runs",)  # says when and by whom
WHO = "run_id"
Rows = dict[str, Counter]  # of each table, the digest of every row


def rows_of(output: Path | str, without: Collection[str] = (), tables: Iterable[str] = tuple(SCHEMAS)) -> Rows:
    """Rows of the published tables.

    Parameters
    ----------
    output
        Folder or URL.
    without
        Columns that may differ, beside `run_id`.
    tables
        Which; `runs` is never among them.
    """
    store = Store(str(output))
    return {name: digests_of(read(store, name), without) for name in tables if name not in LEFT_OUT}


def digests_of(table: pa.Table, without: Collection[str] = ()) -> Counter:
    """A digest of each row, and how often it is there."""
    names = [name for name in table.column_names if name not in (WHO, *without)]
    found = [hashlib.blake2b(digest_size=16) for _ in range(table.num_rows)]
    for name in names:
        for digest, cell in zip(found, _cells(table[name]), strict=True):
            digest.update(name.encode() + b"\0" + cell + b"\0")
    return Counter(digest.digest() for digest in found)


def _cells(column: pa.ChunkedArray) -> list[bytes]:
    """The values of a column as bytes; maps without a Python object for each of their numbers."""
    kind = column.type
    if not (pa.types.is_list(kind) and pa.types.is_floating(kind.value_type)):
        return [repr(value).encode() for value in column.to_pylist()]
    cells = []
    for chunk in column.chunks:
        numbers, ends = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
        known = chunk.is_valid().to_numpy(zero_copy_only=False)
        cells += [
            np.ascontiguousarray(numbers[a:b]).tobytes() if there else b"NULL"
            for a, b, there in zip(ends[:-1], ends[1:], known, strict=True)
        ]
    return cells


@dataclass
class Difference:
    """Rows that are lost, and rows that are doubled or others, by table; a row that is another counts as both."""

    lost: dict[str, int] = field(default_factory=dict)
    doubled: dict[str, int] = field(default_factory=dict)

    @classmethod
    def between(cls, expected: Rows, found: Rows) -> Difference:
        """What an output has less and more than is expected."""
        less = {name: (rows - found.get(name, Counter())).total() for name, rows in expected.items()}
        more = {name: (rows - expected.get(name, Counter())).total() for name, rows in found.items()}
        return cls({k: n for k, n in less.items() if n}, {k: n for k, n in more.items() if n})

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled)
