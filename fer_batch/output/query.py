"""SQL over an output: DuckDB with one view per table, partition columns included."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import fsspec

from fer_batch.config.reading import RENAMED
from fer_batch.output.look_views import LOOK_COLUMNS, with_looks
from fer_batch.registry import nearest
from fer_batch.storage.ddl import sql_type
from fer_batch.storage.published import published_files, published_shards
from fer_batch.storage.store import Store
from fer_batch.storage.tables import PARTITIONS, SCHEMAS, defaults, has_grown
from fer_batch.types import InputError


@dataclass(frozen=True)
class NamedQuery:
    """A question that is asked often.

    `{keys}` stands for the partition columns that tell the partitions of an output apart; in an output with one
    partition it is empty.
    """

    about: str
    sql: str


QUERIES = {
    "temporal_prototypes": NamedQuery(
        "commonest temporal prototypes",
        "SELECT {keys}text, count(*) AS sequences, round(avg(n_frames), 1) AS mean_frames, "
        "round(avg(reduction), 3) AS mean_reduction\n"
        "FROM temporal_prototypes WHERE n_frames > 0 GROUP BY {keys}text\n"
        "QUALIFY row_number() OVER ({partition_by}ORDER BY count(*) DESC, text) <= 20\n"
        "ORDER BY {keys}sequences DESC, text",
    ),
    "localisation": NamedQuery(
        "where each target's evidence lies, beside chance",
        "SELECT {keys}target, count(mu) AS n, round(avg(mu), 3) AS mu, round(avg(region_share), 3) AS chance\n"
        "FROM detections WHERE active GROUP BY {keys}target HAVING count(mu) > 0 ORDER BY {keys}target",
    ),
    "active": NamedQuery(
        "how often each target is active",
        "SELECT {keys}target, count(*) FILTER (active) AS active_frames, count(*) AS frames,\n"
        "       count(DISTINCT sequence_id) FILTER (active) AS sequences\n"
        "FROM detections GROUP BY {keys}target ORDER BY {keys}target",
    ),
    "clusters": NamedQuery(
        "how many ways of looking SpRAy found",
        "SELECT {keys}target, n_clusters, count(DISTINCT sequence_id) AS sequences\n"
        "FROM prototypes GROUP BY ALL ORDER BY ALL",
    ),
    "classes": NamedQuery(
        "the same over all stills of each class, with how sure the split is",
        "SELECT {keys}target, cluster, n_frames AS stills,\n"
        "       round(n_frames / sum(n_frames) OVER (PARTITION BY {keys}target), 3) AS share, n_clusters,\n"
        "       round(eigengap, 3) AS eigengap, round(silhouette, 3) AS silhouette, exemplars[1] AS nearest_still\n"
        "FROM class_prototypes ORDER BY {keys}target, length(cluster), cluster",
    ),
    "looks": NamedQuery(
        "at which places the network looks for each target, over all sequences",
        "SELECT {keys}target, look, place, round(place_share, 2) AS place_share, n_sequences,\n"
        "       round(share, 3) AS share, n_subjects, n_clusters, n_frames, round(stability, 2) AS stability,\n"
        "       round(mu, 3) AS mu, rare,\n"
        "       exemplars[1] AS nearest_frame\n"
        "FROM looks ORDER BY {keys}target, look",
    ),
    "looks_by_emotion": NamedQuery(
        "in what share of each emotion's sequences each look is seen, and how much more than in all",
        "WITH shown AS (SELECT * FROM sequences WHERE emotion IS NOT NULL AND status IN ('done', 'partial')),\n"
        "  each AS (SELECT {keys}emotion, count(*) AS sequences, sum(count(*)) OVER ({partition_by}) AS n\n"
        "           FROM shown GROUP BY {keys}emotion),\n"
        "  seen AS (SELECT DISTINCT {keys}emotion, target, look, sequence_id FROM cluster_looks\n"
        "           JOIN shown USING (dataset, model, explain, sequence_id) WHERE look IS NOT NULL),\n"
        "  counted AS (SELECT {keys}target, look, emotion, count(*) AS seen_in,\n"
        "              sum(count(*)) OVER (PARTITION BY {keys}target, look) AS everywhere\n"
        "              FROM seen GROUP BY {keys}target, look, emotion)\n"
        "SELECT {keys}target, look, emotion, seen_in, sequences, round(seen_in / sequences, 3) AS share,\n"
        "       round((seen_in / sequences) / (everywhere / n), 2) AS lift\n"
        "FROM counted NATURAL JOIN each ORDER BY {keys}target, look, share DESC, emotion",
    ),
    "outliers": NamedQuery(
        "sequences with a look that hardly any other has, by its distance from the others, farthest first",
        "SELECT {keys}sequence_id, target, cluster, look, n_sequences,\n"
        "       round(CASE WHEN look IS NULL THEN cluster_looks.distance ELSE isolation END, 3)\n"
        "       AS distance_from_others\n"
        "FROM cluster_looks LEFT JOIN looks USING (dataset, model, explain, target, look)\n"
        "WHERE rare OR look IS NULL\n"
        "ORDER BY {keys}distance_from_others DESC NULLS LAST, sequence_id, target, cluster",
    ),
    "patterns": NamedQuery(
        "what the temporal prototypes of each emotion have in common, most typical first",
        'SELECT {keys}"group", mined, labels, kind, pattern, support, round(lift, 2) AS lift, p_value, q_value\n'
        "FROM patterns\n"
        "WHERE closed AND length > 1 AND replace(replace(pattern, '(NONE)', ''), ' -> ', '') <> ''\n"
        'QUALIFY row_number() OVER (PARTITION BY {keys}"group", mined, labels, kind '
        "ORDER BY q_value, support DESC, length DESC, pattern) <= 10\n"
        'ORDER BY {keys}"group", mined, labels, kind, q_value, support DESC, length DESC, pattern',
    ),
    "episodes": NamedQuery(
        "commonest episodes, by what is active",
        "SELECT {keys}cooccurrence_text AS episode, count(DISTINCT sequence_id) AS sequences, count(*) AS episodes,\n"
        "       round(avg(n_frames), 1) AS mean_frames, round(avg(duration_s), 2) AS mean_s\n"
        "FROM episodes GROUP BY {keys}cooccurrence_text\n"
        "QUALIFY row_number() OVER ({partition_by}ORDER BY count(DISTINCT sequence_id) DESC, count(*) DESC, "
        "cooccurrence_text) <= 20\n"
        "ORDER BY {keys}sequences DESC, episodes DESC, episode",
    ),
    "episodes_by_emotion": NamedQuery(
        "the same of each emotion, with the share of its sequences that have the episode",
        "WITH of_emotion AS (SELECT {keys}emotion, count(*) AS n FROM temporal_prototypes\n"
        "                    WHERE n_frames > 0 GROUP BY ALL)\n"
        "SELECT {keys}emotion, cooccurrence_text AS episode, count(DISTINCT sequence_id) AS sequences,\n"
        "       round(count(DISTINCT sequence_id) / n, 3) AS share, count(*) AS episodes,\n"
        "       round(avg(duration_s), 2) AS mean_s\n"
        "FROM episodes JOIN of_emotion USING ({keys}emotion) GROUP BY {keys}emotion, n, cooccurrence_text\n"
        "QUALIFY row_number() OVER (PARTITION BY {keys}emotion "
        "ORDER BY count(DISTINCT sequence_id) DESC, count(*) DESC, cooccurrence_text) <= 10\n"
        "ORDER BY {keys}emotion, sequences DESC, episodes DESC, episode",
    ),
    "failed": NamedQuery(
        "inputs that failed, were read in part or skipped, and why",
        "SELECT {keys}sequence_id, status, reason FROM sequences WHERE status <> 'done' ORDER BY ALL",
    ),
    "frames": NamedQuery(
        "frames by what became of them",
        "SELECT {keys}status, count(*) AS frames FROM frames GROUP BY ALL ORDER BY ALL",
    ),
    "runs": NamedQuery(
        "runs, newest first",
        "SELECT {keys}run_id, started_at, finished_at, counts, n_explained, n_unconserved, conservation_median\n"
        "FROM runs ORDER BY started_at DESC",
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

    Raises
    ------
    InputError
        For nothing, the name of a table, or a single word that names no query.
    """
    name = text.strip().rstrip(";").strip()
    if name in QUERIES:
        keys = _distinguishing(connection)
        columns = "".join(f"{key}, " for key in keys)
        partition_by = f"PARTITION BY {', '.join(keys)} " if keys else ""
        return QUERIES[name].sql.format(keys=columns, partition_by=partition_by)
    if name in RENAMED:
        raise InputError(f"query {name!r} is called {RENAMED[name]!r} now")
    if name in SCHEMAS:
        raise InputError(f"{name!r} is a table: SELECT * FROM {name} LIMIT 10")
    if not name or re.fullmatch(r"[\w-]+", name):
        raise InputError(f"no query is named {name!r}; {nearest(name, QUERIES)}; or give SQL in quotes")
    return text


def _distinguishing(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Partition columns with more than one value: without them a query would pool models, methods or datasets."""
    keys = PARTITIONS["sequences"]
    counts = connection.execute(f"SELECT {', '.join(f'count(DISTINCT {key})' for key in keys)} FROM sequences")
    return [key for key, n in zip(keys, counts.fetchall()[0], strict=True) if n > 1]


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
