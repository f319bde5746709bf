"""First step of phase 1: a unit of work becomes chunks of face crops. Never imports torch."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.facs import DEFAULT_RULE, OccurrenceRule
from fer_batch.media.align import Box, apply_affine, crop, crop_matrix, face_box, inside, whole_frame_matrix
from fer_batch.media.decode import Decoder, Frame
from fer_batch.media.landmarks import Detector, Face, FaceFinder, load_detector
from fer_batch.media.sampling import Sampling
from fer_batch.media.tracks import FaceTracker, Roll, Succession, every_face
from fer_batch.pipeline.chunk import CHUNK_FRAMES, Chunk
from fer_batch.pipeline.units import NO_FACE, NO_FRAME, Unit
from fer_batch.sources.fetch import StoreFault, local_file, local_input
from fer_batch.sources.listing import frame_number
from fer_batch.sources.truth import read_truth
from fer_batch.types import InputError, MediaError, SequenceRef, face_id

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DecodeOptions:
    """What `decode_unit` needs of the job."""

    sampling: Sampling
    detector: str
    every: int
    align: Literal["none", "eyes"]
    margin: float
    min_size: int
    size: int
    annotated: bool
    timeout_s: float
    memory_bytes: int
    choose: Literal["largest", "tracked", "all"] = "largest"
    labels: OccurrenceRule = DEFAULT_RULE


@lru_cache(maxsize=1)
def _decoder(timeout_s: float, memory_bytes: int) -> Decoder:
    # One child per worker process, for as long as the worker lives.
    return Decoder(timeout_s=timeout_s, memory_bytes=memory_bytes)


@lru_cache(maxsize=1)
def _detector(name: str) -> Detector:
    return load_detector(name)


class Item(NamedTuple):
    """One face of one frame on its way into a chunk.

    Attributes
    ----------
    row
        Columns of table `frames`.
    image
        The crop; None where the frame is not ok.
    targets
        Those that are annotated as present.
    person
        Whose face it is; 0 is the input's own row of table `sequences`.
    """

    row: dict[str, Any]
    image: NDArray[np.uint8] | None
    targets: list[str]
    person: int = 0


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
    truth = _Truth(ref, options, row)
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


def _known_crops(decoder: Decoder, path: Any, options: DecodeOptions, truth: _Truth) -> Iterator[Item]:
    """Where a face is is known before the frame is decoded, so that whole frames need not leave the decoder."""
    places: dict[int, _Place] = {}
    matrices: dict[int, NDArray[np.float64]] | None = None
    if options.detector == "dataset":
        places = {index: _place(truth.points.get(index), truth.boxes.get(index), options) for index in truth.frames()}
        matrices = {index: place.matrix for index, place in places.items() if place.matrix is not None}
    for found in decoder.crops(path, options.size, matrices, options.sampling):
        index = found.frame_index
        if matrices is None:
            place = _whole_frame(found.height, found.width, options.size)
        else:
            place = places.get(index, _no_place("the source has no landmarks for this frame"))
        row = _frame_row(index, found.timestamp_ns, None, place)
        yield Item(row, found.image, truth.targets.get(index, []) if found.image is not None else [])


def _found_crops(decoder: Decoder, path: Any, options: DecodeOptions, truth: _Truth) -> Iterator[Item]:
    faces, fault = _faces(options, truth), None
    try:
        for frame in decoder.frames(path, options.sampling):
            yield from faces.of(frame, None)
    except MediaError as error:
        fault = error
    yield from faces.end()
    if fault is not None:
        raise fault


def _image_sequence(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Item]:
    truth = _Truth(ref, options, row)
    faces = _faces(options, truth)
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
            yield from faces.absent(_frame_row(index, None, number, _no_place(broken, "decode_error")))
            continue
        row["n_decoded"] += 1
        yield from faces.of(Frame(index, None, image), number)
    yield from faces.end()
    if not row["n_decoded"]:
        raise MediaError(f"none of its {len(ref.files)} images could be read: {broken}")
    if broken:
        row["reason"] = f"{row['n_declared'] - row['n_decoded']} of {row['n_declared']} images could not be read"


def _still(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Item]:
    truth = _Truth(ref, options, row)
    decoder = _decoder(options.timeout_s, options.memory_bytes)
    with local_input(ref) as path:
        frame = decoder.image(path)
    row.update(n_declared=1, n_decoded=1)
    faces: _Faces = _EveryFace(options, truth) if _every_face(options, truth) else _OneFace(options, truth)
    yield from faces.of(frame, frame_number(ref.uri))


class _Truth:
    """Landmarks and labels of one input by frame."""

    def __init__(self, ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> None:
        truth = read_truth(ref)  # whole, even where targets are not chosen by it: a bad file is told now, not lost
        self.points, self.boxes = truth.points, truth.boxes
        row["emotion"] = truth.emotion
        self.targets: dict[int, list[str]] = truth.present(options.labels) if options.annotated else {}

    def frames(self) -> set[int]:
        """Frames whose face is known."""
        return set(self.points) | set(self.boxes)


class _Place(NamedTuple):
    """Where a face is in a frame, and how it is cropped."""

    status: str
    reason: str | None
    box: Box | None = None
    matrix: NDArray[np.float64] | None = None
    points: NDArray[np.float32] | None = None


def _no_place(reason: str | None, status: str = "no_face") -> _Place:
    return _Place(status, reason)


@lru_cache(maxsize=1)
def _whole_frame(height: int, width: int, size: int) -> _Place:
    box = (0.0, 0.0, float(width - 1), float(height - 1))
    return _Place("ok", None, box, whole_frame_matrix(height, width, size))


def _place(
    points: NDArray[np.float32] | None, box: Box | None, options: DecodeOptions, reason: str | None = None
) -> _Place:
    """The place of a face with these landmarks, or this box where it has none."""
    box = box if points is None else face_box(points)
    if box is None:
        return _no_place(reason)
    side = max(box[2] - box[0], box[3] - box[1])
    if side < options.min_size:
        reason = f"face of {side:.0f} px, at least {options.min_size} px are needed"
        return _Place("face_too_small", reason, box)
    align: Literal["none", "eyes"] = options.align if points is not None else "none"
    matrix = crop_matrix(box, options.size, margin=options.margin, align=align, landmarks=points)
    return _Place("ok", reason, box, matrix, points)


def _every_face(options: DecodeOptions, truth: _Truth) -> bool:
    return options.choose == "all" and options.detector not in ("none", "dataset") and not truth.frames()


def _faces(options: DecodeOptions, truth: _Truth) -> _Faces:
    """How the faces of a clip are found. Where the source knows the face, it is the one that is meant."""
    if options.choose == "largest" or options.detector in ("none", "dataset") or truth.frames():
        return _OneFace(options, truth)
    return _People(options, truth)


class _Faces:
    """Finds the faces of each frame of one input in turn and cuts them out."""

    def __init__(self, options: DecodeOptions, truth: _Truth) -> None:
        self.options = options
        self.truth = truth

    def of(self, frame: Frame, source_frame: int | None) -> Iterator[Item]:
        """Items of the next frame, or of earlier ones that are decided by now."""
        raise NotImplementedError

    def absent(self, row: dict[str, Any]) -> Iterator[Item]:
        """Items of a frame that could not be read."""
        yield Item(row, None, [])

    def end(self) -> Iterator[Item]:
        """Items that are left when the input has ended."""
        return iter(())

    def item(self, frame: Frame, source_frame: int | None, place: _Place) -> Item:
        """A face of a frame."""
        row = _frame_row(frame.frame_index, frame.timestamp_ns, source_frame, place)
        if place.matrix is None:
            return Item(row, None, [])
        targets = self.truth.targets.get(frame.frame_index, [])
        return Item(row, crop(frame.image, place.matrix, self.options.size), targets)

    def found(self, face: Face, how: str | None) -> _Place:
        """The place of a face that the detector found."""
        return _place(face.landmarks, face.box, self.options, how)


class _OneFace(_Faces):
    """The face that the source names, else the largest."""

    finder: FaceFinder | None = None

    def __init__(self, options: DecodeOptions, truth: _Truth) -> None:
        super().__init__(options, truth)
        self.succession = Succession()

    def of(self, frame: Frame, source_frame: int | None) -> Iterator[Item]:
        item = self.item(frame, source_frame, self._one(frame))
        if item.image is not None:
            item.row["track_id"] = self.succession.number
        yield item

    def _one(self, frame: Frame) -> _Place:
        options, index = self.options, frame.frame_index
        if options.detector == "none":
            return _whole_frame(*frame.image.shape[:2], options.size)
        if index in self.truth.points:
            return _place(self.truth.points[index], None, options)
        if options.detector == "dataset":
            box = self.truth.boxes.get(index)
            if box is None:
                return _no_place("the source has no landmarks for this frame")
            box = inside(box, *frame.image.shape[:2])
            return _place(None, box, options, None if box else "the source's face box lies outside of the picture")
        if self.finder is None:
            self.finder = FaceFinder(_detector(options.detector), every=options.every)
        face, how = self.finder.find(frame.image)
        self.succession.add(frame.image, face, how)
        return _no_place(None) if face is None else self.found(face, how)


class _EveryFace(_Faces):
    """Every face of a still, the largest first."""

    def of(self, frame: Frame, source_frame: int | None) -> Iterator[Item]:
        faces = every_face(_detector(self.options.detector), frame.image)
        for person, face in enumerate(faces):
            item = self.item(frame, source_frame, self.found(face, "detected"))
            item.row["track_id"] = person if item.image is not None else None
            yield item._replace(person=person, targets=[] if person else item.targets)
        if not faces:
            yield self.item(frame, source_frame, _no_place(None))


class _People(_Faces):
    """Every person of a clip."""

    def __init__(self, options: DecodeOptions, truth: _Truth) -> None:
        super().__init__(options, truth)
        self.tracker = FaceTracker(_detector(options.detector), every=options.every)
        self.roll: Roll[Item] = Roll(self.tracker)

    def of(self, frame: Frame, source_frame: int | None) -> Iterator[Item]:
        sightings = self.tracker.find(frame.image)
        present = {s.key: self.item(frame, source_frame, self.found(s.face, s.how)) for s in sightings}
        absent = self.item(frame, source_frame, _no_place(None))
        yield from self._told(self.roll.add(absent, present))

    def absent(self, row: dict[str, Any]) -> Iterator[Item]:
        yield from self._told(self.roll.add(Item(row, None, []), {}))

    def end(self) -> Iterator[Item]:
        yield from self._told(self.roll.end())

    def _told(self, decided: Iterator[tuple[int, Item]]) -> Iterator[Item]:
        for person, item in decided:
            row = {**item.row, "track_id": person if item.image is not None else None}
            yield Item(row, item.image, [] if person else item.targets, person)


def _frame_row(index: int, timestamp_ns: int | None, source_frame: int | None, place: _Place) -> dict[str, Any]:
    row: dict[str, Any] = {
        "frame_index": index,
        "timestamp_ns": timestamp_ns,
        "source_frame": source_frame,
        "status": place.status,
        "reason": place.reason,
        "track_id": 0 if place.status == "ok" else None,
    }
    if place.box is not None:
        row["face_box"] = [float(edge) for edge in place.box]
    if place.matrix is not None:
        row["crop_matrix"] = place.matrix.ravel().tolist()
        if place.points is not None:
            row["landmarks"] = apply_affine(place.matrix, place.points).ravel().tolist()
    return row
