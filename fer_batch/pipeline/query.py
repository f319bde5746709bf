"""SQL over an output: DuckDB with one view per table, partition columns included."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import fsspec

from fer_batch.registry import nearest
from fer_batch.storage.ddl import sql_type
from fer_batch.storage.store import Store
from fer_batch.storage.tables import PARTITIONS, SCHEMAS
from fer_batch.types import InputError


@dataclass(frozen=True)
class NamedQuery:
    """A question that is asked often."""

    about: str
    sql: str


QUERIES = {
    "stories": NamedQuery(
        "commonest temporal prototypes",
        "SELECT text, count(*) AS sequences, round(avg(n_frames), 1) AS mean_frames, round(avg(reduction), 3) AS "
        "mean_reduction\nFROM temporal_prototypes GROUP BY text ORDER BY sequences DESC, text LIMIT 20",
    ),
    "localisation": NamedQuery(
        "where each target's evidence lies, beside chance",
        "SELECT target, count(mu) AS n, round(avg(mu), 3) AS mu, round(avg(region_share), 3) AS chance\n"
        "FROM detections WHERE active GROUP BY target HAVING count(mu) > 0 ORDER BY target",
    ),
    "active": NamedQuery(
        "how often each target is active",
        "SELECT target, count(*) FILTER (active) AS active_frames, count(*) AS frames,\n"
        "       count(DISTINCT sequence_id) FILTER (active) AS sequences\n"
        "FROM detections GROUP BY target ORDER BY target",
    ),
    "clusters": NamedQuery(
        "how many ways of looking SpRAy found",
        "SELECT target, n_clusters, count(DISTINCT sequence_id) AS sequences\n"
        "FROM prototypes GROUP BY ALL ORDER BY ALL",
    ),
    "failed": NamedQuery(
        "inputs that failed or were skipped, and why",
        "SELECT sequence_id, status, reason FROM sequences WHERE status <> 'done' ORDER BY ALL",
    ),
    "frames": NamedQuery(
        "frames by what became of them", "SELECT status, count(*) AS frames FROM frames GROUP BY ALL ORDER BY ALL"
    ),
    "runs": NamedQuery(
        "runs, newest first", "SELECT run_id, started_at, finished_at, counts FROM runs ORDER BY started_at DESC"
    ),
}


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
        connection.register_filesystem(fsspec.filesystem(protocol))
    for name, schema in SCHEMAS.items():
        has_files = any(entry.path.endswith(".parquet") for entry in store.walk(f"tables/{name}"))
        if has_files:
            where = f"{store.url(f'tables/{name}')}/**/*.parquet".replace("'", "''")
            hive = ", ".join(f"'{key}': VARCHAR" for key in PARTITIONS[name])
            source = f"SELECT * FROM read_parquet('{where}', hive_partitioning = true, hive_types = {{{hive}}})"
        else:
            columns = [f'CAST(NULL AS {sql_type(field.type, "duckdb")}) AS "{field.name}"' for field in schema]
            columns += [f"CAST(NULL AS VARCHAR) AS {key}" for key in PARTITIONS[name]]
            source = f"SELECT {', '.join(columns)} WHERE false"
        connection.execute(f"CREATE VIEW {name} AS {source}")
    return connection


def resolve_query(text: str) -> str:
    """SQL of a named query, or the text itself where it is SQL.

    Raises
    ------
    InputError
        For a single word that names no query.
    """
    if text in QUERIES:
        return QUERIES[text].sql
    if " " not in text.strip():
        raise InputError(f"no query is named {text!r}; {nearest(text, QUERIES)}; or give SQL in quotes")
    return text


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation | None:
    """Result of a statement; None for one without rows.

    Raises
    ------
    InputError
        With DuckDB's own words, which name the nearest column or table.
    """
    try:
        return connection.sql(sql)
    except duckdb.Error as error:
        said = str(error).split("\n\nLINE")[0]  # what follows is the statement with an arrow under it
        raise InputError(" ".join(said.split())) from error
