"""Whether the files of tables are those that markers and records name: there, of the same bytes, rows and schema."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from fer_batch.output.books import Books, each
from fer_batch.output.findings import Checked, Finding
from fer_batch.storage.manifest import COMMITS, PLANS, SHARD_TABLES, SHARDS, digest
from fer_batch.storage.markers import ShardMarker
from fer_batch.storage.published import (
    EARLIER,
    RECORDS,
    FileState,
    begun_folders,
    digest_of_file,
    is_in_place,
    is_of_shard,
    is_record,
    is_table_file,
    records_below,
)
from fer_batch.storage.store import Entry, Store
from fer_batch.storage.tables import SCHEMAS

SUMS = "_sums"
OF_SHARDS = ("annotations", "episodes", "cluster_looks", "look_prototypes")  # which a shard may have
RUN_FILE = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{6}\.parquet")  # `run_record` names it


@dataclass(frozen=True)
class Named:
    """A file that a marker or a record names.

    Attributes
    ----------
    path
        Relative to the output.
    states
        What it may be; empty where an earlier version recorded nothing.
    by
        The marker, or the folder of its records.
    shard
        Whose it is, and has to be made again with it.
    aside
        What has to be set aside with it.
    """

    path: str
    states: tuple[FileState, ...]
    by: str
    shard: str | None = None
    aside: tuple[str, ...] = ()

    @property
    def table(self) -> str | None:
        """Its table; None of sums."""
        parts = self.path.split("/")
        return parts[1] if parts[0] == "tables" and parts[1] in SCHEMAS else None


@dataclass
class FilesChecked:
    """What came of comparing files with what names them.

    Attributes
    ----------
    whole
        Those that are what was published.
    faulty
        Paths of the others.
    """

    whole: list[Named]
    faulty: set[str]


def check_files(store: Store, books: Books, checked: Checked, digests: dict[Entry, str]) -> FilesChecked:
    """Compare every file with what names it.

    Parameters
    ----------
    store, books
        The output and its markers.
    checked
        Takes what is found.
    digests
        Of files as they were listed; one that is known is not read again, and what is read is added.
    """
    walked = ((f"{top}/{one.path}", one) for top in ("tables", SUMS) for one in store.walk(top))
    there = {path: replace(one, path=path) for path, one in walked}
    named = {one.path: one for one in _of_shards(books, there, checked)}
    records = records_below(store, "tables") | records_below(store, SUMS)
    named |= {one.path: one for one in _of_records(store, records, books)}
    named |= {one.path: one for one in _of_earlier(there, named, records)}
    checked.n_files += len(named)
    checked.n_undigested += sum(not one.states for one in named.values())
    rewriting = {
        marker.file(name) for marker in books.shards.values() for name, state in marker.files.items() if not state
    }
    _name_strays(store, there, named.keys() | rewriting, books, checked)
    found = FilesChecked([], set())
    order = [named[path] for path in sorted(named)]
    faults = each(store, lambda one: _fault(store, one, there.get(one.path), digests), order)
    for one, reason in zip(order, faults, strict=True):
        if reason:
            checked.findings.append(Finding(one.path, reason, one.shard, one.aside))
            found.faulty.add(one.path)
        else:
            found.whole.append(one)
    return found


def _of_shards(books: Books, there: dict[str, Entry], checked: Checked) -> Iterable[Named]:
    for name, marker in sorted(books.shards.items()):
        path = f"{SHARDS}/{name}.json"
        again = [table for table, state in marker.files.items() if state is None]
        if again:
            checked.notes.append(f"shard {name} is being written again ({', '.join(again)}); the next run ends it")
        if marker.files:
            yield from (
                Named(marker.file(table), (state,), path, name) for table, state in marker.files.items() if state
            )
            continue
        tables = [*SHARD_TABLES, *(table for table in OF_SHARDS[:1] if marker.file(table) in there)]
        yield from (Named(marker.file(table), (), path, name) for table in tables)


def _of_records(store: Store, records: Mapping[str, Sequence[str]], books: Books) -> Iterable[Named]:
    for path, names in sorted(records.items()):
        states = tuple(state for name in names if (state := FileState.from_name(name)))
        folder = f"{RECORDS}/{path}"
        yield Named(path, () if EARLIER in names else states, folder, _shard_of(path, books), _aside(store, path))


def _of_earlier(
    there: Mapping[str, Entry], named: Mapping[str, Named], records: Mapping[str, Sequence[str]]
) -> Iterable[Named]:
    """Files without a record where readers take them, as earlier versions left them."""
    begun = begun_folders(records, named.keys() - records.keys())
    shards = {one.shard for one in named.values() if one.shard}
    for path in there:
        folder, _, name = path.rpartition("/")
        of_sums = folder == SUMS and is_table_file(name)
        if path in named or not (of_sums or is_in_place(path)):
            continue
        of_shard = of_sums or path.split("/")[1] in OF_SHARDS
        if (of_shard and name.removesuffix(".parquet") in shards) if is_of_shard(name) else folder not in begun:
            yield Named(path, (), path)


def _shard_of(path: str, books: Books) -> str | None:
    """The shard whose inputs have to be explained again for its sums: where their maps are not all kept."""
    name = posixpath.basename(path).removesuffix(".parquet")
    marker = books.shards.get(name)
    return name if path.startswith(f"{SUMS}/") and marker and marker.keep_relevance != "all" else None


def _aside(store: Store, path: str) -> tuple[str, ...]:
    """Markers that say that a file need not be made again, beside its record."""
    keys = dict(part.split("=", 1) for part in path.split("/") if "=" in part)
    found = [f"{RECORDS}/{path}"]
    if {"dataset", "model", "explain"} <= keys.keys():
        found.append(f"_published/{digest({name: keys[name] for name in ('dataset', 'model', 'explain')})}.json")
    stem = posixpath.basename(path).removesuffix(".parquet")
    if stem.startswith("study-"):
        names = [name for name in store.children("_studies")[0] if f"{stem}-".startswith(f"study-{name}-")]
        found += [f"_studies/{name}" for name in names]
    return tuple(found)


def _fault(store: Store, named: Named, entry: Entry | None, digests: dict[Entry, str]) -> str | None:
    """What is wrong with a file; None where nothing is."""
    if entry is None:
        return f"is missing; {named.by} names it"
    sizes = sorted({state.size for state in named.states})
    if sizes and entry.size not in sizes:
        return f"has {entry.size} bytes, and {' or '.join(map(str, sizes))} were published"
    if named.states:
        if entry not in digests:
            digests[entry] = _digest(store, named.path)
        if digests[entry] not in {state.digest for state in named.states}:
            return "has other bytes than were published"
    try:
        with store.fs.open(store.path(named.path), "rb") as handle:
            file = pq.ParquetFile(handle)
            n_rows, schema = file.metadata.num_rows, file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read: {' '.join(str(error).split())}"
    if named.states and n_rows not in {state.rows for state in named.states}:
        return f"has {n_rows} rows, and {named.states[0].rows} were published"
    return schema_fault(named.table, schema) if named.table else None


def _digest(store: Store, path: str) -> str:
    with store.fs.open(store.path(path), "rb") as handle:
        return digest_of_file(handle)


def schema_fault(table: str, schema: pa.Schema) -> str | None:
    """How the columns of a file differ from those of its table; an older file may lack later ones."""
    wanted = SCHEMAS[table]
    for field in schema:
        if field.name not in wanted.names:
            return f"has the column {field.name}, which table {table} has not"
        if field.type != wanted.field(field.name).type:
            return f"has {field.type} in column {field.name}, and table {table} has {wanted.field(field.name).type}"
    for field in wanted:
        if field.name not in schema.names and b"since" not in (field.metadata or {}):
            return f"lacks the column {field.name} of table {table}"
    return None


def _name_strays(store: Store, there: Iterable[str], named: Iterable[str], books: Books, checked: Checked) -> None:
    """Files that nothing names; those of shards that are planned and not published yet belong to the next run."""
    unpublished = {name for name, plan in books.plans.items() if plan.units and name not in books.shards}
    waiting = unpublished | books.broken
    strays = [
        path
        for path in sorted(set(there) - set(named))
        if posixpath.basename(path).removesuffix(".parquet") not in waiting
    ]
    unrecorded = [path for path in strays if _is_of_run(path)]
    checked.notes += [f"{path} has no record, and does not count: its run was killed" for path in unrecorded]
    strays = [path for path in strays if path not in unrecorded]
    strays += [path for one in store.walk(RECORDS) if not _is_known_record(path := f"{RECORDS}/{one.path}")]
    for folder in (COMMITS, PLANS, SHARDS):
        names = [name for name in store.names(folder) if not name.endswith(".json") or name.startswith(".")]
        strays += [f"{folder}/{name}" for name in names]
    checked.findings += [Finding(path, "is a stray file: no marker names it, and no query reads it") for path in strays]


def _is_of_run(path: str) -> bool:
    """Whether a file has the name that a run gives to its own row, under which nothing is written again."""
    return (
        path.startswith("tables/runs/")
        and is_in_place(path)
        and RUN_FILE.fullmatch(posixpath.basename(path)) is not None
    )


def _is_known_record(path: str) -> bool:
    return is_record(path) and path.split("/")[1] in ("tables", SUMS)


def files_by_shard(whole: Sequence[Named], markers: dict[str, ShardMarker]) -> dict[str, dict[str, str]]:
    """Whole files of every shard, by table."""
    found: dict[str, dict[str, str]] = {name: {} for name in markers}
    for one in whole:
        stem = posixpath.basename(one.path).removesuffix(".parquet")
        if one.table and stem in markers and markers[stem].file(one.table) == one.path:
            found[stem][one.table] = one.path
    return found
