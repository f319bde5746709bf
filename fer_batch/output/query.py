"""SQL over an output: DuckDB with one view per table, partition columns included."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb
import fsspec

from fer_batch.config.reading import RENAMED
from fer_batch.output.look_views import LOOK_COLUMNS, with_looks
from fer_batch.output.named_queries import QUERIES
from fer_batch.registry import nearest
from fer_batch.storage.ddl import sql_type
from fer_batch.storage.published import published_files, published_shards
from fer_batch.storage.store import Store
from fer_batch.storage.tables import PARTITIONS, SCHEMAS, defaults, has_grown
from fer_batch.types import InputError


def connect(store: Store) -> duckdb.DuckDBPyConnection:
    """DuckDB with a view of every table of an output; a table without files is an empty view.

    Raises
    ------
    InputError
        If there is no output.
    """
    if not store.exists("tables"):
        raise InputError(f"{store.uri!r} is no output of fer-batch: it has no folder 'tables'")
    connection = duckdb.connect()
    if not store.local:
        protocol = store.fs.protocol if isinstance(store.fs.protocol, str) else store.fs.protocol[0]
        # A run replaces its own record: a listing of before would name a file that is gone.
        fresh = fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True)
        connection.register_filesystem(fresh)
    shards = published_shards(store)
    files = {name: [one.path for one in published_files(store, f"tables/{name}", shards)] for name in SCHEMAS}
    for name in sorted(SCHEMAS, key=lambda name: name in LOOK_COLUMNS):
        source = _rows(store, name, files[name])
        if name in LOOK_COLUMNS:
            source = with_looks(name, source, bool(files["cluster_looks"]))
        connection.execute(f"CREATE VIEW {name} AS {source}")
    return connection


def _rows(store: Store, table: str, files: Sequence[str]) -> str:
    """SQL of all rows of a table, given its published files: those that lie there besides are nobody's."""
    columns = [f'CAST(NULL AS {sql_type(field.type, "duckdb")}) AS "{field.name}"' for field in SCHEMAS[table]]
    columns += [f"CAST(NULL AS VARCHAR) AS {key}" for key in PARTITIONS[table]]
    source = f"SELECT {', '.join(columns)} WHERE false"
    if not files:
        return source
    paths = ", ".join(_literal(store.url(path)) for path in files)
    hive = ", ".join(f"'{key}': VARCHAR" for key in PARTITIONS[table])
    # By name only where files may differ: it opens every file, also those that a query does not need.
    grown = has_grown(table)
    options = f"hive_partitioning = true, hive_types = {{{hive}}}, union_by_name = {grown}"
    found = f"SELECT * FROM read_parquet([{paths}], {options})"
    # The empty view brings in columns that no file has yet, because all of them are older.
    source = f"{source} UNION ALL BY NAME {found}" if grown else found
    if known := defaults(table):
        given = ", ".join(f'coalesce("{key}", {_literal(value)}) AS "{key}"' for key, value in known.items())
        source = f"SELECT * REPLACE ({given}) FROM ({source})"
    return source


def _literal(value: str | int | float | bool) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def resolve_query(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """SQL of a named query, or the text itself where it is SQL.

    What a named query gives has the partition columns that tell the partitions of the output apart, and no others.

    Raises
    ------
    InputError
        For nothing, the name of a table, or a single word that names no query.
    """
    name = text.strip().rstrip(";").strip()
    if name in QUERIES:
        same = _of_one_value(connection)
        return f"SELECT * EXCLUDE ({', '.join(same)}) FROM (\n{QUERIES[name].sql})" if same else QUERIES[name].sql
    if name in RENAMED:
        raise InputError(f"query {name!r} is called {RENAMED[name]!r} now")
    if name in SCHEMAS:
        raise InputError(f"{name!r} is a table: SELECT * FROM {name} LIMIT 10")
    if not name or re.fullmatch(r"[\w-]+", name):
        raise InputError(f"no query is named {name!r}; {nearest(name, QUERIES)}; or give SQL in quotes")
    return text


def _of_one_value(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Partition columns that are the same in the whole output."""
    keys = PARTITIONS["sequences"]
    counts = connection.execute(f"SELECT {', '.join(f'count(DISTINCT {key})' for key in keys)} FROM sequences")
    return [key for key, n in zip(keys, counts.fetchall()[0], strict=True) if n <= 1]


def statements(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """The single statements of a text.

    Raises
    ------
    InputError
        If DuckDB cannot parse it.
    """
    try:
        return [statement.query for statement in connection.extract_statements(sql)]
    except duckdb.Error as error:
        raise said_by(error) from error


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation | None:
    """Result of a statement, computed as it is fetched; None for one without rows.

    Raises
    ------
    InputError
        With DuckDB's own words, which name the nearest column or table.
    """
    try:
        return connection.sql(sql)
    except duckdb.Error as error:
        raise said_by(error) from error


def said_by(error: duckdb.Error) -> InputError:
    """What DuckDB says is wrong, in one line."""
    said = str(error).split("\n\nLINE")[0]  # what follows is the statement with an arrow under it
    return InputError(" ".join(said.split()))
