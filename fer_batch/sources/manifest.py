"""A manifest: a CSV or Parquet file with one row per still, video or folder of numbered images.

Columns: `path` (relative to the manifest, or absolute, or a URL; below the manifest's folder or a root that the job
names), and where known `subject_id`, `emotion`, `split`, of a still `x0..x67, y0..y67` (landmarks in source pixels) and
Action Units as `AU01 ...` (intensity 0-5, empty where not annotated), and `skip` (a reason not to process the row).
Labels of the frames of a video or a folder lie beside it, as they do for `videos` and `image_sequences`. A table with
other names says which is which (`columns`).
"""

from __future__ import annotations

import hashlib
import posixpath
from array import array
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Required, TypedDict

import numpy as np
from numpy.typing import NDArray

from fer_batch.facs import au_id
from fer_batch.registry import nearest
from fer_batch.sources.allowed import Roots, own_path, plain
from fer_batch.sources.labels import CODES, NO_EXPRESSION, split_named
from fer_batch.sources.listing import (
    FORMATS,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    in_order,
    listing_version,
    takes,
)
from fer_batch.sources.manifest_table import DESCRIBED, POINTS, emotion_of, intensities, numbers, read_table
from fer_batch.sources.names import ANNOTATIONS, LANDMARKS, beside, name_parts
from fer_batch.storage.store import Entry, Store, has_scheme
from fer_batch.types import InputError, Kind, SequenceRef


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


class _Size(TypedDict):
    size: int
    version: str


class _Media(_Size, total=False):
    """Fields of a ref that its file and what lies beside it give."""

    kind: Required[Kind]
    files: tuple[str, ...]
    labels: tuple[tuple[str, float], ...]
    landmarks: Sequence[float]
    annotation_uris: tuple[str, ...]
    landmarks_uri: str | None
    truth_version: str


class _Files:
    """Entries of files by location; every folder is listed once. Only what lies below `roots` may be asked for."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self._folders: dict[str, dict[str, Entry]] = {}

    def __getitem__(self, location: str) -> Entry:
        folder, name = posixpath.split(location)
        return self.inside(folder)[name]

    def __contains__(self, location: str) -> bool:
        folder, name = posixpath.split(location)
        return name in self.inside(folder)

    def inside(self, folder: str) -> dict[str, Entry]:
        """Files directly in a folder by name; none where there is no such folder."""
        if folder not in self._folders:
            self._folders[folder] = Store(folder).files()
        return self._folders[folder]

    def frames(self, location: str) -> list[Entry]:
        """Images of a folder in the order of their numbers; none of what is a file, or is not there."""
        if location.lower().endswith((*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)) or location in self:
            return []
        inside = self.inside(location).values()
        images = [e for e in inside if e.path.lower().endswith(IMAGE_SUFFIXES) and not e.path.startswith("._")]
        return in_order(images, location)


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
    allow: Sequence[str] = (),
) -> Iterator[SequenceRef]:
    """Inputs that a manifest names, in its folder or below a root of `allow`; `pattern` narrows them by `path`.

    `columns` maps our names of columns to those of the table; `regex` finds `(?P<subject_id>...)`, `(?P<emotion>...)`
    and `(?P<split>...)` in the path where the table does not say; `codes` names the dataset whose numbers `emotion`
    has.
    """
    said = name_parts(regex)
    if codes is not None and codes not in CODES:
        raise InputError(f"source.options: codes has no {codes!r}; {nearest(codes, CODES)}")
    folder, name = posixpath.split(own_path(uri))
    store = Store(folder)
    if not store.exists(name):
        raise InputError(f"source.uri {uri!r} does not exist; expected a CSV or Parquet manifest")
    table = read_table(store, name, columns)
    units = [column for column in table.column_names if au_id(column) is not None]
    coded = intensities(table, units, uri)
    points = numbers(table, POINTS if set(POINTS) <= set(table.column_names) else (), uri)
    described = table.select([key for key in DESCRIBED if key in table.column_names])
    files, refused, any_taken = _Files(Roots(folder, allow)), None, False
    for index, row in enumerate(described.to_pylist()):
        where = f"manifest {uri!r}, row {index + 1}"
        path = _text(row["path"])
        if path is None:
            raise InputError(f"manifest {uri!r}: row {index + 1} has no path")
        if takes(pattern, path):
            named = said(path) | {key: text for key in DESCRIBED if (text := _text(row.get(key))) is not None}
            known = [(units[i], float(coded[index, i])) for i in np.flatnonzero(np.isfinite(coded[index]))]
            emotion = emotion_of(named.get("emotion"), codes, where)
            ref = _listed(files, folder, named, emotion, known, points[index], where)
            refused, any_taken = refused or ref.refusal, any_taken or ref.refusal is None
            yield ref
    if refused and not any_taken:
        raise InputError(f"manifest {uri!r}: none of its inputs may be read, the first is {refused}")


def _listed(
    files: _Files,
    folder: str,
    named: Mapping[str, str],
    emotion: str | None,
    units: Sequence[tuple[str, float]],
    points: NDArray[np.float32],
    where: str,
) -> SequenceRef:
    """The input of one row: `named` are its texts by our names of columns, `units` its intensities."""
    path, code = named["path"], named.get("emotion")
    outside = has_scheme(path) or posixpath.isabs(path)
    location = _normal(plain(path) if outside else posixpath.join(folder, path))
    refusal = files.roots.refusal(location)
    if refusal:
        media = _refused(_kind(location))
    elif _kind(location) == "still":
        classes = [(emotion, 1.0)] if emotion and emotion not in NO_EXPRESSION else []
        media = _still(files, location, [*classes, *units], points)
    else:
        media = _clip(files, location)
        _check_nothing_lost(media["kind"], path, [unit for unit, _ in units], points, where)
        refusal = _first_refusal(files.roots, media)
        if refusal:
            media = _refused(media["kind"])
    return SequenceRef(
        sequence_id=path.split("://", 1)[-1].lstrip("/") if outside else posixpath.normpath(path),
        uri=location,
        subject_id=named.get("subject_id"),
        emotion=emotion,
        split=split_named(named["split"]) if "split" in named else None,
        raw_labels=((emotion, code),) if emotion and code and emotion != code else (),
        skip_reason=named.get("skip") or NO_EXPRESSION.get(emotion or ""),
        refusal=refusal,
        **media,
    )


def _kind(location: str) -> Kind:
    """Of a file by its name; a folder of images passes for a video here."""
    return "still" if location.lower().endswith(IMAGE_SUFFIXES) else "video"


def _refused(kind: Kind) -> _Media:
    """Of what is not read: not the version of its files, so that it is a new input once a root allows it."""
    return {"kind": kind, "size": -1, "version": "refused"}


def _first_refusal(roots: Roots, media: _Media) -> str | None:
    """Why a clip may not be read that itself lies where it may: a frame or a file of labels is a link to elsewhere."""
    inside = (*media.get("files", ()), *media.get("annotation_uris", ()), media.get("landmarks_uri"))
    return next((why for uri in inside if uri and (why := roots.refusal(uri))), None)


def _still(files: _Files, location: str, labels: Sequence[tuple[str, float]], points: NDArray[np.float32]) -> _Media:
    has_points = len(points) > 0 and bool(np.isfinite(points).all())
    truth = repr(list(labels)).encode() + (points.tobytes() if has_points else b"")
    return {
        "kind": "still",
        **_size(files, location),
        "labels": tuple(labels),
        "landmarks": array("f", points.tobytes()) if has_points else (),  # 300,000 stills: 0.2 GB, not 1.4
        "truth_version": _digest(truth),
    }


def _clip(files: _Files, location: str) -> _Media:
    """A video, or a folder of numbered images, with the ground truth that lies beside it."""
    frames = files.frames(location)
    if frames:
        return {
            "kind": "image_sequence",
            "size": sum(entry.size for entry in frames),
            "version": listing_version(frames),
            "files": tuple(f"{location}/{entry.path}" for entry in frames),
            **beside(files, f"{location}/{ANNOTATIONS[1:]}", f"{location}/{LANDMARKS[1:]}"),
        }
    stem = posixpath.splitext(location)[0]
    truth = beside(files, stem + ANNOTATIONS, stem + LANDMARKS)
    # Without any it is what it was before files beside a video were read, so that no such clip is done again.
    truth["truth_version"] = truth["truth_version"] or _digest(b"[]")
    return {"kind": "video", **_size(files, location), **truth}


def _check_nothing_lost(kind: str, path: str, units: Sequence[str], points: NDArray[np.float32], where: str) -> None:
    """Refuse labels of the frames of a clip in its one row."""
    has_points = bool(np.isfinite(points).any())
    if not units and not has_points:
        return
    suffix = ANNOTATIONS if units else LANDMARKS
    own = posixpath.splitext(path)[0] + suffix if kind == "video" else posixpath.join(path, suffix[1:])
    raise InputError(
        f"{where}: {units[0] if units else 'landmarks'} in the row of {path!r} would say nothing of its frames; "
        f"leave the cell empty and give them frame by frame in {own!r}"
    )


def _size(files: _Files, location: str) -> _Size:
    if location not in files:
        return {"size": -1, "version": "missing"}
    return {"size": files[location].size, "version": files[location].version}


def _digest(truth: bytes) -> str:
    return hashlib.sha256(truth).hexdigest()[:16]
