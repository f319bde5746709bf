"""First step of phase 1: a unit of work becomes chunks of face crops. Never imports torch."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.media.decode import Decoder, Frame
from fer_batch.pipeline.chunk import CHUNK_FRAMES, Chunk
from fer_batch.pipeline.faces import (
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
from fer_batch.pipeline.units import NO_FACE, NO_FRAME, Unit
from fer_batch.sources.fetch import StoreFault, local_file, local_input
from fer_batch.sources.listing import frame_number
from fer_batch.types import InputError, MediaError, SequenceRef, face_id

log = logging.getLogger(__name__)


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
    Rows of `Chunk`; the last one carries the rows of table `sequences`.
    """
    unit: Unit = pickle.loads(row["unit"])
    sequences: list[dict[str, Any]] = []
    fault: str | None = None
    pending = _Pending(unit.unit_id, options.size)
    cv2.setNumThreads(1)  # a worker owns one core
    try:
        for ref in unit.members:
            for item in _member(ref, options, sequences):
                if len(pending.rows) == CHUNK_FRAMES:
                    yield pending.chunk().to_row()
                    pending.clear()
                pending.add(item)
    except StoreFault as error:
        fault = str(error)
    yield pending.chunk().with_maps(last=True, sequences=sequences, fault=fault).to_row()


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
    row: dict[str, Any] = {
        "sequence_id": ref.sequence_id,
        "input": ref.sequence_id,
        "subject_id": ref.subject_id,
        "uri": ref.uri,
        "kind": ref.kind,
        "emotion": ref.emotion,
        "split": ref.split,
        "status": "done",
    }
    n_frames: dict[int, int] = {0: 0}  # by person
    n_faces: dict[int, int] = {}
    n_changes = 0  # of the face that is taken for one
    items = {"video": _video, "image_sequence": _image_sequence, "still": _still}[ref.kind]
    try:
        if ref.skip_reason:
            row.update(status="skipped", reason=ref.skip_reason)
        elif ref.size == 0:
            row.update(status="failed", reason="the file is empty (0 bytes)")
        else:
            for item in items(ref, options, row):
                n_frames[item.person] = n_frames.get(item.person, 0) + 1
                n_faces[item.person] = n_faces.get(item.person, 0) + (item.image is not None)
                item.row["sequence_id"] = face_id(ref.sequence_id, item.person)
                n_changes = max(n_changes, 0 if item.person else item.row["track_id"] or 0)
                yield item
    except MediaError as error:
        if n_frames[0]:  # what came before was good and is kept
            row["reason"] = f"ended early: {error}"
        else:
            row.update(status="failed", reason=str(error))
    except (StoreFault, InputError):
        raise
    except Exception as error:  # a bug met by one input must not end the night's run; it says so in that input's row
        log.exception("unexpected error in %s", ref.sequence_id)
        row.update(status="failed", reason=f"unexpected {type(error).__name__}: {error}")
    if n_changes:
        times = "once" if n_changes == 1 else f"{n_changes} times"
        changed = f"the largest face changed {times}: one story of perhaps several people (faces.choose: tracked)"
        row["reason"] = "; ".join(filter(None, [row.get("reason"), changed]))
    for person, n in sorted(n_frames.items()):
        own = {**row, "sequence_id": face_id(ref.sequence_id, person), "n_frames": n}
        if person:  # the source's labels are of one face, and nobody knows that it is this one
            own.update(subject_id=None, emotion=None)
        if row["status"] == "done" and not n_faces.get(person) and row.get("reason") is None:
            own["reason"] = NO_FACE if n else NO_FRAME
        sequences.append(own)


def _video(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Item]:
    truth = KnownFaces(ref, options, row)
    decoder = _decoder(options.timeout_s, options.memory_bytes)
    with local_file(ref.uri) as path:
        try:
            if options.detector in ("none", "dataset"):
                yield from _known_crops(decoder, path, options, truth)
            else:
                yield from _found_crops(decoder, path, options, truth)
        finally:
            found = decoder.summary
            row.update(fps=found.fps, n_declared=found.n_declared, n_decoded=found.n_decoded, reason=found.reason)


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
    sampler, broken = options.sampling.sampler(len(ref.files)), None
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
            broken = str(error)
            yield from faces.absent(frame_row(index, None, number, no_place(broken, "decode_error")))
            continue
        row["n_decoded"] += 1
        yield from faces.of(Frame(index, None, image), number)
    yield from faces.end()
    if not row["n_decoded"]:
        raise MediaError(f"none of its {len(ref.files)} images could be read: {broken}")
    if broken:
        row["reason"] = f"{row['n_declared'] - row['n_decoded']} of {row['n_declared']} images could not be read"


def _still(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Item]:
    truth = KnownFaces(ref, options, row)
    decoder = _decoder(options.timeout_s, options.memory_bytes)
    with local_input(ref) as path:
        frame = decoder.image(path)
    row.update(n_declared=1, n_decoded=1)
    yield from faces_of_still(options, truth).of(frame, frame_number(ref.uri))
