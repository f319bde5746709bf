"""Folders of media: videos, stills, and folders of numbered images.

A `sequences.csv` at the root (`path,subject_id,emotion`) says who is seen and what they show.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence

from fer_batch.sources.labels import expression_named, split_named
from fer_batch.sources.listing import FORMATS, IMAGE_SUFFIXES, VIDEO_SUFFIXES, in_order, listing_version
from fer_batch.sources.names import ANNOTATIONS, LANDMARKS, NAMED, beside, name_parts
from fer_batch.storage.store import Entry, Store
from fer_batch.types import InputError, SequenceRef

SEQUENCES = "sequences.csv"


def _entries(store: Store, uri: str) -> dict[str, Entry]:
    if not store.exists():
        raise InputError(f"source.uri {uri!r} does not exist; expected a folder of media")
    entries = {entry.path: entry for entry in store.walk()}
    if list(entries) == ["."]:
        raise InputError(f"source.uri {uri!r} is a file; expected a folder of media")
    # An output of ours below the source holds pictures of faces that are no inputs.
    found = (re.fullmatch(r"(|.*/)_(commits|plans)/[^/]+\.json", path) for path in entries)
    outputs = {one[1] for one in found if one}
    return {path: entry for path, entry in entries.items() if not any(path.startswith(out) for out in outputs)}


def _select(entries: Iterable[str], pattern: Sequence[str], suffixes: Sequence[str], uri: str, what: str) -> list[str]:
    paths = list(entries)
    if pattern:
        # fnmatch's `*` crosses folders already; `**/` is what people write to say so
        globs = [glob.removeprefix("**/") for glob in pattern]
        chosen = [path for path in paths if any(_matches(path, glob, suffixes) for glob in globs)]
    else:
        chosen = [path for path in paths if path.lower().endswith(tuple(suffixes))]
    if not chosen:
        looked_for = ", ".join(pattern or [f"*{suffix}" for suffix in suffixes])
        example = f", such as {paths[0]!r}" if paths else ""
        other = _other_media(paths, suffixes)
        if other:  # it may as well be a dataset, with a format of its own
            other += f"; what it is: fer-batch inspect {shlex.quote(uri)}"
        raise InputError(f"no {what} in {uri!r}: looked for {looked_for} among {len(paths)} files{example}{other}")
    return chosen


def _other_media(paths: Sequence[str], suffixes: Sequence[str]) -> str:
    """A sentence part for a folder that holds only what another job takes."""
    if any(path.lower().endswith(tuple(suffixes)) for path in paths):
        return ""
    for name, others, job in (("videos", VIDEO_SUFFIXES, "clips"), ("images", IMAGE_SUFFIXES, "stills")):
        n_others = sum(path.lower().endswith(others) for path in paths)
        if n_others:
            return f"; it holds {n_others} {name if n_others > 1 else name[:-1]}; {name}: jobs/{job}.yaml"
    return ""


def _matches(path: str, glob: str, suffixes: Sequence[str]) -> bool:
    """Whether a glob takes a file; other than the usual types only where the glob says which (`*.dat`)."""
    named = re.fullmatch(r"\.\w+", posixpath.splitext(glob)[1])
    return fnmatch.fnmatchcase(path, glob) and (named is not None or path.lower().endswith(tuple(suffixes)))


def _skip_reason(path: str) -> str | None:
    return "macOS resource fork, not media" if posixpath.basename(path).startswith("._") else None


def _people(store: Store, entries: dict[str, Entry]) -> dict[str, dict[str, str]]:
    if SEQUENCES not in entries:
        return {}
    try:
        rows = csv.DictReader(io.StringIO(store.read_bytes(SEQUENCES).decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise InputError(f"{store.url(SEQUENCES)} is not UTF-8: {error}") from None
    if "path" not in (rows.fieldnames or ()):
        raise InputError(
            f"{store.url(SEQUENCES)}: expected the columns path, subject_id, emotion; got {rows.fieldnames}"
        )
    known = ({key: value for key, value in row.items() if value} for row in rows)
    return {
        posixpath.normpath(row["path"].strip()): _named(row, store.url(SEQUENCES)) for row in known if "path" in row
    }


def _named(row: dict[str, str], where: str) -> dict[str, str]:
    """A row of `sequences.csv` with the names that the tables have; `raw` is the emotion as it was."""
    named = {key: row[key].strip() for key in NAMED if row.get(key)}
    if re.fullmatch(r"\d+(\.\d*)?", named.get("emotion", "")):
        raise InputError(f"{where}: the emotion of {row['path']!r} is the number {row['emotion']}; expected its name")
    if "emotion" in named:
        named |= {"emotion": expression_named(named["emotion"]), "raw": row["emotion"]}
    return named | ({"split": split_named(named["split"])} if "split" in named else {})


@FORMATS.register("videos")
def list_videos(uri: str, pattern: Sequence[str], *, regex: str | None = None) -> Iterator[SequenceRef]:
    """Video files anywhere below a folder."""
    store = Store(uri)
    entries = _entries(store, uri)
    people, said = _people(store, entries), name_parts(regex)
    for path in _select(entries, pattern, VIDEO_SUFFIXES, uri, "videos"):
        stem = posixpath.splitext(path)[0]
        person = said(path) | people.get(path, {})
        yield SequenceRef(
            sequence_id=path,
            kind="video",
            uri=store.url(path),
            size=entries[path].size,
            version=entries[path].version,
            subject_id=person.get("subject_id") or None,
            emotion=person.get("emotion") or None,
            split=person.get("split") or None,
            skip_reason=_skip_reason(path),
            **beside(entries, stem + ANNOTATIONS, stem + LANDMARKS, store.url),
        )


@FORMATS.register("images")
def list_images(uri: str, pattern: Sequence[str], *, regex: str | None = None) -> Iterator[SequenceRef]:
    """Stills anywhere below a folder."""
    store = Store(uri)
    entries = _entries(store, uri)
    people, said = _people(store, entries), name_parts(regex)
    for path in _select(entries, pattern, IMAGE_SUFFIXES, uri, "images"):
        person = said(path) | people.get(path, {})
        emotion = person.get("emotion") or None
        yield SequenceRef(
            sequence_id=path,
            kind="still",
            uri=store.url(path),
            size=entries[path].size,
            version=entries[path].version,
            subject_id=person.get("subject_id") or None,
            emotion=emotion,
            split=person.get("split") or None,
            labels=((emotion, 1.0),) if emotion else (),
            raw_labels=((emotion, raw),) if emotion and (raw := person.get("raw", emotion)) != emotion else (),
            skip_reason=_skip_reason(path),
        )


@FORMATS.register("image_sequences")
def list_image_sequences(uri: str, pattern: Sequence[str], *, regex: str | None = None) -> Iterator[SequenceRef]:
    """Folders of numbered images: every folder that holds images is one sequence."""
    store = Store(uri)
    entries = _entries(store, uri)
    people, said = _people(store, entries), name_parts(regex)
    folders: dict[str, list[str]] = {}
    for path in _select(entries, pattern, IMAGE_SUFFIXES, uri, "images"):
        if _skip_reason(path) is None:
            folders.setdefault(posixpath.dirname(path) or ".", []).append(path)
    for folder, paths in folders.items():
        ordered = in_order([entries[path] for path in paths], store.url(folder))
        person = said(folder) | people.get(folder, {})
        base = "" if folder == "." else folder + "/"
        yield SequenceRef(
            sequence_id=folder,
            kind="image_sequence",
            uri=store.url(folder),
            size=sum(entry.size for entry in ordered),
            version=listing_version(ordered),
            files=tuple(store.url(entry.path) for entry in ordered),
            subject_id=person.get("subject_id") or None,
            emotion=person.get("emotion") or None,
            split=person.get("split") or None,
            **beside(entries, base + ANNOTATIONS[1:], base + LANDMARKS[1:], store.url),
        )
