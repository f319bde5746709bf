"""A manifest: a CSV or Parquet file with one row per still or video.

Columns: `path` (relative to the manifest, or absolute, or a URL), and where known `subject_id`, `emotion`, `split`,
`x0..x67, y0..y67` (landmarks of a still in source pixels), Action Units as `AU01 ...` (intensity 0-5, empty where not
annotated), and `skip` (a reason not to process the row). A table with other names says which is which (`columns`).
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from array import array
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.facs import au_id, au_name
from fer_batch.registry import nearest
from fer_batch.sources.labels import CODES, NO_EXPRESSION, expression, split_named
from fer_batch.sources.listing import FORMATS, IMAGE_SUFFIXES, name_parts, takes
from fer_batch.storage.store import Entry, Store, has_scheme
from fer_batch.types import InputError, SequenceRef

POINTS = tuple(f"{axis}{index}" for index in range(68) for axis in "xy")

DESCRIBED = ("path", "subject_id", "emotion", "split", "skip")


def _read(store: Store, name: str, columns: Mapping[str, str]) -> pa.Table:
    """The table with our names of its columns."""
    data = pa.BufferReader(store.read_bytes(name))
    if name.endswith(".parquet"):
        table = pq.read_table(data)
    else:
        as_text = pacsv.ConvertOptions(column_types={columns.get(key, key): pa.string() for key in DESCRIBED})
        table = pacsv.read_csv(data, convert_options=as_text)
    theirs = {name: ours for ours, name in columns.items()}
    absent = [name for name in theirs if name not in table.column_names]
    if absent:
        raise InputError(
            f"source.columns: manifest has no column {absent[0]!r}; {nearest(absent[0], table.column_names)}"
        )
    return table.rename_columns([theirs.get(name, name) for name in table.column_names])


def _numbers(table: pa.Table, names: Sequence[str], uri: str) -> NDArray[np.float32]:
    """Columns of numbers, NaN where empty, shape (rows, names)."""
    columns = []
    for name in names:
        try:
            columns.append(np.asarray(table[name].cast(pa.float32()).fill_null(np.nan), np.float32))
        except pa.ArrowInvalid as error:
            raise InputError(f"manifest {uri!r}: column {name!r} must hold numbers: {error}") from None
    return np.stack(columns, 1) if columns else np.zeros((table.num_rows, 0), np.float32)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _coded(code: str | None, codes: str | None, uri: str, index: int) -> str | None:
    """Name of an expression."""
    if code is None or codes is None:
        return code
    try:
        return expression(codes, float(code))
    except ValueError as error:
        raise InputError(f"manifest {uri!r}, row {index + 1}: {error}") from None


class _Files:
    """Entries of files by location; every folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, Entry]] = {}

    def __getitem__(self, location: str) -> Entry | None:
        folder, name = posixpath.split(location)
        if folder not in self._folders:
            self._folders[folder] = Store(folder).files()
        return self._folders[folder].get(name)


def _normal(location: str) -> str:
    scheme, separator, path = location.rpartition("://")
    return scheme + separator + posixpath.normpath(path)


@FORMATS.register("manifest")
def list_manifest(
    uri: str,
    pattern: Sequence[str],
    *,
    columns: Mapping[str, str] = MappingProxyType({}),
    regex: str | None = None,
    codes: str | None = None,
) -> Iterator[SequenceRef]:
    """Inputs that a manifest names, in its folder or anywhere else; `pattern` narrows them by `path`.

    `columns` maps our names of columns to those of the table; `regex` finds `(?P<subject_id>...)`, `(?P<emotion>...)`
    and `(?P<split>...)` in the path where the table does not say; `codes` names the dataset whose numbers `emotion`
    has.
    """
    said = name_parts(regex)
    if codes is not None and codes not in CODES:
        raise InputError(f"source.options: codes has no {codes!r}; {nearest(codes, CODES)}")
    folder, name = posixpath.split(uri if has_scheme(uri) else os.path.abspath(os.path.expanduser(uri)))
    store = Store(folder)
    if not store.exists(name):
        raise InputError(f"source.uri {uri!r} does not exist; expected a CSV or Parquet manifest")
    try:
        table = _read(store, name, columns)
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(f"manifest {uri!r} is no readable CSV or Parquet file: {error}") from error
    if "path" not in table.column_names:
        raise InputError(
            f"manifest {uri!r} needs a column 'path'; its columns are {', '.join(table.column_names)}; "
            "source.columns says which is which"
        )
    units = [column for column in table.column_names if au_id(column) is not None]
    intensities = _numbers(table, units, uri)
    points = _numbers(table, POINTS if set(POINTS) <= set(table.column_names) else (), uri)
    described = table.select([key for key in DESCRIBED if key in table.column_names])
    files = _Files()
    for index, row in enumerate(described.to_pylist()):
        path = _text(row["path"])
        if path is None:
            raise InputError(f"manifest {uri!r}: row {index + 1} has no path")
        if not takes(pattern, path):
            continue
        outside = has_scheme(path) or posixpath.isabs(path)
        location = _normal(path if outside else posixpath.join(folder, path))
        entry = files[location]
        named = said(path) | {key: text for key in DESCRIBED if (text := _text(row.get(key))) is not None}
        code, still = named.get("emotion"), path.lower().endswith(IMAGE_SUFFIXES)
        emotion = _coded(code, codes, uri, index)
        known = np.flatnonzero(np.isfinite(intensities[index])) if still else ()
        labels = [(au_name(au_id(units[i]) or 0), float(intensities[index, i])) for i in known]
        labels = [(emotion, 1.0), *labels] if emotion and emotion not in NO_EXPRESSION and still else labels
        has_points = still and points.shape[1] > 0 and bool(np.isfinite(points[index]).all())
        truth = repr(labels).encode() + (points[index].tobytes() if has_points else b"")
        yield SequenceRef(
            sequence_id=path.split("://", 1)[-1].lstrip("/") if outside else posixpath.normpath(path),
            kind="still" if still else "video",
            uri=location,
            size=entry.size if entry else -1,
            version=entry.version if entry else "missing",
            subject_id=named.get("subject_id"),
            emotion=emotion,
            split=split_named(named["split"]) if "split" in named else None,
            labels=tuple(labels),
            raw_labels=((emotion, code),) if emotion and code and emotion != code else (),
            landmarks=array("f", points[index].tobytes()) if has_points else (),  # 300,000 stills: 0.2 GB, not 1.4
            truth_version=hashlib.sha256(truth).hexdigest()[:16],
            skip_reason=named.get("skip") or NO_EXPRESSION.get(emotion or ""),
        )
