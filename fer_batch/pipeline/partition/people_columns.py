"""What a table says of people, such as age or sex: further columns to tell groups of maps by."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fer_batch.registry import nearest
from fer_batch.storage.store import Store
from fer_batch.types import InputError

WHO = "subject_id"


def read_people(uri: str, who: str = WHO) -> pa.Table:
    """A CSV or Parquet file whose rows are of people, such as a manifest.

    Parameters
    ----------
    uri
        Where it is.
    who
        Column that names the person; it becomes `subject_id`.

    Raises
    ------
    InputError
        If it is no such file, has no such column, or two of one name.
    """
    folder, name = posixpath.split(uri)
    try:
        data = pa.BufferReader(Store(folder or ".").read_bytes(name))
        names = pacsv.ConvertOptions(column_types={who: pa.string()})  # 001 stays 001, as in a manifest
        table = (
            pq.read_table(data) if name.lower().endswith(".parquet") else pacsv.read_csv(data, convert_options=names)
        )
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{uri!r} is no readable CSV or Parquet file of people: {error}") from error
    lowered = [name.lower() for name in table.column_names]  # SQL takes Age and age for one
    twice = sorted({name for name in lowered if lowered.count(name) > 1})
    if twice:
        raise InputError(f"{uri!r} has more than one column of the name {', '.join(map(repr, twice))}")
    if who not in table.column_names:
        raise InputError(f"{uri!r} needs a column {who!r} that names the person; {nearest(who, table.column_names)}")
    others = [name for name in table.column_names if name == who or name.lower() != WHO]
    plain = table.select(others).rename_columns([WHO if one == who else one for one in others])
    place = plain.column_names.index(WHO)
    people = plain[WHO].cast(pa.string())
    known = pc.if_else(pc.equal(people, ""), None, people)  # rows without a name are not all of one person
    return plain.set_column(place, WHO, known)


def manifests_of(connection: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    """The manifests that the runs and trainings of an output read, where they still are and name people.

    The people of a training have the space of their collection before their names, as table `sequences` of a study has
    them: `ck_plus:S005`.

    Parameters
    ----------
    connection
        With the view `runs`.
    """
    configs = [
        json.loads(text) for (text,) in connection.execute("SELECT DISTINCT config FROM runs").fetchall() if text
    ]
    for uri, who, dataset, space in sorted({named for one in configs for named in _manifests(one)}):
        try:
            yield _as_trained(read_people(uri, who), dataset, space)
        except InputError:  # moved since, or without people: conditions do without it
            continue


def _manifests(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Where each manifest of a job is, its column of people, and the dataset and subject space that a training says."""
    for source in (config.get("source"), *(config.get("sources") or ())):
        if isinstance(source, Mapping) and source.get("format") == "manifest" and source.get("uri"):
            who = (source.get("columns") or {}).get(WHO, WHO)
            dataset, space = (str(source.get(name) or "") for name in ("dataset", "subject_space"))
            yield str(source["uri"]), str(who), dataset, space


def _as_trained(people: pa.Table, dataset: str, space: str) -> pa.Table:
    """People as a training names them; a run by itself, which says neither, takes names as they are."""
    if not dataset and not space:
        return people
    names = people[WHO]
    if space:
        named = pc.binary_join_element_wise(space, pc.replace_substring_regex(names, "^manifest:", ""), ":")
    else:
        named = pc.if_else(pc.match_substring(names, ":"), names, pc.binary_join_element_wise(dataset, names, ":"))
    return people.set_column(people.column_names.index(WHO), WHO, named)


def people_known(connection: duckdb.DuckDBPyConnection, people: str | None = None) -> list[pa.Table]:
    """What is known of people: a file of them, or else the manifests of an output.

    Parameters
    ----------
    connection
        With the view `runs`.
    people
        The file.

    Raises
    ------
    InputError
        If the file is none.
    """
    return [read_people(people)] if people else list(manifests_of(connection))


def people_view(connection: duckdb.DuckDBPyConnection, tables: list[pa.Table], taken: set[str]) -> list[str]:
    """Make the view `people`, a row for each person; names of its columns beside `subject_id`.

    Columns that say different things of one person, as those of landmarks do, are left out.

    Parameters
    ----------
    connection
        Gets the view.
    tables
        As `read_people` gives them.
    taken
        Names that mean something else.
    """
    found = _together(tables) if tables else pa.table({WHO: pa.nulls(0, pa.string())})
    connection.register("people_rows", found)
    mean_else = {name.lower() for name in (*taken, WHO)}  # SQL takes Emotion and emotion for one
    names = [name for name in found.column_names if name.lower() not in mean_else]
    counts = [f"max(n{place})" for place in range(len(names))]
    distinct = [f"count(DISTINCT {_quoted(name)}) AS n{place}" for place, name in enumerate(names)]
    if names:
        by_person = f"SELECT {', '.join(distinct)} FROM people_rows WHERE {WHO} IS NOT NULL GROUP BY {WHO}"
        (most,) = connection.execute(f"SELECT {', '.join(counts)} FROM ({by_person})").fetchall()
        names = [name for name, n in zip(names, most, strict=True) if n == 1]
    values = [f"any_value({_quoted(name)}) AS {_quoted(name)}" for name in names]
    rows = f"SELECT {', '.join([WHO, *values])} FROM people_rows WHERE {WHO} IS NOT NULL GROUP BY {WHO}"
    connection.execute(f"CREATE VIEW people AS {rows}")
    return names


def _together(tables: list[pa.Table]) -> pa.Table:
    """Rows of all tables; columns that are numbers in one and words in another are words, as `30` and `30-39` are."""
    spelled: dict[str, str] = {}
    for name in (name for table in tables for name in table.column_names):
        spelled.setdefault(name.lower(), name)
    alike = [table.rename_columns([spelled[name.lower()] for name in table.column_names]) for table in tables]
    for name in spelled.values():
        own = [table.schema.field(name) for table in alike if name in table.column_names]
        try:
            pa.unify_schemas([pa.schema([field]) for field in own], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            alike = [_as_words(table, name) for table in alike]
    return pa.concat_tables(alike, promote_options="permissive")


def _as_words(table: pa.Table, name: str) -> pa.Table:
    if name not in table.column_names:
        return table
    return table.set_column(table.column_names.index(name), name, table[name].cast(pa.string()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
