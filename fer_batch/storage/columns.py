"""What a column of a table is, and a schema of columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

SCHEMA_VERSION = 5  # raised when a table gains a column, which then says `since`
_REQUIRED = {"sequence_id", "frame_index", "status", "run_id", "stage_index", "episode_index"}


class Column(NamedTuple):
    """One column.

    Attributes
    ----------
    name, dtype, doc
        What it is called, its Arrow type and what it holds.
    since
        Schema version it came with; older files lack it.
    before
        What it is in rows of older files; None is NULL. Only for columns that are never NULL since.
    """

    name: str
    dtype: pa.DataType
    doc: str = ""
    since: int = 1
    before: str | int | float | bool | None = None


AnyColumn = Column | tuple[str, pa.DataType] | tuple[str, pa.DataType, str]


def schema_of(about: str, columns: Sequence[AnyColumn]) -> pa.Schema:
    """The Arrow schema of a table, with what it is about and its version as metadata."""
    fields = []
    for name, dtype, doc, since, before in (Column(*column) for column in columns):
        metadata = {"comment": doc} if doc else {}
        if since > 1:
            metadata |= {"since": str(since), "before": json.dumps(before)}
        fields.append(pa.field(name, dtype, nullable=name not in _REQUIRED, metadata=metadata or None))
    return pa.schema(fields, metadata={"comment": about, "schema_version": str(SCHEMA_VERSION)})
