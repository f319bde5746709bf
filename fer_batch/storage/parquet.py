"""Tables as Parquet files under hive partitions.

A map is stored as `float32` values divided by its scale, mantissa rounded to 10 bits, with BYTE_STREAM_SPLIT and zstd:
as small as float16 and readable by every engine.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.storage.published import published_files
from fer_batch.storage.store import Store
from fer_batch.storage.tables import PARTITIONS, SCHEMAS, defaults

MANTISSA_BITS = 10
ROW_GROUP = 1024  # rows; 50 MB of 112x112 maps


@dataclass(frozen=True)
class Partition:
    """Where the rows of one dataset, model and explanation live."""

    dataset: str
    model: str
    explain: str

    @property
    def key(self) -> dict[str, str]:
        """The partition columns and their values: parameters of a query, arguments of `read`."""
        return {"dataset": self.dataset, "model": self.model, "explain": self.explain}

    def folder(self, table: str) -> str:
        """Folder of a table, relative to the output."""
        keys = "/".join(f"{key}={getattr(self, key)}" for key in PARTITIONS[table])
        return f"tables/{table}/{keys}"


def pack_maps(maps: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale maps to [-1, 1] and round their mantissa.

    Parameters
    ----------
    maps : shape (M, h, w), floating, logit units

    Returns
    -------
    values : shape (M, h, w), float32
        Maps divided by their scale, 10 mantissa bits; relative L2 error about 2e-4.
    scale : shape (M,), float32, logit units
        max|R|, 0 for an all-zero map, NaN for a map that is not finite (its values are all NaN).
    """
    maps = np.asarray(maps, np.float32)
    scale = np.abs(maps).max(axis=(1, 2), initial=0.0)
    known = np.isfinite(scale)
    divisor = np.where(known & (scale > 0), scale, np.float32(1))
    values = np.where(known[:, None, None], maps, np.float32(0)) / divisor[:, None, None]
    drop = 23 - MANTISSA_BITS
    bits = values.view(np.uint32)
    bits = (bits + np.uint32((1 << (drop - 1)) - 1) + ((bits >> drop) & 1)) & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
    rounded = np.where(known[:, None, None], bits.view(np.float32), np.float32(np.nan))
    return rounded.astype(np.float32), np.where(known, scale, np.nan).astype(np.float32)


def unpack_maps(rows: pa.Table) -> list[NDArray[np.float32]]:
    """Maps of table rows with columns `height, width, scale, relevance`.

    Returns
    -------
    A map of shape (height, width) per row, float32, logit units; NaN where it is undefined.
    """
    heights, widths = rows["height"].to_pylist(), rows["width"].to_pylist()
    scales = rows["scale"].to_pylist()
    maps = []
    for index, (height, width, scale) in enumerate(zip(heights, widths, scales, strict=True)):
        values = rows["relevance"][index].values
        if scale is None or values is None:
            maps.append(np.full((height, width), np.nan, np.float32))
            continue
        maps.append(np.asarray(values, np.float32).reshape(height, width) * np.float32(scale))
    return maps


def nullable(values: object) -> pa.Array | object:
    """An Arrow array with NULL in the place of NaN; other values pass."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return pa.array(values, mask=np.isnan(values))
    return values


def without_nan(table: pa.Table) -> pa.Table:
    """The table with NULL in the place of every NaN, in numbers and in lists of numbers: one NaN spoils SQL's avg."""
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_floating(field.type):
            if pc.any(pc.is_nan(column)).as_py():
                table = table.set_column(index, field, pc.if_else(pc.is_nan(column), None, column).cast(field.type))
        elif _is_numbers(field.type) and pc.any(pc.is_nan(pc.list_flatten(column))).as_py():
            chunks = [pa.array(_null_for_nan(chunk.to_pylist()), field.type) for chunk in column.chunks]
            table = table.set_column(index, field, pa.chunked_array(chunks, field.type))
    return table


def _is_numbers(dtype: pa.DataType) -> bool:
    return pa.types.is_list(dtype) and pa.types.is_floating(dtype.value_type)


def _null_for_nan(rows: list[list[float | None] | None]) -> list[list[float | None] | None]:
    return [None if row is None else [value if value == value else None for value in row] for row in rows]


def table_of(name: str, columns: Mapping[str, object]) -> pa.Table:
    """A table with the schema of `name`; a column that is not given is NULL.

    Raises
    ------
    KeyError
        For a column the schema does not have.
    """
    schema = SCHEMAS[name]
    unknown = set(columns) - set(schema.names)
    if unknown:
        raise KeyError(f"table {name} has no column {sorted(unknown)}")
    n_rows = len(next(iter(columns.values()))) if columns else 0  # type: ignore[arg-type]
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(n_rows, field.type))
            continue
        array = nullable(values)
        if not isinstance(array, pa.Array | pa.ChunkedArray):
            array = pa.array(array, type=field.type, from_pandas=True)
        arrays.append(array.cast(field.type))
    return pa.table(arrays, schema=schema)


def with_defaults(name: str, table: pa.Table) -> pa.Table:
    """The table with what its columns are in files that are older than they, where that is not NULL."""
    for column, value in defaults(name).items():
        if column in table.column_names:
            index = table.schema.get_field_index(column)
            table = table.set_column(index, table.field(index), table[column].fill_null(value))
    return table


def rows_of(name: str, rows: list[dict]) -> pa.Table:
    """A table of dict rows with the schema of `name`."""
    return pa.Table.from_pylist(rows, schema=SCHEMAS[name])


def settings(schema: pa.Schema) -> dict[str, object]:
    """How Parquet files with a schema are written."""
    maps = ["relevance.list.element"] if "relevance" in schema.names else []
    plain = [name for name in schema.names if name not in ("relevance", "exemplar_jpeg", "crop_jpeg")]
    return {"compression": "zstd", "use_dictionary": plain or False, "use_byte_stream_split": maps or False}


def with_metadata(schema: pa.Schema, metadata: Mapping[str, object] | None) -> pa.Schema:
    """The schema with key-value metadata for a file; values that are no text as JSON."""
    extra = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (metadata or {}).items()}
    return schema.with_metadata({**(schema.metadata or {}), **extra})


def encode(table: pa.Table, metadata: Mapping[str, object] | None = None) -> bytes:
    """Parquet bytes of a table, with `metadata` in the file's key-value metadata."""
    schema = with_metadata(table.schema, metadata)
    sink = io.BytesIO()
    pq.write_table(without_nan(table).cast(schema), sink, row_group_size=ROW_GROUP, **settings(schema))
    return sink.getvalue()


def decode(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """Table of Parquet bytes."""
    return pq.read_table(io.BytesIO(data), columns=columns)


def read(
    store: Store,
    table: str,
    *,
    dataset: str | None = None,
    model: str | None = None,
    explain: str | None = None,
    columns: list[str] | None = None,
    filters: pads.Expression | None = None,
) -> pa.Table:
    """Rows of a table, with its partition columns, in file order; only published files of the partitions asked for.

    Parameters
    ----------
    store
        The output.
    dataset, model, explain
        Partition values; None takes all.
    columns, filters
        What to read, as `pyarrow.dataset` takes it.
    """
    keys = PARTITIONS[table]
    partitioning = pads.partitioning(pa.schema([(key, pa.string()) for key in keys]), flavor="hive")
    schema = pa.schema([*SCHEMAS[table], *[pa.field(key, pa.string()) for key in keys]])
    wanted = {"dataset": dataset, "model": model, "explain": explain}
    base = f"tables/{table}"
    known = [f"{key}={wanted[key]}" for key in itertools.takewhile(lambda key: wanted.get(key) is not None, keys)]
    folder = "/".join([base, *known])
    files = [store.path(entry.path) for entry in published_files(store, folder)]
    condition = filters
    for key in keys:
        if wanted.get(key) is not None:
            test = pads.field(key) == wanted[key]
            condition = test if condition is None else condition & test
    if not files:
        empty = schema.empty_table()
        return empty.select(columns) if columns else empty
    source = pads.dataset(
        files,
        schema=schema,
        format="parquet",
        filesystem=store.fs,
        partitioning=partitioning,
        partition_base_dir=store.path(base),
    )
    return with_defaults(table, source.to_table(columns=columns, filter=condition))
