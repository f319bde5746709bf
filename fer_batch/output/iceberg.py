"""Registers the published files in Iceberg tables, without copying them: one snapshot for each table that changed.

The keys of a partition (`dataset`, `model`, `explain`) stand in the paths of the files, not in the files. They are
identity partitions of the Iceberg tables, whose values a reader takes from the manifest where a file lacks the column
[1], as for tables that come from Hive.

Which files are registered says the catalogue. Which content they had then says `_iceberg/registered/`: a file that was
replaced under its name is taken out and put in again by one snapshot.

[1] Iceberg table specification, version 2, "Column Projection".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from fer_batch.storage.digests import digest
from fer_batch.storage.manifest import dump, json_of
from fer_batch.storage.published import published_files, published_shards
from fer_batch.storage.store import Store
from fer_batch.storage.tables import PARTITIONS, SCHEMAS
from fer_batch.types import InputError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

FOLDER = "_iceberg"
OUTPUT = "fer_batch.output"  # property of a table: whose files it has
# A retry would put files onto a snapshot that has them already.
ONCE = {"commit.retry.num-retries": "0"}


@dataclass(frozen=True)
class Registered:
    """What became of one table.

    Attributes
    ----------
    table
        Its name.
    n_files, n_rows
        That it has now.
    n_added, n_removed
        Files by the snapshot that was made; both 0 where none was.
    """

    table: str
    n_files: int
    n_rows: int
    n_added: int
    n_removed: int


def publish(store: Store, catalogue: str, namespace: str = "fer_batch") -> list[Registered]:
    """Register the published files of every table in Iceberg tables of one namespace.

    Parameters
    ----------
    store
        The output.
    catalogue
        URI of a catalogue (`sqlite:///...`, `postgresql://...`, `https://...` for REST), or the name of one in
        PyIceberg's configuration.
    namespace
        Where the tables are; it has one output.

    Returns
    -------
    list of Registered
        Of every table that has files, or had some.

    Raises
    ------
    InputError
        If there is no output, PyIceberg is not installed, the catalogue does not open, the namespace has several
        levels, a table holds files of somebody else, or another publish changed a table meanwhile.
    """
    if not re.fullmatch(r"\w+", namespace):
        raise InputError(f"--namespace: one level of letters, digits and '_', got {namespace!r}")
    if not store.exists("tables"):
        raise InputError(f"{store.uri!r} holds no tables; name the output of a run")
    opened = _open(catalogue, store)
    opened.create_namespace_if_not_exists(namespace)
    shards = published_shards(store)
    where = f"{FOLDER}/registered/{digest([catalogue, namespace])}"
    for name in SCHEMAS:  # all of them, before any is changed
        if opened.table_exists((namespace, name)):
            _live(_owned(opened, (namespace, name), store), store)
    found = []
    for name in SCHEMAS:
        files = {
            _uri(store, one.path): (f"{one.size}-{one.version}", one.path)
            for one in published_files(store, f"tables/{name}", shards)
        }
        if files or opened.table_exists((namespace, name)):  # one that lost its last file too
            with _alone((namespace, name)):
                found.append(_register(store, opened, (namespace, name), files, f"{where}/{name}.json"))
    return found


def _open(catalogue: str, store: Store) -> Catalog:
    try:
        from pyiceberg.catalog import load_catalog
    except ImportError:
        raise InputError("publish --iceberg needs PyIceberg: pip install 'fer_batch[iceberg]'") from None
    known = {"uri": catalogue} if "://" in catalogue else {}
    if known and not catalogue.startswith("http"):  # a REST catalogue says itself where metadata go
        known["warehouse"] = _uri(store, f"{FOLDER}/warehouse")
    try:
        return load_catalog("fer_batch" if known else catalogue, **known)
    except Exception as error:  # of whatever driver the catalogue has
        raise InputError(f"the Iceberg catalogue {catalogue!r} does not open: {error}") from None


def _uri(store: Store, path: str) -> str:
    return f"file://{store.path(path)}" if store.local else store.url(path)


@contextmanager
def _alone(name: tuple[str, str]) -> Iterator[None]:
    """Refuse where somebody else changes the table at the same time."""
    from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError

    try:
        yield
    except (CommitFailedException, TableAlreadyExistsError) as error:
        raise InputError(
            f"another publish changed Iceberg table {'.'.join(name)} meanwhile; publish again when it is done: {error}"
        ) from None


def _live(table: Table, store: Store) -> list[DataFile]:
    """Files that a table has now; InputError where some are not of the output."""
    live = [task.file for task in table.scan().plan_files()]
    if foreign := sorted(one.file_path for one in live if not one.file_path.startswith(_uri(store, "tables/"))):
        raise InputError(
            f"Iceberg table {'.'.join(table.name())} holds {len(foreign)} files that are not of {store.uri}, such as "
            f"{foreign[0]}; choose another --namespace"
        )
    return live


def _register(
    store: Store, catalogue: Catalog, name: tuple[str, str], files: Mapping[str, tuple[str, str]], record: str
) -> Registered:
    """Bring one table up to what is published, by one snapshot or none."""
    table = _table(catalogue, name, store)
    listed = _live(table, store)
    live, times = {one.file_path: one for one in listed}, Counter(one.file_path for one in listed)
    known = {uri: state for uri, state in _known(store, record, table).items() if times[uri] < 2}
    states = {uri: state for uri, (state, _) in files.items()}
    stale = [live[uri] for uri in live if uri not in states or known.get(uri) != states[uri]]
    read = [_data_file(table, uri, path) for uri, (state, path) in files.items() if known.get(uri) != state]
    fresh = [one for one in read if one is not None]
    if fresh or stale:
        _commit(table, fresh, stale)
    if known != states:
        current = table.current_snapshot()
        store.put(record, dump({"snapshot": current.snapshot_id if current else None, "files": states}))
    kept = [one for uri, one in live.items() if uri in states and known.get(uri) == states[uri]]
    now = [*kept, *fresh]
    return Registered(name[-1], len(now), sum(one.record_count for one in now), len(fresh), len(stale))


def _commit(table: Table, fresh: Sequence[DataFile], stale: Sequence[DataFile]) -> None:
    """One snapshot that takes files out and puts files in."""
    with table.transaction() as transaction:
        update = transaction.update_snapshot()
        with update.overwrite() if stale else update.fast_append() as snapshot:
            for one in stale:
                snapshot.delete_data_file(one)
            for one in fresh:
                snapshot.append_data_file(one)


def _known(store: Store, record: str, table: Table) -> dict[str, str]:
    """What the registered files were, by URI.

    Nothing where somebody else made a snapshot since, or a kill came between: then all are registered anew.
    """
    if not store.exists(record):
        return {}
    current, state = table.current_snapshot(), json_of(store, record, ("snapshot", "files"))
    return dict(state["files"]) if state["snapshot"] == (current.snapshot_id if current else None) else {}


def _owned(catalogue: Catalog, name: tuple[str, str], store: Store) -> Table:
    """An Iceberg table that is there; InputError where it is of another output."""
    table = catalogue.load_table(name)
    if (output := table.properties.get(OUTPUT)) != store.uri:
        of = f"output {output}" if output else "no output of fer-batch"
        raise InputError(f"Iceberg table {'.'.join(name)} is of {of}, not of {store.uri}; choose another --namespace")
    return table


def _table(catalogue: Catalog, name: tuple[str, str], store: Store) -> Table:
    """The Iceberg table of a table, with its columns and keys; columns that came later are added."""
    keys = PARTITIONS[name[-1]]
    schema = pa.schema([*SCHEMAS[name[-1]], *(pa.field(key, pa.string()) for key in keys)])
    if not catalogue.table_exists(name):
        properties = {OUTPUT: store.uri, "format-version": "2", **ONCE}
        creation = catalogue.create_table_transaction(name, schema, properties=properties)
        with creation, creation.update_spec() as partitions:
            for key in keys:
                partitions.add_identity(key)
    table = _owned(catalogue, name, store)
    if set(schema.names) - {field.name for field in table.schema().fields}:
        with table.update_schema() as update:
            update.union_by_name(schema)
    mapping = table.schema().name_mapping.model_dump_json()
    wanted = {"schema.name-mapping.default": mapping, **ONCE}  # the files have no field ids
    if not wanted.items() <= table.properties.items():
        with table.transaction() as transaction:
            transaction.set_properties(wanted)
    return table


def _data_file(table: Table, uri: str, path: str) -> DataFile | None:
    """A file for a manifest: what its footer says, and the keys that its path says; None of a file without rows.

    `Table.add_files` takes the keys from the statistics of columns, which these files do not have.
    """
    from pyiceberg.io.pyarrow import (
        compute_statistics_plan,
        data_file_statistics_from_parquet_metadata,
        parquet_path_to_id_mapping,
    )
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    schema, source = table.schema(), table.io.new_input(uri)
    with source.open() as handle:
        footer = pq.read_metadata(handle)
    if not footer.num_rows:  # scans pass over such files
        return None
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=footer,
        stats_columns=compute_statistics_plan(schema, table.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(schema),
    )
    keys = dict(part.partition("=")[::2] for part in path.split("/")[2:-1])
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=uri,
        file_format=FileFormat.PARQUET,
        partition=Record(*(keys[field.name] for field in table.spec().fields)),
        file_size_in_bytes=len(source),
        sort_order_id=None,
        spec_id=table.metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def registered_json(found: list[Registered]) -> list[dict[str, object]]:
    """For a machine."""
    return [asdict(one) for one in found]


def registered_text(found: list[Registered]) -> str:
    """For a person: one line a table that changed, and one for all of them."""
    lines = [
        f"{one.table}: {one.n_added} files added, {one.n_removed} taken out; {one.n_files} files, {one.n_rows} rows"
        for one in found
        if one.n_added or one.n_removed
    ]
    lines.append(f"{len(found)} tables are registered; {len(lines) or 'none'} changed")
    return "\n".join(lines)
