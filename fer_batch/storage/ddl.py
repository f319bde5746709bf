"""The tables as SQL, for engines that do not read them from the files: rendered from `storage.tables`."""

from __future__ import annotations

from types import MappingProxyType

import pyarrow as pa

from fer_batch.registry import nearest
from fer_batch.storage.tables import PARTITIONS, SCHEMAS, comment
from fer_batch.types import InputError

_DUCKDB = {
    pa.string(): "VARCHAR",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.binary(): "BLOB",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}
_SPARK = _DUCKDB | {
    pa.string(): "STRING",
    pa.int32(): "INT",
    pa.binary(): "BINARY",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}
_TRINO = _DUCKDB | {
    pa.float32(): "REAL",
    pa.binary(): "VARBINARY",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP(6) WITH TIME ZONE",
}
_LISTS = {"duckdb": "{}[]", "spark": "ARRAY<{}>", "trino": "ARRAY({})"}
ENGINES = MappingProxyType({"duckdb": _DUCKDB, "spark": _SPARK, "trino": _TRINO})


def sql_type(dtype: pa.DataType, engine: str) -> str:
    """Name of an Arrow type in an engine."""
    if pa.types.is_list(dtype):
        return _LISTS[engine].format(sql_type(dtype.value_type, engine))
    return ENGINES[engine][dtype]


def table_ddl(name: str, engine: str = "duckdb") -> str:
    """`CREATE TABLE` of one table with its partition columns last.

    Raises
    ------
    InputError
        If the engine is not known.
    """
    if engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}; {nearest(engine, ENGINES)}")
    schema = SCHEMAS[name]
    lines = [f"-- {(schema.metadata or {})[b'comment'].decode()}"]
    columns = []
    for field in schema:
        constraint = "" if field.nullable or engine != "duckdb" else " NOT NULL"
        columns.append((f'    "{field.name}" {sql_type(field.type, engine)}{constraint}', comment(field)))
    columns += [(f'    "{key}" {sql_type(pa.string(), engine)}', "partition") for key in PARTITIONS[name]]
    if engine == "spark":
        columns = [(text.replace('"', "`"), note) for text, note in columns]
    lines.append(f"CREATE TABLE {name} (")
    for index, (text, note) in enumerate(columns):
        comma = "," if index < len(columns) - 1 else ""
        lines.append(f"{text}{comma}" + (f"  -- {note}" if note else ""))
    keys = ", ".join(PARTITIONS[name])
    quoted = ", ".join(f"'{key}'" for key in PARTITIONS[name])
    ends = {
        "duckdb": ");",
        "spark": f") USING PARQUET PARTITIONED BY ({keys}) LOCATION 'OUT/tables/{name}';",
        "trino": f") WITH (format = 'PARQUET', partitioned_by = ARRAY[{quoted}], "
        f"external_location = 'OUT/tables/{name}');",
    }
    lines.append(ends[engine])
    return "\n".join(lines) + "\n"


def data_dictionary() -> str:
    """Markdown of every table: columns, types of Arrow, what they hold."""
    parts = ["# Tables", "Rendered from `fer_batch/storage/tables.py` by `fer-batch schemas --write schemas`."]
    for name, schema in SCHEMAS.items():
        parts.append(f"## {name}\n\n{(schema.metadata or {})[b'comment'].decode()}")
        rows = [(field.name, str(field.type), comment(field)) for field in schema]
        rows += [(key, "string", "partition") for key in PARTITIONS[name]]
        lines = [f"| `{column}` | {dtype} | {note.replace('|', chr(92) + '|')} |" for column, dtype, note in rows]
        parts.append("\n".join(["| column | type | |", "|---|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


def render_all(engine: str = "duckdb") -> dict[str, str]:
    """File name to content of the folder `schemas/`."""
    return {f"{name}.sql": table_ddl(name, engine) for name in SCHEMAS} | {"README.md": data_dictionary()}
