"""Whether rows of tables fit together: what a plan holds is there once, and what a row refers to is there.

A shard has all rows of its sequences, so that one shard is looked at after the other, whatever the output holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import duckdb
import fsspec

from fer_batch.output.books import Books
from fer_batch.output.findings import Checked, Finding
from fer_batch.output.verify_files import FilesChecked, files_by_shard
from fer_batch.storage.markers import ShardMarker, ShardPlan
from fer_batch.storage.parquet import Partition, decode, read
from fer_batch.storage.store import Store
from fer_batch.types import STATUSES

REFERENCES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("frames", ("sequence_id",), "sequences"),
    ("detections", ("sequence_id", "frame_index"), "frames"),
    ("detections", ("sequence_id", "target", "cluster"), "prototypes"),
    ("relevance", ("sequence_id", "frame_index", "target"), "detections"),
    ("prototypes", ("sequence_id",), "sequences"),
    ("stages", ("sequence_id",), "sequences"),
    ("temporal_prototypes", ("sequence_id",), "sequences"),
    ("episodes", ("sequence_id",), "sequences"),
    ("cluster_looks", ("sequence_id", "target", "cluster"), "prototypes"),
    ("look_prototypes", ("sequence_id",), "temporal_prototypes"),
)
"""A table, columns of it, and the table that has a row with the same values for each of its rows without NULL."""
KEYS = {
    "sequences": ("sequence_id",),
    "frames": ("sequence_id", "frame_index"),
    "detections": ("sequence_id", "frame_index", "target"),
    "relevance": ("sequence_id", "frame_index", "target"),
    "prototypes": ("sequence_id", "target", "cluster"),
    "temporal_prototypes": ("sequence_id",),
    "cluster_looks": ("sequence_id", "target", "cluster"),
}
"""Columns that no two rows of a shard share."""


def check_rows(store: Store, books: Books, found: FilesChecked, checked: Checked) -> None:
    """Check the rows of every shard whose files are whole, and the counts of the runs; no other file is opened.

    Parameters
    ----------
    store
        The output.
    books
        Its markers.
    found
        Which files are whole.
    checked
        Takes what is found.
    """
    connection = _connection(store)
    owners, files = books.owners, files_by_shard(found.whole, books.shards)
    for name in sorted(books.shards.keys() & books.plans.keys()):
        own, plan = files.get(name, {}), books.plans[name]
        if "sequences" not in own:
            continue
        urls = {table: store.url(path).replace("'", "''") for table, path in own.items()}
        said = [*_sequences(connection, urls["sequences"], plan, owners, books), *_keys(connection, urls)]
        said += _references(connection, urls)
        checked.findings += [Finding(own[table], what, name) for table, what in said]
    checked.findings += _claimed_twice(connection, store, books, files)
    for partition in sorted({marker.partition for marker in books.shards.values()}, key=str):
        looks = f"{partition.folder('looks')}/"
        if not any(path.startswith(looks) for path in found.faulty):  # what is lost there, nothing can be said about
            shards = [own for name, own in files.items() if books.shards[name].partition == partition]
            _check_looks(connection, store, partition, shards, checked)
    _check_runs(store, [one.path for one in found.whole if one.table == "runs"], checked)


def _connection(store: Store) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    connection.execute("SET memory_limit = '1GB'")
    if not store.local:
        protocol = store.fs.protocol if isinstance(store.fs.protocol, str) else store.fs.protocol[0]
        connection.register_filesystem(fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True))
    return connection


def _sequences(
    connection: duckdb.DuckDBPyConnection,
    url: str,
    plan: ShardPlan,
    owners: Mapping[tuple[Partition, str], str],
    books: Books,
) -> Iterator[tuple[str, str]]:
    """What the plan holds and table `sequences` of the shard lacks, or the other way round."""
    sql = f"SELECT sequence_id, status, reason FROM read_parquet('{url}')"
    said = {name: (status, reason) for name, status, reason in connection.execute(sql).fetchall()}
    rows = said.keys()
    own = {name for name in plan.sequences if owners[plan.partition, name] == plan.shard}
    if plan.units and (missing := sorted(own - rows)):
        yield "sequences", f"lacks {_such(missing)}, which {plan.shard} holds as its plan says"
    if more := sorted(rows - set(plan.sequences)):
        yield "sequences", f"has {_such(more)}, which the plan of {plan.shard} does not hold"
    moved = [name for name in rows & set(plan.sequences) if owners[plan.partition, name] != plan.shard]
    if doubled := sorted(name for name in moved if owners[plan.partition, name] in books.shards):
        yield "sequences", f"still has {_such(doubled)}, which a newer shard has"
    marker = books.shards[plan.shard]
    if others := _miscounted({name: said[name] for name in sorted(own & rows)}, marker):
        yield "sequences", f"has another status or reason of {_such(others)} than {marker.path} says"


def _miscounted(rows: Mapping[str, tuple[str, str | None]], marker: ShardMarker) -> list[str]:
    """Sequences that ended otherwise than the marker of their shard says, by which runs are counted."""
    notable = marker.notable
    if notable is None or not marker.files.get("sequences"):  # of an earlier version, or being written again
        return []
    return [name for name, row in rows.items() if row != notable.get(name, ("done", None))]


def _such(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more sequences" if len(names) > 1 else ""
    return f"{names[0]}{more}"


def _claimed_twice(
    connection: duckdb.DuckDBPyConnection, store: Store, books: Books, files: Mapping[str, Mapping[str, str]]
) -> Iterator[Finding]:
    """Shards with annotations of a sequence that a newer one has too, of whichever model."""
    held: dict[tuple[str, str], str] = {}
    plans = (books.plans[name] for name, own in files.items() if "annotations" in own and name in books.plans)
    for plan in sorted(plans, key=lambda plan: (plan.number, plan.shard)):
        url = store.url(files[plan.shard]["annotations"]).replace("'", "''")
        doubled: dict[str, list[str]] = {}
        rows = connection.execute(f"SELECT DISTINCT sequence_id FROM read_parquet('{url}')").fetchall()
        for key in ((plan.partition.dataset, name) for (name,) in rows):
            if key in held:
                doubled.setdefault(held[key], []).append(key[1])
            held[key] = plan.shard
        for older, names in doubled.items():
            what = f"still has those of {_such(sorted(names))}, which a newer shard has"
            yield Finding(files[older]["annotations"], what, older)


def _keys(connection: duckdb.DuckDBPyConnection, urls: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for table in KEYS.keys() & urls.keys():
        columns = ", ".join(KEYS[table])
        sql = f"SELECT {columns} FROM read_parquet('{urls[table]}') GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        if row := connection.execute(sql).fetchone():
            yield table, f"has more than one row of {columns} = {', '.join(map(str, row))}"


def _references(connection: duckdb.DuckDBPyConnection, urls: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for table, columns, other in REFERENCES:
        if table not in urls or other not in urls:
            continue
        known = " AND ".join(f"{name} IS NOT NULL" for name in columns)
        sql = (
            f"SELECT {', '.join(columns)} FROM read_parquet('{urls[table]}') AS own "
            f"ANTI JOIN read_parquet('{urls[other]}') AS other USING ({', '.join(columns)}) WHERE {known} LIMIT 1"
        )
        if row := connection.execute(sql).fetchone():
            yield table, f"refers to {', '.join(columns)} = {', '.join(map(str, row))}, which table {other} has not"


def _check_looks(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    partition: Partition,
    shards: Iterable[Mapping[str, str]],
    checked: Checked,
) -> None:
    """Every look that a cluster is said to have is a row of table `looks` of the partition."""
    known = read(store, "looks", **partition.key, columns=["target", "look"])
    there = set(zip(known["target"].to_pylist(), known["look"].to_pylist(), strict=True))
    for own in shards:
        if "cluster_looks" not in own:
            continue
        url = store.url(own["cluster_looks"]).replace("'", "''")
        sql = f"SELECT DISTINCT target, look FROM read_parquet('{url}') WHERE look IS NOT NULL"
        lost = sorted(set(connection.execute(sql).fetchall()) - there)
        if lost:
            what = f"refers to target, look = {lost[0][0]}, {lost[0][1]}, which table looks has not"
            checked.findings.append(Finding(own["cluster_looks"], what))


def _check_runs(store: Store, paths: Iterable[str], checked: Checked) -> None:
    """Inputs of every run that has ended: found = done + partial + failed + skipped."""
    for path in paths:
        for said in decode(store.read_bytes(path), ["counts"])["counts"].to_pylist():
            counts = json.loads(said) if said else {}
            total = sum(counts.get(status, 0) for status in STATUSES)
            if counts and "found" in counts and counts["found"] != total:
                what = f"counts {counts['found']} inputs found, and {total} done, partial, failed and skipped"
                checked.findings.append(Finding(path, what))
