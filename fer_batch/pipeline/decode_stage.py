"""First step of phase 1: a unit of work becomes chunks of face crops. Never imports torch."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.align import apply_affine, crop, crop_matrix, face_box, whole_frame_matrix
from fer_batch.media.decode import Decoder, Frame
from fer_batch.media.landmarks import FaceFinder, load_detector
from fer_batch.media.sampling import Sampling
from fer_batch.pipeline.chunk import CHUNK_FRAMES, Chunk
from fer_batch.pipeline.units import NO_FACE, Unit
from fer_batch.sources.fetch import StoreFault, local_file
from fer_batch.sources.listing import frame_number
from fer_batch.sources.truth import read_truth
from fer_batch.types import InputError, MediaError, SequenceRef

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


@lru_cache(maxsize=1)
def _decoder(timeout_s: float, memory_bytes: int) -> Decoder:
    # One child per worker process, for as long as the worker lives.
    return Decoder(timeout_s=timeout_s, memory_bytes=memory_bytes)


@lru_cache(maxsize=1)
def _detector(name: str) -> Any:
    return load_detector(name)


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
    pending: list[tuple[dict[str, Any], NDArray[np.uint8] | None, list[str]]] = []
    index = 0
    try:
        for ref in unit.members:
            for item in _member(ref, options, sequences):
                if len(pending) == CHUNK_FRAMES:
                    yield _chunk(unit, index, pending, options.size).to_row()
                    index, pending = index + 1, []
                pending.append(item)
    except StoreFault as error:
        fault = str(error)
    final = _chunk(unit, index, pending, options.size)
    yield final.with_maps(last=True, sequences=sequences, fault=fault).to_row()


def _chunk(unit: Unit, index: int, items: list[Any], size: int) -> Chunk:
    frames = [frame for frame, _, _ in items]
    ok = np.array([i for i, (_, image, _) in enumerate(items) if image is not None], np.int64)
    images = np.stack([items[i][1] for i in ok]) if len(ok) else np.zeros((0, size, size, 3), np.uint8)
    return Chunk(unit.unit_id, index, False, frames, ok, images, [items[i][2] for i in ok])


def _member(ref: SequenceRef, options: DecodeOptions, sequences: list[dict[str, Any]]) -> Iterator[Any]:
    """Frames of one input; appends its row of table `sequences` at the end."""
    row: dict[str, Any] = {
        "sequence_id": ref.sequence_id,
        "subject_id": ref.subject_id,
        "uri": ref.uri,
        "kind": ref.kind,
        "emotion": ref.emotion,
        "split": ref.split,
        "status": "done",
        "n_frames": 0,
    }
    n_faces = 0
    frames = {"video": _video, "image_sequence": _image_sequence, "still": _still}[ref.kind]
    try:
        if ref.skip_reason:
            row.update(status="skipped", reason=ref.skip_reason)
        elif ref.size == 0:
            row.update(status="failed", reason="the file is empty (0 bytes)")
        else:
            for item in frames(ref, options, row):
                row["n_frames"] += 1
                n_faces += item[1] is not None
                item[0]["sequence_id"] = ref.sequence_id
                yield item
    except MediaError as error:
        if row["n_frames"]:  # what came before was good and is kept
            row["reason"] = f"ended early: {error}"
        else:
            row.update(status="failed", reason=str(error))
    except (StoreFault, InputError):
        raise
    except Exception as error:  # a bug met by one input must not end the night's run; it says so in that input's row
        log.exception("unexpected error in %s", ref.sequence_id)
        row.update(status="failed", reason=f"unexpected {type(error).__name__}: {error}")
    if row["status"] == "done" and not n_faces and row.get("reason") is None:
        row["reason"] = NO_FACE
    sequences.append(row)


def _video(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Any]:
    truth = _Truth(ref, options, row)
    finder = _Faces(options)
    decoder = _decoder(options.timeout_s, options.memory_bytes)
    with local_file(ref.uri) as path:
        try:
            for frame in decoder.frames(path, options.sampling):
                yield finder.cut(frame, None, truth)
        finally:
            found = decoder.summary
            row.update(fps=found.fps, n_declared=found.n_declared, n_decoded=found.n_decoded, reason=found.reason)


def _image_sequence(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Any]:
    truth = _Truth(ref, options, row)
    finder = _Faces(options)
    decoder = _decoder(options.timeout_s, options.memory_bytes)
    row.update(n_declared=len(ref.files), n_decoded=0)
    sampler, broken = options.sampling.sampler(), None
    for index, uri in enumerate(ref.files):
        if sampler.finished():
            break
        if not sampler.keeps(0):
            continue
        number = frame_number(uri)
        try:
            with local_file(uri) as path:
                image = decoder.image(path).image
            row["n_decoded"] += 1
            yield finder.cut(Frame(index, 0, image), number, truth)
        except MediaError as error:
            broken = str(error)
            yield _frame_row(index, None, number, "decode_error", str(error)), None, []
    if not row["n_decoded"]:
        raise MediaError(f"none of its {len(ref.files)} images could be read: {broken}")
    if broken:
        row["reason"] = f"{row['n_declared'] - row['n_decoded']} of {row['n_declared']} images could not be read"


def _still(ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> Iterator[Any]:
    truth = _Truth(ref, options, row)
    decoder = _decoder(options.timeout_s, options.memory_bytes)
    with local_file(ref.uri) as path:
        frame = decoder.image(path)
    row.update(n_declared=1, n_decoded=1)
    yield _Faces(options).cut(Frame(0, 0, frame.image), frame_number(ref.uri), truth)


class _Truth:
    """Landmarks and labels of one input by frame."""

    def __init__(self, ref: SequenceRef, options: DecodeOptions, row: dict[str, Any]) -> None:
        truth = read_truth(ref)  # whole, even where targets are not chosen by it: a bad file is told now, not lost
        self.points, self.boxes = truth.points, truth.boxes
        row["emotion"] = truth.emotion
        self.targets: dict[int, list[str]] = truth.present() if options.annotated else {}


class _Faces:
    """Finds the face of each frame of one input in turn and cuts it out."""

    def __init__(self, options: DecodeOptions) -> None:
        self.options = options
        self.finder: FaceFinder | None = None

    def cut(self, frame: Frame, source_frame: int | None, truth: _Truth) -> Any:
        """Row of table `frames`, crop or None, and the targets that are annotated as present."""
        o, image = self.options, frame.image
        row = _frame_row(frame.frame_index, frame.timestamp_ns, source_frame, "ok", None)
        points = truth.points.get(frame.frame_index)
        if o.detector == "none":
            matrix = whole_frame_matrix(image.shape[0], image.shape[1], o.size)
            row["face_box"] = [0.0, 0.0, float(image.shape[1] - 1), float(image.shape[0] - 1)]
        else:
            box = None if points is None else face_box(points)
            if points is None and o.detector == "dataset":
                box = truth.boxes.get(frame.frame_index)
                row["reason"] = None if box else "the source has no landmarks for this frame"
            elif points is None:
                if self.finder is None:
                    self.finder = FaceFinder(_detector(o.detector), every=o.every)
                face, how = self.finder.find(image)
                if face is not None:
                    points = face.landmarks
                    box = face.box if points is None else face_box(points)
                    row["reason"] = how
            if box is None:
                row["status"] = "no_face"
                return row, None, []
            row["face_box"] = [float(v) for v in box]
            side = max(box[2] - box[0], box[3] - box[1])
            if side < o.min_size:
                row.update(
                    status="face_too_small", reason=f"face of {side:.0f} px, at least {o.min_size} px are needed"
                )
                return row, None, []
            align: Literal["none", "eyes"] = o.align if points is not None else "none"
            matrix = crop_matrix(box, o.size, margin=o.margin, align=align, landmarks=points)
        row["crop_matrix"] = matrix.ravel().tolist()
        if points is not None:
            row["landmarks"] = apply_affine(matrix, points).ravel().tolist()
        return row, crop(image, matrix, o.size), truth.targets.get(frame.frame_index, [])


def _frame_row(
    index: int, timestamp_ns: int | None, source_frame: int | None, status: str, reason: str | None
) -> dict[str, Any]:
    return {
        "frame_index": index,
        "timestamp_ns": timestamp_ns,
        "source_frame": source_frame,
        "status": status,
        "reason": reason,
        "track_id": 0 if status == "ok" else None,
    }
