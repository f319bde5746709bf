"""The table of a manifest: which column is which, what its cells may hold, and which columns nobody reads."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.facs import AU_NAMES, au_id, au_name
from fer_batch.registry import nearest
from fer_batch.sources.labels import CODES, EXPRESSIONS, expression_named
from fer_batch.storage.store import Store
from fer_batch.types import InputError

DESCRIBED = ("path", "subject_id", "emotion", "split", "skip")
POINTS = tuple(f"{axis}{index}" for index in range(68) for axis in "xy")
MOST_NAMED = 12  # columns that are named in one line


def read_table(store: Store, name: str, columns: Mapping[str, str]) -> pa.Table:
    """The columns that are read, under our names: `DESCRIBED`, `POINTS` where all are there, and Action Units.

    Raises
    ------
    InputError
        If the file is no table, has no `path`, names one thing twice, or `columns` names what is not there.
    """
    uri = store.url(name)
    data = pa.BufferReader(store.read_bytes(name))
    try:
        names = _names(data, name)
        ours = our_names(names, columns, uri)
        if "path" not in ours:
            raise InputError(
                f"manifest {uri!r} needs a column 'path'; its columns are {', '.join(names)}; "
                "source.columns says which is which"
            )
        chosen = {theirs: own for theirs, own in zip(names, ours, strict=True) if own is not None}
        data.seek(0)
        if name.lower().endswith(".parquet"):
            table = pq.read_table(data, columns=list(chosen))
        else:
            as_text = {theirs: pa.string() for theirs, own in chosen.items() if own in DESCRIBED}
            options = pacsv.ConvertOptions(column_types=as_text, include_columns=list(chosen))
            table = pacsv.read_csv(data, convert_options=options)
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(f"manifest {uri!r} is no readable CSV or Parquet file: {error}") from error
    return table.rename_columns([chosen[theirs] for theirs in table.column_names])


def _names(source: Any, name: str) -> list[str]:
    """Names of the columns, from the beginning of a CSV file or the end of a Parquet file."""
    return (pq.read_schema(source) if name.lower().endswith(".parquet") else pacsv.open_csv(source).schema).names


def our_names(names: Sequence[str], columns: Mapping[str, str], uri: str) -> list[str | None]:
    """Our name of each column of a table, None where it is not read.

    Parameters
    ----------
    names
        As the table has them.
    columns
        Our name to that of the table, where they differ.
    uri
        Of the table, for errors.
    """
    wanted: dict[str, str] = {}  # theirs to ours
    for key, theirs in columns.items():
        if _ours(key) is None:
            raise InputError(f"source.columns: {key!r} is no column of a manifest; {nearest(key, _KNOWN)}")
        if theirs not in names:
            raise InputError(f"source.columns: manifest has no column {theirs!r}; {nearest(theirs, names)}")
        if theirs in wanted:
            raise InputError(f"source.columns: {wanted[theirs]} and {key} are both {theirs!r}; expected one of them")
        wanted[theirs] = _ours(key) or key
    taken = set(wanted.values())  # what the user says goes before a column that has our name by chance
    found = [wanted.get(name) or (own if (own := _ours(name)) not in taken else None) for name in names]
    for own in filter(None, found):
        if found.count(own) > 1:
            both = " and ".join(repr(name) for name, other in zip(names, found, strict=True) if other == own)
            raise InputError(f"manifest {uri!r}: the columns {both} are both {own}; expected one")
    whole = set(POINTS) <= set(found)
    return [own if whole or own not in _POINTS else None for own in found]


def _ours(name: str) -> str | None:
    """Our spelling of a column that is read; None of any other."""
    number = au_id(name)
    return au_name(number) if number is not None else name if name in _POINTS or name in DESCRIBED else None


_POINTS = frozenset(POINTS)
_KNOWN = (*DESCRIBED, *map(au_name, AU_NAMES), "x0", "y0")


def unread_columns(uri: str, columns: Mapping[str, str]) -> str | None:
    """A line that names the columns nobody reads, a typing error among them perhaps; None where there are none."""
    folder, name = posixpath.split(uri)
    store = Store(folder)
    with store.fs.open(store.path(name), "rb") as handle:
        names = _names(handle, name)
    return said_unread(names, our_names(names, columns, uri))


def said_unread(names: Sequence[str], ours: Sequence[str | None]) -> str | None:
    """The same of names and what they are read as."""
    unread = [theirs for theirs, own in zip(names, ours, strict=True) if own is None]
    points = [theirs for theirs in unread if theirs in _POINTS]
    said = [_meant(theirs, ours) for theirs in unread if theirs not in _POINTS]
    if points:
        more = f" and {len(points) - 1} more" if len(points) > 1 else ""
        said.insert(0, f"{points[0]}{more} (landmarks need all of x0..x67, y0..y67)")
    rest = f" and {len(said) - MOST_NAMED} more" if len(said) > MOST_NAMED else ""
    return f"columns not read: {', '.join(said[:MOST_NAMED])}{rest}" if said else None


def _meant(theirs: str, ours: Sequence[str | None]) -> str:
    """A column with the one that may be meant, if that is not there."""
    plain = re.sub(r"[\s_-]", "", theirs).upper()
    close = difflib.get_close_matches(theirs.lower(), DESCRIBED, n=1, cutoff=0.75)
    number = au_id(plain)
    meant = au_name(number) if number is not None else close[0] if close else None
    return theirs if meant is None or meant in ours else f"{theirs} (did you mean {meant}?)"


def numbers(table: pa.Table, names: Sequence[str], uri: str) -> NDArray[np.float32]:
    """Columns of numbers.

    Parameters
    ----------
    table
        As `read_table` gives it.
    names
        Columns.
    uri
        Of the table, for errors.

    Returns
    -------
    shape (rows, names), float32
        NaN where a cell is empty.

    Raises
    ------
    InputError
        If a cell holds no number.
    """
    columns = []
    for name in names:
        try:
            columns.append(np.asarray(table[name].cast(pa.float32()).fill_null(np.nan), np.float32))
        except pa.ArrowInvalid as error:
            raise InputError(f"manifest {uri!r}: column {name!r} must hold numbers: {error}") from None
    return np.stack(columns, 1) if columns else np.zeros((table.num_rows, 0), np.float32)


def intensities(table: pa.Table, units: Sequence[str], uri: str) -> NDArray[np.float32]:
    """Intensities of Action Units.

    Parameters
    ----------
    table
        As `read_table` gives it.
    units
        Columns, as `AU01`.
    uri
        Of the table, for errors.

    Returns
    -------
    shape (rows, units), float32, 0 to 5
        NaN where it is not annotated.

    Raises
    ------
    InputError
        If one is not in 0 to 5.
    """
    values = numbers(table, units, uri)
    wrong = np.argwhere((values < 0) | (values > 5))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise InputError(
            f"manifest {uri!r}, row {row + 1}: expected an intensity of 0 to 5 in {units[column]}, "
            f"got {values[row, column]:g} (an empty cell says that it is not annotated)"
        )
    return values


def emotion_of(text: str | None, codes: str | None, where: str) -> str | None:
    """Name of an expression: of a number by the `codes` of a dataset, of a word as the tables write it.

    Raises
    ------
    InputError
        If it is a number without `codes`, or one that they do not have.
    """
    if text is None:
        return None
    named = expression_named(text)
    if codes is None:
        if re.fullmatch(r"[+-]?\d+(\.\d*)?", named):
            raise InputError(
                f"{where}: the emotion is the number {named}; source.options: {{codes: DATASET}} says whose numbers it "
                f"is of ({', '.join(CODES)})"
            )
        return named
    try:
        return named if named in EXPRESSIONS else CODES[codes].expression(float(named))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
