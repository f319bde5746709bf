"""The tables as SQL, for engines that do not read them from the files: rendered from `storage.tables` (docs/sql.md)."""

from __future__ import annotations

from types import MappingProxyType

import pyarrow as pa

from fer_batch.registry import nearest
from fer_batch.storage.dictionary import data_dictionary
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
    pa.timestamp("us", tz="UTC"): "TIMESTAMP(3)",  # the precision that the Hive connector creates tables with; UTC
}
_BIGQUERY = _DUCKDB | {
    pa.string(): "STRING",
    pa.int32(): "INT64",
    pa.int64(): "INT64",
    pa.float32(): "FLOAT64",
    pa.float64(): "FLOAT64",
    pa.bool_(): "BOOL",
    pa.binary(): "BYTES",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}
_LISTS = {
    "duckdb": "{}[]",
    "spark": "ARRAY<{}>",
    "trino": "ARRAY({})",
    "athena": "ARRAY<{}>",
    "bigquery": "ARRAY<{}>",
}
ENGINES = MappingProxyType(
    {"duckdb": _DUCKDB, "spark": _SPARK, "trino": _TRINO, "athena": _SPARK, "bigquery": _BIGQUERY}
)
BACKTICKS = frozenset({"spark", "athena", "bigquery"})
"""Engines that quote names with backticks; Athena in DDL alone, its queries are Trino's."""
_HEADS = {"athena": "CREATE EXTERNAL TABLE {name} (", "bigquery": "CREATE EXTERNAL TABLE {name} ("}
_ENDS = {
    "duckdb": ");",
    "spark": ") USING PARQUET PARTITIONED BY ({keys}) LOCATION '{folder}';",
    "trino": ") WITH (format = 'PARQUET', partitioned_by = ARRAY[{quoted}], external_location = '{folder}');",
    "athena": ") PARTITIONED BY ({typed}) STORED AS PARQUET LOCATION '{folder}/';",
    "bigquery": ") WITH PARTITION COLUMNS ({typed})\n"
    "OPTIONS (format = 'PARQUET', uris = ['{folder}/*'], hive_partition_uri_prefix = '{folder}',\n"
    "         require_hive_partition_filter = false, enable_list_inference = true);",
}
_REPAIRS = {
    "duckdb": "CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet('{folder}/**/*.parquet',\n"
    "    hive_partitioning = true, hive_types = {{{hive}}}, union_by_name = true);"
    "  -- once, instead of CREATE TABLE",
    "spark": "MSCK REPAIR TABLE {name} SYNC PARTITIONS; REFRESH TABLE {name};",
    "trino": "CALL system.sync_partition_metadata(schema_name => 'SCHEMA', table_name => '{name}', mode => 'FULL');",
    "athena": "MSCK REPAIR TABLE {name};\n"
    "-- or once, and never again; then every query names all keys (WHERE {wanted}):\n"
    "-- ALTER TABLE {name} SET TBLPROPERTIES ('projection.enabled' = 'true', {projected});",
    "bigquery": "-- {name}: nothing to do, every query lists the files",
}


def sql_type(dtype: pa.DataType, engine: str) -> str:
    """Name of an Arrow type in an engine."""
    if pa.types.is_list(dtype):
        return _LISTS[engine].format(sql_type(dtype.value_type, engine))
    return ENGINES[engine][dtype]


def table_ddl(name: str, engine: str = "duckdb", location: str = "OUT") -> str:
    """`CREATE TABLE` of one table with its partition columns last.

    Parameters
    ----------
    name
        One of `SCHEMAS`.
    engine
        One of `ENGINES`. DuckDB's is an empty table; the others' is over the files.
    location
        The output, as the engine calls it: `s3://bucket/prefix`.

    Raises
    ------
    InputError
        If the engine is not known.
    """
    _check(engine)
    schema, quote = SCHEMAS[name], "`" if engine in BACKTICKS else '"'
    columns = []
    for field in schema:
        constraint = "" if field.nullable or engine != "duckdb" else " NOT NULL"
        columns.append((f"    {quote}{field.name}{quote} {sql_type(field.type, engine)}{constraint}", comment(field)))
    if engine not in _HEADS:  # the others name them once, behind the columns
        text = sql_type(pa.string(), engine)
        columns += [(f"    {quote}{key}{quote} {text}", "partition") for key in PARTITIONS[name]]
    head = _HEADS.get(engine, "CREATE TABLE {name} (").format(name=name)
    lines = [f"-- {(schema.metadata or {})[b'comment'].decode()}", head]
    for index, (text, note) in enumerate(columns):
        comma = "," if index < len(columns) - 1 else ""
        lines.append(f"{text}{comma}" + (f"  -- {note}" if note else ""))
    return "\n".join([*lines, _filled(_ENDS[engine], name, engine, location)]) + "\n"


def partition_sql(name: str, engine: str = "duckdb", location: str = "OUT") -> str:
    """What tells an engine of the partitions of a table: after `CREATE TABLE`, and after every run.

    Parameters are those of `table_ddl`.

    Raises
    ------
    InputError
        If the engine is not known.
    """
    _check(engine)
    return _filled(_REPAIRS[engine], name, engine, location) + "\n"


def _check(engine: str) -> None:
    if engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}; {nearest(engine, ENGINES)}")


def _filled(text: str, name: str, engine: str, location: str) -> str:
    keys, dtype = PARTITIONS[name], sql_type(pa.string(), engine)
    return text.format(
        name=name,
        folder=f"{location.rstrip('/')}/tables/{name}".replace("'", "''"),
        keys=", ".join(keys),
        quoted=", ".join(f"'{key}'" for key in keys),
        typed=", ".join(f"{key} {dtype}" for key in keys),
        hive=", ".join(f"'{key}': VARCHAR" for key in keys),
        wanted=" AND ".join(f"{key} = '...'" for key in keys),
        projected=", ".join(f"'projection.{key}.type' = 'injected'" for key in keys),
    )


def render_all(engine: str = "duckdb", location: str = "OUT") -> dict[str, str]:
    """File name to content of the tables in the folder `schemas/`, and its data dictionary."""
    return {f"{name}.sql": table_ddl(name, engine, location) for name in SCHEMAS} | {"README.md": data_dictionary()}
