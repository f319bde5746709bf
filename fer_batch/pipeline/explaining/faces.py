"""Where the faces of a frame are, and the crops that are cut of them. Never imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_batch.config.sections import Resources, SourceConfig
from fer_batch.facs import DEFAULT_RULE, OccurrenceRule
from fer_batch.media.align import Box, apply_affine, crop, crop_matrix, face_box, inside, whole_frame_matrix
from fer_batch.media.finder import FaceFinder
from fer_batch.media.frame import Frame
from fer_batch.media.identity_switch import IdentitySwitches
from fer_batch.media.landmarks import Detector, Face, load_detector
from fer_batch.media.sampling import Sampling
from fer_batch.media.settings import Damage, FaceSettings, MediaSettings
from fer_batch.media.track_list import TrackList
from fer_batch.media.tracks import FaceTracker, every_face
from fer_batch.pipeline.explaining.chunk import FrameRow, SequenceRow
from fer_batch.sources.truth import read_truth
from fer_batch.storage.store import Store
from fer_batch.types import SequenceRef


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
    root: str = ""  # of the source; empty where nobody is to look whether it is there
    damage: Damage = "skip"

    @classmethod
    def of(
        cls,
        faces: FaceSettings,
        source: SourceConfig,
        resources: Resources,
        *,
        size: int,
        media: MediaSettings | None = None,
        annotated: bool = False,
        labels: OccurrenceRule = DEFAULT_RULE,
    ) -> DecodeOptions:
        """The options of one source of a job.

        Parameters
        ----------
        faces, source, resources
            Sections of the job.
        size : pixels
            Side of the crops.
        media
            Section of the job, the defaults where it has none.
        annotated
            Whether the targets that are explained are those of the annotations.
        labels
            When an annotation counts as present.
        """
        return cls(
            sampling=source.sampling,
            detector=faces.detector,
            choose=faces.choose,
            every=faces.every,
            align=faces.align,
            margin=faces.margin,
            min_size=faces.min_size,
            size=size,
            annotated=annotated,
            timeout_s=resources.decode_timeout_s,
            memory_bytes=resources.decode_memory_mb << 20,
            labels=labels,
            root=Store(source.uri).uri,
            damage=(media or MediaSettings()).damage,
        )


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

    row: FrameRow
    image: NDArray[np.uint8] | None
    targets: list[str]
    person: int = 0


class KnownFaces:
    """Landmarks and labels of one input by frame."""

    def __init__(self, ref: SequenceRef, options: DecodeOptions, row: SequenceRow) -> None:
        truth = read_truth(ref)  # whole, even where targets are not chosen by it: a bad file fails here
        self.points, self.boxes = truth.points, truth.boxes
        row["emotion"] = truth.emotion
        self.targets: dict[int, list[str]] = truth.present(options.labels) if options.annotated else {}

    def frames(self) -> set[int]:
        """Frames whose face is known."""
        return set(self.points) | set(self.boxes)


class Place(NamedTuple):
    """Where a face is in a frame, and how it is cropped."""

    status: str
    reason: str | None
    box: Box | None = None
    matrix: NDArray[np.float64] | None = None
    points: NDArray[np.float32] | None = None


def no_place(reason: str | None, status: str = "no_face") -> Place:
    """Of a frame without a face."""
    return Place(status, reason)


@lru_cache(maxsize=1)
def whole_frame(height: int, width: int, size: int) -> Place:
    """Of a frame that is taken for the face."""
    box = (0.0, 0.0, float(width - 1), float(height - 1))
    return Place("ok", None, box, whole_frame_matrix(height, width, size))


def place_of(
    points: NDArray[np.float32] | None, box: Box | None, options: DecodeOptions, reason: str | None = None
) -> Place:
    """The place of a face with these landmarks, or this box where it has none.

    Parameters
    ----------
    points : shape (68, 2), float32, pixels of the frame
        None where the face has only a box.
    box
        Of the face; None where there is no face.
    options
        How to crop.
    reason
        For column `reason` of table `frames`.
    """
    box = box if points is None else face_box(points)
    if box is None:
        return no_place(reason)
    side = max(box[2] - box[0], box[3] - box[1])
    if side < options.min_size:
        reason = f"face of {side:.0f} px, at least {options.min_size} px are needed"
        return Place("face_too_small", reason, box)
    align: Literal["none", "eyes"] = options.align if points is not None else "none"
    matrix = crop_matrix(box, options.size, margin=options.margin, align=align, landmarks=points)
    return Place("ok", reason, box, matrix, points)


def faces_of_still(options: DecodeOptions, truth: KnownFaces) -> Faces:
    """How the faces of a still are found."""
    every = options.choose == "all" and options.detector not in ("none", "dataset") and not truth.frames()
    return _EveryFace(options, truth) if every else _OneFace(options, truth)


def faces_of(options: DecodeOptions, truth: KnownFaces) -> Faces:
    """How the faces of a clip are found. Where the source knows the face, it is the one that is meant."""
    if options.choose == "largest" or options.detector in ("none", "dataset") or truth.frames():
        return _OneFace(options, truth)
    return _People(options, truth)


class Faces:
    """Finds the faces of each frame of one input in turn and cuts them out."""

    def __init__(self, options: DecodeOptions, truth: KnownFaces) -> None:
        self.options = options
        self.truth = truth

    def of(self, frame: Frame, source_frame: int | None) -> Iterator[Item]:
        """Items of the next frame, or of earlier ones that are decided by now."""
        raise NotImplementedError

    def absent(self, row: FrameRow) -> Iterator[Item]:
        """Items of a frame that could not be read."""
        yield Item(row, None, [])

    def end(self) -> Iterator[Item]:
        """Items that are left when the input has ended."""
        return iter(())

    def item(self, frame: Frame, source_frame: int | None, place: Place) -> Item:
        """A face of a frame."""
        row = frame_row(frame.frame_index, frame.timestamp_ns, source_frame, place)
        if place.matrix is None:
            return Item(row, None, [])
        targets = self.truth.targets.get(frame.frame_index, [])
        return Item(row, crop(frame.image, place.matrix, self.options.size), targets)

    def found(self, face: Face, how: str | None) -> Place:
        """The place of a face that the detector found."""
        return place_of(face.landmarks, face.box, self.options, how)


class _OneFace(Faces):
    """The face that the source names, else the largest."""

    finder: FaceFinder | None = None

    def __init__(self, options: DecodeOptions, truth: KnownFaces) -> None:
        super().__init__(options, truth)
        self.succession = IdentitySwitches()

    def of(self, frame: Frame, source_frame: int | None) -> Iterator[Item]:
        item = self.item(frame, source_frame, self._one(frame))
        if item.image is not None:
            item.row["track_id"] = self.succession.number
        yield item

    def absent(self, row: FrameRow) -> Iterator[Item]:
        self.succession.pass_over()
        if self.finder is not None:
            self.finder.pass_over()
        yield Item(row, None, [])

    def _one(self, frame: Frame) -> Place:
        options, index = self.options, frame.frame_index
        if options.detector == "none":
            return whole_frame(*frame.image.shape[:2], options.size)
        if index in self.truth.points:
            return place_of(self.truth.points[index], None, options)
        if options.detector == "dataset":
            box = self.truth.boxes.get(index)
            if box is None:
                return no_place("the source has no landmarks for this frame")
            box = inside(box, *frame.image.shape[:2])
            return place_of(None, box, options, None if box else "the source's face box lies outside of the picture")
        if self.finder is None:
            self.finder = FaceFinder(_detector(options.detector), every=options.every)
        face, how = self.finder.find(frame.image)
        self.succession.add(frame.image, face, how)
        return no_place(None) if face is None else self.found(face, how)


class _EveryFace(Faces):
    """Every face of a still, the largest first."""

    def of(self, frame: Frame, source_frame: int | None) -> Iterator[Item]:
        faces = every_face(_detector(self.options.detector), frame.image)
        for person, face in enumerate(faces):
            item = self.item(frame, source_frame, self.found(face, "detected"))
            item.row["track_id"] = person if item.image is not None else None
            yield item._replace(person=person, targets=[] if person else item.targets)
        if not faces:
            yield self.item(frame, source_frame, no_place(None))


class _People(Faces):
    """Every person of a clip."""

    def __init__(self, options: DecodeOptions, truth: KnownFaces) -> None:
        super().__init__(options, truth)
        self.tracker = FaceTracker(_detector(options.detector), every=options.every)
        self.roll: TrackList[Item] = TrackList(self.tracker)

    def of(self, frame: Frame, source_frame: int | None) -> Iterator[Item]:
        sightings = self.tracker.find(frame.image)
        present = {s.key: self.item(frame, source_frame, self.found(s.face, s.how)) for s in sightings}
        absent = self.item(frame, source_frame, no_place(None))
        yield from self._items(self.roll.add(absent, present))

    def absent(self, row: FrameRow) -> Iterator[Item]:
        self.tracker.pass_over()
        yield from self._items(self.roll.add(Item(row, None, []), {}))

    def end(self) -> Iterator[Item]:
        yield from self._items(self.roll.end())

    def _items(self, decided: Iterator[tuple[int, Item]]) -> Iterator[Item]:
        for person, item in decided:
            row: FrameRow = {**item.row, "track_id": person if item.image is not None else None}
            yield Item(row, item.image, [] if person else item.targets, person)


def frame_row(index: int, timestamp_ns: int | None, source_frame: int | None, place: Place) -> FrameRow:
    """Columns of table `frames`."""
    row: FrameRow = {
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
