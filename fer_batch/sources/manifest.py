"""A manifest: a CSV or Parquet file with one row per still or video.

Columns: `path` (relative to the manifest, or absolute, or a URL), and where known `subject_id`, `emotion`,
`x0..x67, y0..y67` (landmarks of a still in source pixels), Action Units as `AU01 ...` (intensity 0-5, empty where not
annotated), and `skip` (a reason not to process the row).
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.facs import au_id, au_name
from fer_batch.sources.listing import FORMATS, IMAGE_SUFFIXES, takes
from fer_batch.storage.store import Entry, Store, has_scheme
from fer_batch.types import InputError, SequenceRef

POINTS = tuple(f"{axis}{index}" for index in range(68) for axis in "xy")

DESCRIBED = ("path", "subject_id", "emotion", "skip")


def _read(store: Store, name: str) -> pa.Table:
    data = pa.BufferReader(store.read_bytes(name))
    if name.endswith(".parquet"):
        return pq.read_table(data)
    as_text = pacsv.ConvertOptions(column_types={key: pa.string() for key in DESCRIBED})
    return pacsv.read_csv(data, convert_options=as_text)


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
def list_manifest(uri: str, pattern: Sequence[str]) -> Iterator[SequenceRef]:
    """Inputs that a manifest names, in its folder or anywhere else; `pattern` narrows them by `path`."""
    folder, name = posixpath.split(uri if has_scheme(uri) else os.path.abspath(os.path.expanduser(uri)))
    store = Store(folder)
    if not store.exists(name):
        raise InputError(f"source.uri {uri!r} does not exist; expected a CSV or Parquet manifest")
    try:
        table = _read(store, name)
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(f"manifest {uri!r} is no readable CSV or Parquet file: {error}") from error
    if "path" not in table.column_names:
        raise InputError(f"manifest {uri!r} needs a column 'path'; its columns are {', '.join(table.column_names)}")
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
        emotion, still = _text(row.get("emotion")), path.lower().endswith(IMAGE_SUFFIXES)
        known = np.flatnonzero(np.isfinite(intensities[index])) if still else ()
        labels = [(au_name(au_id(units[i]) or 0), float(intensities[index, i])) for i in known]
        labels = [(emotion, 1.0), *labels] if emotion and still else labels
        has_points = still and points.shape[1] > 0 and bool(np.isfinite(points[index]).all())
        truth = repr(labels).encode() + (points[index].tobytes() if has_points else b"")
        yield SequenceRef(
            sequence_id=path.split("://", 1)[-1].lstrip("/") if outside else posixpath.normpath(path),
            kind="still" if still else "video",
            uri=location,
            size=entry.size if entry else -1,
            version=entry.version if entry else "missing",
            subject_id=_text(row.get("subject_id")),
            emotion=emotion,
            labels=tuple(labels),
            landmarks=array("f", points[index].tobytes()) if has_points else (),  # 300,000 stills: 0.2 GB, not 1.4
            truth_version=hashlib.sha256(truth).hexdigest()[:16],
            skip_reason=_text(row.get("skip")),
        )
