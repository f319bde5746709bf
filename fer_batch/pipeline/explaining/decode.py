"""First step of phase 1: a unit of work becomes chunks of face crops. Never imports torch."""

from __future__ import annotations

import logging
import pickle
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.media.decode import Decoder, Frame
from fer_batch.pipeline.explaining.chunk import CHUNK_FRAMES, Chunk
from fer_batch.pipeline.explaining.faces import (
    DecodeOptions,
    Item,
    KnownFaces,
    Place,
    faces_of,
    faces_of_still,
    frame_row,
    no_place,
    place_of,
    whole_frame,
)
from fer_batch.pipeline.explaining.units import NO_FACE, NO_FRAME, Unit
from fer_batch.sources.fetch import NotThere, StoreFault, local_file, local_input
from fer_batch.sources.identity import InputChanged, check_readable, check_root, check_unchanged, now
from fer_batch.sources.listing import frame_number
from fer_batch.types import EnvironmentFault, InputError, MediaError, SequenceRef, face_id

log = logging.getLogger(__name__)

MANY_ABSENT = 8  # inputs in a row that were listed and are gone: nobody deletes so fast, but a share drops so


@lru_cache(maxsize=1)
def _decoder(timeout_s: float, memory_bytes: int) -> Decoder:
    # One child per worker process, for as long as the worker lives.
    return Decoder(timeout_s=timeout_s, memory_bytes=memory_bytes)


def decode_unit(row: dict[str, Any], options: DecodeOptions) -> Iterator[dict[str, Any]]:
    """Chunks of one unit; what cannot be read becomes a row with a reason, never an exception.

    Parameters
    ----------
    row
        `unit`: a pickled `Unit`.
    options
        How to decode, find faces and crop.

    Yields
    ------
    Rows of `Chunk`; the last one carries the rows of table `sequences`, and what is not to be committed.
    """
    unit: Unit = pickle.loads(row["unit"])
    found = _Found()
    fault: str | None = None
    pending = _Pending(unit.unit_id, options.size)
    cv2.setNumThreads(1)  # a worker owns one core
    try:
        for item in _members(unit, options, found):
            if len(pending.rows) == CHUNK_FRAMES:
                yield pending.chunk().to_row()
                pending.clear()
            pending.add(item)
    except EnvironmentFault as error:
        fault = str(error)
    known = {"sequences": found.sequences, "changed": tuple(found.changed), "fault": fault}
    yield pending.chunk().with_maps(last=True, **known).to_row()


@dataclass
class _Found:
    """What became of the inputs of a unit: rows of table `sequences`, and inputs that changed while they were read."""

    sequences: list[dict[str, Any]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def _members(unit: Unit, options: DecodeOptions, found: _Found) -> Iterator[Item]:
    n_absent = 0
    for ref in unit.members:
        try:
            yield from _member(ref, options, found.sequences)
        except InputChanged:
            found.changed.append(ref.sequence_id)
            continue
        n_absent = n_absent + 1 if found.sequences[-1].get("absent") else 0
        if n_absent == MANY_ABSENT:
            raise StoreFault(absent_text(n_absent, ref.uri))


def absent_text(n: int, uri: str) -> str:
    """One sentence for many inputs that are gone; one alone may have been deleted."""
    return f"{n} inputs in a row are gone that were there when the source was listed, the last is {uri}"


class _Pending:
    """Items of the next chunk. Crops are kept in one array, which every chunk of the unit uses again."""

    def __init__(self, unit_id: str, size: int) -> None:
        self.unit_id = unit_id
        self.index = 0
        self.images = np.empty((CHUNK_FRAMES, size, size, 3), np.uint8)
        self.rows: list[dict[str, Any]] = []
        self.ok: list[int] = []
        self.targets: list[list[str]] = []

    def clear(self) -> None:
        """Begin the chunk behind this one."""
        self.index += 1
        self.rows, self.ok, self.targets = [], [], []

    def add(self, item: Item) -> None:
        """Take an item."""
        if item.image is not None:
            self.images[len(self.ok)] = item.image
            self.ok.append(len(self.rows))
            self.targets.append(item.targets)
        self.rows.append(item.row)

    def chunk(self) -> Chunk:
        """The items so far; valid until the next `add`."""
        images = self.images[: len(self.ok)]
        return Chunk(self.unit_id, self.index, False, self.rows, np.array(self.ok, np.int64), images, self.targets)


def _member(ref: SequenceRef, options: DecodeOptions, sequences: list[dict[str, Any]]) -> Iterator[Item]:
    """Faces of one input; appends its rows of table `sequences` at the end, the input's own first."""
    row = _row(ref)
    counts = _Counts()
    try:
        for item in _read(ref, options, row):
            counts.add(item)
            item.row["sequence_id"] = face_id(ref.sequence_id, item.person)
            yield item
    except MediaError as error:
        if counts.n_frames[0]:  # what came before was good and is kept
            row.update(status="partial", reason=f"ended early: {error}")
        else:
            row.update(status="failed", reason=str(error))
    except (EnvironmentFault, InputError):
        raise
    except Exception as error:  # a fault of ours that one input shows must not stop the others; its row says so
        log.exception("unexpected error in %s", ref.sequence_id)
        row.update(status="failed", reason=f"unexpected {type(error).__name__}: {error}")
    sequences += counts.rows(row)


def _row(ref: SequenceRef) -> dict[str, Any]:
    """Columns of table `sequences` that are known before the input is read."""
    return {
        "sequence_id": ref.sequence_id,
        "input": ref.sequence_id,
        "subject_id": ref.subject_id,
        "uri": ref.uri,
        "kind": ref.kind,
        "emotion": ref.emotion,
        "split": ref.split,
        "status": "done",
    }


class _Counts:
    """Counts the frames and faces of each person of an input; 0 is the input's own row."""

    def __init__(self) -> None:
        self.n_frames: dict[int, int] = {0: 0}
        self.n_faces: dict[int, int] = {}
        self.n_changes = 0  # of the face that is taken for one

    def add(self, item: Item) -> None:
        """Count an item."""
        self.n_frames[item.person] = self.n_frames.get(item.person, 0) + 1
        self.n_faces[item.person] = self.n_faces.get(item.person, 0) + (item.image is not None)
        self.n_changes = max(self.n_changes, 0 if item.person else item.row["track_id"] or 0)

    def rows(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Rows of table `sequences`, from what is common to them."""
        if self.n_changes:
            times = "once" if self.n_changes == 1 else f"{self.n_changes} times"
            changed = f"the largest face changed {times}: one story of perhaps several people (faces.choose: tracked)"
            row["reason"] = "; ".join(filter(None, [row.get("reason"), changed]))
        for person, n in sorted(self.n_frames.items()):
            own = {**row, "sequence_id": face_id(row["input"], person), "n_frames": n}
            if person:  # the source's labels are of one face, and nobody knows that it is this one
                own.update(subject_id=None, emotion=None)
            if row["status"] == "done" and not self.n_faces.get(person) and row.get("reason") is None:
                own["reason"] = NO_FACE if n else NO_FRAME
            yield own


def _read(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Item]:
    """Faces of one input that is what its listing found, from its first frame to behind its last."""
    if ref.skip_reason:
        row.update(status="skipped", reason=ref.skip_reason)
        return
    if ref.size == 0:
        row.update(status="failed", reason="the file is empty (0 bytes)")
        return
    items = {"video": _video, "image_sequence": _image_sequence, "still": _still}[ref.kind](ref, options, row)
    try:
        if ref.kind == "still":
            items = iter(list(items))  # one that changed must not leave its frame in a pack
        else:
            yield from items
    except NotThere:
        if options.root:
            check_root(options.root)
        row["absent"] = now(ref) == "gone"
        if row["absent"]:  # it was there when its folder was listed, which may be a share of its own
            check_root(posixpath.dirname(ref.uri))
        raise
    except MediaError:
        _check_source(ref, options)
        raise
    if row["status"] == "partial":
        _check_source(ref, options)
    check_unchanged(ref)
    yield from items


def _check_source(ref: SequenceRef, options: DecodeOptions) -> None:
    """Look whether it is the source rather than the input that something is wrong with."""
    if options.root:
        check_root(options.root)
    check_unchanged(ref)
    check_readable(ref)


def _video(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Item]:
    truth = KnownFaces(ref, options, row)
    decoder = _decoder(options.timeout_s, options.memory_bytes)
    with local_file(ref.uri, ref.size) as path:
        try:
            if options.detector in ("none", "dataset"):
                yield from _known_crops(decoder, path, options, truth)
            else:
                yield from _found_crops(decoder, path, options, truth)
        finally:
            found = decoder.summary
            row.update(fps=found.fps, n_declared=found.n_declared, n_decoded=found.n_decoded, reason=found.reason)
            row["status"] = "partial" if found.partial else "done"
    if found.reason is None and options.sampling.to_the_end:
        row["length"] = found.n_decoded  # its frames are all there are: labels of others are left out


def _known_crops(decoder: Decoder, path: Any, options: DecodeOptions, truth: KnownFaces) -> Iterator[Item]:
    """Where a face is is known before the frame is decoded, so that whole frames need not leave the decoder."""
    places: dict[int, Place] = {}
    matrices: dict[int, NDArray[np.float64]] | None = None
    if options.detector == "dataset":
        places = {index: place_of(truth.points.get(index), truth.boxes.get(index), options) for index in truth.frames()}
        matrices = {index: place.matrix for index, place in places.items() if place.matrix is not None}
    for found in decoder.crops(path, options.size, matrices, options.sampling):
        index = found.frame_index
        if matrices is None:
            place = whole_frame(found.height, found.width, options.size)
        else:
            place = places.get(index, no_place("the source has no landmarks for this frame"))
        row = frame_row(index, found.timestamp_ns, None, place)
        yield Item(row, found.image, truth.targets.get(index, []) if found.image is not None else [])


def _found_crops(decoder: Decoder, path: Any, options: DecodeOptions, truth: KnownFaces) -> Iterator[Item]:
    faces, fault = faces_of(options, truth), None
    try:
        for frame in decoder.frames(path, options.sampling):
            yield from faces.of(frame, None)
    except MediaError as error:
        fault = error
    yield from faces.end()
    if fault is not None:
        raise fault


def _image_sequence(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Item]:
    truth = KnownFaces(ref, options, row)
    faces = faces_of(options, truth)
    decoder = _decoder(options.timeout_s, options.memory_bytes)
    row.update(n_declared=len(ref.files), n_decoded=0)
    sampler, broken, n_broken = options.sampling.sampler(len(ref.files)), None, 0
    for index, uri in enumerate(ref.files):
        if sampler.finished():
            break
        if not sampler.keeps(0):
            continue
        number = frame_number(uri)
        try:
            with local_file(uri) as path:
                image = decoder.image(path).image
        except MediaError as error:
            broken, n_broken = str(error), n_broken + 1
            yield from faces.absent(frame_row(index, None, number, no_place(broken, "decode_error")))
            continue
        row["n_decoded"] += 1
        yield from faces.of(Frame(index, None, image), number)
    yield from faces.end()
    if not row["n_decoded"]:
        raise MediaError(f"none of its {len(ref.files)} images could be read: {broken}")
    if broken:
        reason = f"{n_broken} of {n_broken + row['n_decoded']} images could not be read"
        row.update(status="partial", reason=reason)


def _still(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Item]:
    truth = KnownFaces(ref, options, row)
    decoder = _decoder(options.timeout_s, options.memory_bytes)
    with local_input(ref) as path:
        frame = decoder.image(path)
    row.update(n_declared=1, n_decoded=1)
    yield from faces_of_still(options, truth).of(frame, frame_number(ref.uri))
