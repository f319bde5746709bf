"""A manifest: a CSV or Parquet file with one row per still or video.

Columns: `path` (relative to the manifest, or absolute, or a URL), and where known `subject_id`, `emotion`,
`x0..x67, y0..y67` (landmarks of a still in source pixels), Action Units as `AU01 ...` (intensity 0-5, empty where not
annotated), and `skip` (a reason not to process the row).
"""

from __future__ import annotations

import hashlib
import math
import os
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fer_batch.facs import au_id, au_name
from fer_batch.sources.listing import FORMATS, IMAGE_SUFFIXES
from fer_batch.storage.store import Entry, Store, has_scheme
from fer_batch.types import InputError, SequenceRef

POINTS = tuple(f"{axis}{index}" for index in range(68) for axis in "xy")


def _read(store: Store, name: str) -> pa.Table:
    data = pa.BufferReader(store.read_bytes(name))
    if name.endswith(".parquet"):
        return pq.read_table(data)
    as_text = pacsv.ConvertOptions(column_types={key: pa.string() for key in ("path", "subject_id", "emotion", "skip")})
    return pacsv.read_csv(data, convert_options=as_text)


def _number(value: Any) -> float:
    return math.nan if value is None or value == "" else float(value)


@FORMATS.register("manifest")
def list_manifest(uri: str, pattern: Sequence[str]) -> Iterator[SequenceRef]:
    """Inputs that a manifest names, in its folder or anywhere else."""
    folder, name = posixpath.split(uri if has_scheme(uri) else os.path.abspath(uri))
    store = Store(folder)
    if not store.exists(name):
        raise InputError(f"source.uri {uri!r} does not exist; expected a CSV or Parquet manifest")
    try:
        table = _read(store, name)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(f"manifest {uri!r} is no readable CSV or Parquet file: {error}") from error
    if "path" not in table.column_names:
        raise InputError(f"manifest {uri!r} needs a column 'path'; its columns are {', '.join(table.column_names)}")
    has_points = set(POINTS) <= set(table.column_names)
    units = [column for column in table.column_names if au_id(column) is not None]
    inside: dict[str, Entry] | None = None
    for row in table.to_pylist():
        path = str(row["path"])
        outside = has_scheme(path) or posixpath.isabs(path)
        if outside:
            target_store = Store(posixpath.dirname(path))
            found = {e.path: e for e in target_store.walk(posixpath.basename(path))}
            entry = found.get(".")
            location = target_store.url(posixpath.basename(path))
        else:
            inside = {e.path: e for e in store.walk()} if inside is None else inside
            entry = inside.get(posixpath.normpath(path))
            location = store.url(posixpath.normpath(path))
        emotion = row.get("emotion") or None
        labels = {au_name(au_id(unit) or 0): _number(row[unit]) for unit in units}
        points = tuple(_number(row[key]) for key in POINTS) if has_points else ()
        still = path.lower().endswith(IMAGE_SUFFIXES)
        known = repr((emotion, sorted(labels.items()), points if still else ()))
        yield SequenceRef(
            sequence_id=path.split("://", 1)[-1].lstrip("/") if outside else posixpath.normpath(path),
            kind="still" if still else "video",
            uri=location,
            size=entry.size if entry else -1,
            version=entry.version if entry else "missing",
            subject_id=str(row["subject_id"]) if row.get("subject_id") else None,
            emotion=emotion,
            labels=(*(((emotion, 1.0),) if emotion and still else ()), *((k, v) for k, v in labels.items() if v == v)),
            landmarks=points if still and not any(math.isnan(point) for point in points) else (),
            sidecar_version=hashlib.sha256(known.encode()).hexdigest()[:16],
            skip_reason=row.get("skip") or None,
        )
