"""What a URI is, without running anything."""

from __future__ import annotations

import csv
import io
import posixpath
import shlex
from collections import Counter
from collections.abc import Iterable
from typing import Literal, Required, TypedDict, cast

from fer_batch.models.card import SHIPPED, SUFFIXES, shipped_path
from fer_batch.output.status import status, status_text
from fer_batch.pipeline.inspect.checkpoint import CheckpointFacts, checkpoint_facts, checkpoint_text
from fer_batch.pipeline.inspect.dataset import DatasetFacts, dataset_facts, dataset_text
from fer_batch.sources.dataset import DATASETS
from fer_batch.sources.folders import SEQUENCES
from fer_batch.sources.listing import IMAGE_SUFFIXES, VIDEO_SUFFIXES, frame_number, list_source
from fer_batch.sources.manifest_table import said_unread, unread_columns
from fer_batch.sources.names import LANDMARKS, NAMED
from fer_batch.sources.recognise import dataset_around, recognise
from fer_batch.sources.tree import Tree, is_junk
from fer_batch.storage.manifest import is_begun
from fer_batch.storage.store import Store
from fer_batch.types import InputError

STUDIES = "report/studies"  # below it the pages of every study


class OutputFacts(TypedDict):
    """What `inspect` says of an output: that it is one, and `output.status`, studies with the URL of their page."""

    kind: Literal["output"]
    output: str
    partitions: list[dict[str, object]]
    studies: list[dict[str, object]]
    units_committed_not_published: int
    units_begun: int


class _Part(TypedDict):
    format: str
    uri: str


class SourceFacts(TypedDict, total=False):
    """What `inspect` says of a manifest or a folder of media; what is found in a folder alone may be absent."""

    kind: Required[Literal["source"]]
    format: Required[str]
    uri: Required[str]
    inputs: Required[int]
    kinds: Required[dict[str, int]]
    bytes: Required[int]
    subjects: Required[int]
    emotions: Required[dict[str, int]]
    with_annotations: Required[int]
    landmarks: Required[int]
    example: Required[str]
    columns_not_read: Required[str | None]
    part_of: Required[_Part | None]
    job: Required[str]
    with_landmarks: int
    has_sequences_csv: bool
    images_beside: int
    sequences_csv_missing: int
    sequences_csv_missing_first: list[str]
    sequences_csv_not_read: str | None


Facts = OutputFacts | CheckpointFacts | DatasetFacts | SourceFacts


def inspect_uri(uri: str) -> Facts:
    """Facts about an output, a checkpoint, a dataset, a manifest or a folder of media.

    A path goes before a shipped name.

    Raises
    ------
    InputError
        If it does not exist or is none of them.
    """
    if uri.endswith(SUFFIXES):
        return checkpoint_facts(uri)
    store = Store(uri)
    if not store.exists():
        if uri in SHIPPED:
            return checkpoint_facts(str(shipped_path(uri)))
        raise InputError(f"{uri!r} does not exist")
    if store.exists("tables") or is_begun(store):
        return _output(store)
    is_table = uri.lower().endswith((".csv", ".parquet"))
    tables = {name for record in DATASETS.values() for name in record.tables}
    known = recognise(Tree(uri)) if not is_table or posixpath.basename(uri).lower() in tables else []
    if is_table and not known:
        return _source("manifest", uri)
    if known:
        return dataset_facts(known[0], uri, known[1:])
    return _media(store, uri)


def _output(store: Store) -> OutputFacts:
    found = status(store)
    for study in found["studies"]:
        page = f"{STUDIES}/{study['study']}/index.html"
        study["page"] = store.url(page) if store.exists(page) else None
    return cast("OutputFacts", {"kind": "output", **found})


def _media(store: Store, uri: str) -> SourceFacts:
    """A folder of videos, images or numbered images, or one that holds a manifest."""
    entries = [entry.path for entry in store.walk() if not is_junk(entry.path)]
    if entries == ["."]:
        raise InputError(_not_a_folder(uri))
    if not entries:
        raise InputError(f"{uri!r} is empty")
    suffixes = Counter(posixpath.splitext(path)[1].lower() for path in entries)
    n_videos = sum(suffixes[s] for s in VIDEO_SUFFIXES if s not in IMAGE_SUFFIXES)
    n_images = sum(suffixes[s] for s in IMAGE_SUFFIXES)
    if "manifest.csv" in entries:
        return _source("manifest", posixpath.join(uri, "manifest.csv"))
    if n_videos:
        found = _source("videos", uri)
        found["with_landmarks"] = sum(path.endswith(LANDMARKS) for path in entries)
        found["has_sequences_csv"] = SEQUENCES in entries
        found["images_beside"] = _images_beside(uri) if n_images else 0
    elif n_images:
        found = _source("image_sequences" if _are_sequences(entries) else "images", uri)
    else:
        kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in suffixes.most_common(5))
        raise InputError(f"{uri!r} holds no videos, images or output; its {_count(len(entries), 'file')}: {kinds}")
    _add_unmatched_people(found, store, entries)
    return found


def _not_a_folder(uri: str) -> str:
    """Why a file is not inspected, and what to do instead."""
    if uri.lower().endswith((*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)):
        folder = shlex.quote(posixpath.dirname(uri) or ".")
        return f"{uri!r} is a single media file; give its folder: fer-batch inspect {folder}"
    if uri.lower().endswith((".yaml", ".yml")):
        return f"{uri!r} looks like a job file; it is done by fer-batch run or fer-batch train"
    return f"{uri!r} is a file; expected a folder, a checkpoint ({', '.join(SUFFIXES)}) or a manifest"


def _are_sequences(paths: Iterable[str]) -> bool:
    """Whether the images lie in several folders of several, numbered in each as the frames of a sequence are."""
    folders: dict[str, list[int | None]] = {}
    for path in paths:
        if path.lower().endswith(IMAGE_SUFFIXES):
            folders.setdefault(posixpath.dirname(path), []).append(frame_number(path))
    several = len(folders) > 1 and all(len(numbers) > 1 for numbers in folders.values())
    return several and all(None not in n and len(set(n)) == len(n) for n in folders.values())


def _images_beside(uri: str) -> int:
    """Images beside videos, without the pictures of an output that lies below the folder."""
    try:
        return sum(not ref.sequence_id.lower().endswith(VIDEO_SUFFIXES) for ref in list_source("images", uri))
    except InputError:
        return 0


def _add_unmatched_people(found: SourceFacts, store: Store, entries: Iterable[str]) -> None:
    """Add rows of `sequences.csv` without a file or folder, and columns that are not read: likely typing errors."""
    paths = set(entries)
    if SEQUENCES not in paths:
        return
    rows = csv.DictReader(io.StringIO(store.read_bytes(SEQUENCES).decode("utf-8-sig")))
    known = paths | {posixpath.dirname(path) or "." for path in paths}
    missing = [row["path"] for row in rows if row["path"] and posixpath.normpath(row["path"].strip()) not in known]
    names = rows.fieldnames or []
    found["sequences_csv_missing"] = len(missing)
    found["sequences_csv_missing_first"] = missing[:3]
    found["sequences_csv_not_read"] = said_unread(names, [name if name in ("path", *NAMED) else None for name in names])


def _source(format: str, uri: str) -> SourceFacts:
    refs = list_source(format, uri)
    around = dataset_around(uri) if format != "manifest" else None
    emotions = Counter(ref.emotion for ref in refs if ref.emotion)
    return {
        "kind": "source",
        "format": format,
        "uri": uri,
        "inputs": len(refs),
        "kinds": dict(Counter(ref.kind for ref in refs)),
        "bytes": sum(max(ref.size, 0) for ref in refs),
        "subjects": len({ref.subject_id for ref in refs if ref.subject_id}),
        "emotions": dict(sorted(emotions.items())),
        "with_annotations": sum(bool(ref.annotation_uris or ref.labels) for ref in refs),
        "landmarks": sum(bool(ref.landmarks or ref.landmarks_uri) for ref in refs),
        "example": refs[0].sequence_id,
        "columns_not_read": unread_columns(uri, {}) if format == "manifest" else None,
        "part_of": {"format": around[0], "uri": around[1]} if around else None,
        "job": "jobs/stills.yaml" if refs[0].kind == "still" else "jobs/clips.yaml",
    }


def inspect_text(found: Facts) -> str:
    """The same for a person."""
    if found["kind"] == "dataset":
        return dataset_text(found)
    if found["kind"] == "output":
        pages = [f"  page of study {study['study']}: {study['page']}" for study in found["studies"] if study["page"]]
        return "\n".join(["an output of fer-batch", status_text(dict(found)), *pages])
    if found["kind"] == "checkpoint":
        return checkpoint_text(found)
    kinds = ", ".join(_count(count, kind.replace("_", " ")) for kind, count in found["kinds"].items())
    lines = [f"source of format {found['format']}: {kinds} ({found['bytes'] / 1e6:.1f} MB), such as {found['example']}"]
    if found["subjects"]:
        lines.append("  " + _count(found["subjects"], "subject"))
    if found["emotions"]:
        lines.append("  " + ", ".join(f"{name} {count}" for name, count in found["emotions"].items()))
    lines.append(f"  {found['with_annotations']} with annotations")
    missing = "" if found["landmarks"] == found["inputs"] else "; the others need faces.detector: dlib or none"
    lines.append(f"  {found['landmarks']} with landmarks{missing}")
    return "\n".join([*lines, *_warnings(found), *_commands(found)])


def _warnings(found: SourceFacts) -> list[str]:
    """Lines about rows and columns that match nothing, and about labels that are read only from above."""
    lines = []
    if found.get("sequences_csv_missing"):
        named, n_missing = found["sequences_csv_missing_first"], found["sequences_csv_missing"]
        rest = ", ..." if n_missing > len(named) else ""
        lines.append(f"  {SEQUENCES}: {_count(n_missing, 'row')} without a file: {', '.join(named)}{rest}")
    if found.get("sequences_csv_not_read"):
        lines.append(f"  {SEQUENCES}: {found['sequences_csv_not_read']}")
    if found["columns_not_read"]:
        lines.append("  " + found["columns_not_read"])
    if found["part_of"]:
        name, folder = found["part_of"]["format"], shlex.quote(found["part_of"]["uri"])
        lines.append(f"  it lies in a folder of {name}, whose labels are read from above: fer-batch inspect {folder}")
    return lines


def _commands(found: SourceFacts) -> list[str]:
    """Lines with the commands that run it."""
    uri = shlex.quote(f"source.uri={found['uri']}")
    format = "" if found["format"] in ("videos", "images") else f"--set source.format={found['format']} "
    lines = [f"  run it: fer-batch run {found['job']} {format}--set {uri} --output OUT"]
    if found.get("images_beside"):
        images = _count(found["images_beside"], "image")
        lines.append(f"  {images} beside: fer-batch run jobs/stills.yaml --set {uri} --output OUT")
    return lines


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
