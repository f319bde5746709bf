"""Every person of a clip, each with a number that stays."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fer_batch.media.landmarks import (
    MIN_CORRELATION,
    Box,
    Carried,
    Detector,
    Face,
    Searcher,
    carried,
    carry,
    correlation,
    grey_patch,
)

T = TypeVar("T")

# Frames within which a face that was seen once is looked for again: it is a person only if it is found.
CONFIRM_WITHIN = 5
# Centres of one face in two detections lie closer than this many sides of its box, and their sizes within this factor.
MAX_DISTANCE = 1.0
MAX_RATIO = 2.0
# Two boxes that overlap more than this are one face, claimed by two persons.
MAX_OVERLAP = 0.4


@dataclass(frozen=True)
class Sighting:
    """One face in one frame.

    Attributes
    ----------
    key
        Whose, counted from 0 in the order of appearance; not all turn out to be persons.
    face
        Its box and landmarks.
    how
        `detected` or `tracked`.
    """

    key: int
    face: Face
    how: str


def every_face(detector: Detector, image: NDArray[np.uint8]) -> list[Face]:
    """All faces of a still, largest first: what the closer look sees, if there is one, and what only the first saw."""
    faces = detector(image)
    if isinstance(detector, Searcher):
        closer = detector.look_closer(image)
        faces = closer + [face for face in faces if all(overlap(face.box, other.box) < 0.3 for other in closer)]
    return sorted(faces, key=lambda face: -_side(face.box))


class FaceTracker:
    """Follows every face of one clip.

    Every `every` frames the detector looks at the whole frame, and its faces are given to the persons known so far: by
    where each should be if it kept its pace, by size, and by likeness, all pairs together at least cost. In between,
    landmarks carry each box as in `FaceFinder`; where one fails, or two claim one face, the detector is asked at once.
    A person that is missed keeps its key for `max_gap` frames.

    Parameters
    ----------
    detector
        Boxes are carried only where it is a `Predictor`.
    every
        Frames from one detection to the next.
    max_gap
        Frames after which a person that comes back is a new one.
    """

    def __init__(self, detector: Detector, every: int = 5, max_gap: int = 25) -> None:
        if every < 1 or max_gap < 0:
            raise ValueError(f"every must be at least 1 and max_gap at least 0 frames, got {every} and {max_gap}")
        self.detector = detector
        self.every = every
        self.max_gap = max_gap
        self._people: list[_Person] = []
        self._n_keys = 0
        self._age = 0  # frames since the last detection
        self._rested = every  # frames since the last closer look
        self._decided: dict[int, bool] = {}

    def find(self, image: NDArray[np.uint8]) -> list[Sighting]:
        """Faces of the next frame by key."""
        self._age, self._rested = self._age + 1, self._rested + 1
        seen = [person for person in self._people if person.gap == 0]
        for person in self._people:
            person.gap += 1
        kept = {person.key: carry(self.detector, image, person.carried) for person in seen if person.carried}
        found = {key: last for key, last in kept.items() if last is not None}
        for key in _contested({key: last.face.box for key, last in found.items()}):
            del found[key]
        undecided = any(not person.confirmed for person in self._people)
        due = self._age >= (min(self.every, CONFIRM_WITHIN) if undecided else self.every)
        if due or not seen or len(found) < len(seen):
            sightings = self._detect(image, {key: last.face.box for key, last in found.items()})
        else:
            sightings = []
            for person in seen:
                person.see(found[person.key].face, found[person.key], found[person.key].patch)
                sightings.append(Sighting(person.key, found[person.key].face, "tracked"))
        self._people = [person for person in self._people if person.gap <= self.max_gap]
        return sorted(sightings, key=lambda sighting: sighting.key)

    def decided(self, key: int) -> bool | None:
        """Whether a key is a person: True, False, or None while that is open."""
        return self._decided.get(key)

    def _detect(self, image: NDArray[np.uint8], boxes: dict[int, Box]) -> list[Sighting]:
        """Ask the detector; `boxes` are where persons were carried to in this frame."""
        faces = self.detector(image)
        rested = self._rested >= self.every or any(person.gap == 1 for person in self._people)
        if not faces and rested and isinstance(self.detector, Searcher):
            faces, self._rested = self.detector.look_closer(image), 0
        self._age = 0
        faces = sorted(faces, key=lambda face: -_side(face.box))
        patches = [grey_patch(image, face.box) for face in faces]
        owners = _matched(self._people, boxes, faces, patches)
        sightings = []
        for index, face in enumerate(faces):
            person = owners.get(index)
            if person is None:
                person = _Person(self._n_keys, face, patches[index])
                self._n_keys += 1
                self._people.append(person)
            else:
                person.confirmed = self._decided[person.key] = True
            person.see(face, carried(self.detector, image, face), patches[index])
            sightings.append(Sighting(person.key, face, "detected"))
        for person in self._people:
            if person.gap and not person.confirmed:
                self._decided[person.key] = False
        self._people = [person for person in self._people if person.gap == 0 or person.confirmed]
        return sightings


class Succession:
    """Numbers the faces of a clip of which one is taken in each frame: another number where it is another's.

    It is another's if it lies where the last one cannot have gone (as `FaceTracker` gives faces to persons) and does
    not look like it. One that comes back after more than `max_gap` frames keeps the number: nobody knows who it is. So
    does one that takes the place of the last: a cut to a face at the same place is not noticed.
    """

    def __init__(self, max_gap: int = 25) -> None:
        self.max_gap = max_gap
        self.number = 0
        self._last: tuple[Box, NDArray[np.float32]] | None = None
        self._gap = 0

    def add(self, image: NDArray[np.uint8], face: Face | None, how: str) -> int:
        """Number of the face of the next frame, `detected` or `tracked`; the last one's where there is none."""
        self._gap += 1
        if face is None:
            return self.number
        if self._last is not None and how == "tracked":
            self._last = face.box, self._last[1]
        else:
            patch = grey_patch(image, face.box)
            if self._last is not None and self._gap <= self.max_gap and not self._continues(face.box, patch):
                self.number += 1
            self._last = face.box, patch
        self._gap = 0
        return self.number

    def _continues(self, box: Box, patch: NDArray[np.float32]) -> bool:
        assert self._last is not None
        before, likeness = self._last[0], correlation(self._last[1], patch)
        distance, ratio = _displacement(before, _centre(before), box)
        return (distance <= MAX_DISTANCE and ratio <= np.log(MAX_RATIO)) or likeness >= MIN_CORRELATION


@dataclass
class _Person:
    """What is remembered of one person."""

    key: int
    face: Face
    patch: NDArray[np.float32]
    carried: Carried | None = None
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))  # pixels a frame
    gap: int = 0  # frames since it was seen
    confirmed: bool = False

    def see(self, face: Face, last: Carried | None, patch: NDArray[np.float32]) -> None:
        if self.gap:
            self.velocity = (self.velocity + (_centre(face.box) - _centre(self.face.box)) / self.gap) / 2
        self.face, self.carried, self.patch, self.gap = face, last, patch, 0


def _matched(
    people: list[_Person], boxes: dict[int, Box], faces: list[Face], patches: list[NDArray[np.float32]]
) -> dict[int, _Person]:
    """Person of each face that has one, by index of the face."""
    if not people or not faces:
        return {}
    cost = np.full((len(people), len(faces)), np.inf)
    for row, person in enumerate(people):
        box = boxes.get(person.key, person.face.box)
        expected = _centre(box) + (0.0 if person.key in boxes else person.velocity * person.gap)
        for column, face in enumerate(faces):
            distance, ratio = _displacement(box, expected, face.box)
            if distance <= MAX_DISTANCE and ratio <= np.log(MAX_RATIO):
                likeness = correlation(person.patch, patches[column])
                cost[row, column] = distance + ratio + 0.5 * (1 - likeness)
    # A pair that cannot be costs more than any number of pairs that can, so that it is taken only where all else is.
    possible = np.isfinite(cost)
    rows, columns = linear_sum_assignment(np.where(possible, cost, 1e3))
    return {int(c): people[r] for r, c in zip(rows, columns, strict=True) if possible[r, c]}


def _displacement(box: Box, expected: NDArray[np.float64], now: Box) -> tuple[float, float]:
    """How far a face is from where it is expected, in sides of its box, and the log of how much its size changed."""
    distance = float(np.linalg.norm(_centre(now) - expected)) / max(_side(now), _side(box))
    return distance, abs(float(np.log(_side(now) / _side(box))))


def _contested(boxes: dict[int, Box]) -> set[int]:
    """Keys whose boxes lie on one face."""
    keys = sorted(boxes)
    pairs = [(one, other) for i, one in enumerate(keys) for other in keys[i + 1 :]]
    return {key for pair in pairs if overlap(boxes[pair[0]], boxes[pair[1]]) > MAX_OVERLAP for key in pair}


def overlap(one: Box, other: Box) -> float:
    """Intersection of two boxes over their union."""
    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, other))
    return shared / (areas - shared)


def _centre(box: Box) -> NDArray[np.float64]:
    return np.array([box[0] + box[2], box[1] + box[3]]) / 2


def _side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1]) + 1


class Roll(Generic[T]):
    """Turns keys into persons, frame by frame: who was seen once and not again is none.

    A frame waits until each of its keys is decided, some `CONFIRM_WITHIN` frames, and then says of each person what it
    shows. Person 0, the first to appear, has a row in every frame; the others from their first to their last sighting.
    """

    def __init__(self, tracker: FaceTracker) -> None:
        self._tracker = tracker
        self._waiting: deque[tuple[T, dict[int, T]]] = deque()
        self._numbers: dict[int, int] = {}  # of keys that may be seen again
        self._n_people = 0
        self._gaps: dict[int, list[T]] = {}  # rows of the frames since a person was seen

    def add(self, absent: T, present: dict[int, T]) -> Iterator[tuple[int, T]]:
        """Take a frame; persons and rows of frames that are decided by now.

        Parameters
        ----------
        absent
            The frame's row for somebody it does not show.
        present
            Its rows by key.
        """
        self._waiting.append((absent, present))
        while self._waiting and all(self._tracker.decided(key) is not None for key in self._waiting[0][1]):
            yield from self._release(*self._waiting.popleft())

    def end(self) -> Iterator[tuple[int, T]]:
        """The clip has ended: who is still undecided was looked for only once, and counts."""
        while self._waiting:
            yield from self._release(*self._waiting.popleft())

    def _release(self, absent: T, present: dict[int, T]) -> Iterator[tuple[int, T]]:
        rows = {key: row for key, row in sorted(present.items()) if self._tracker.decided(key) is not False}
        for key in rows:
            if key not in self._numbers:
                self._numbers[key] = self._n_people
                self._n_people += 1
        if not any(self._numbers[key] == 0 for key in rows):
            yield 0, absent
        for key, number in list(self._numbers.items()):
            gap = self._gaps.setdefault(key, [])
            if key in rows:
                yield from ((number, row) for row in gap)
                yield number, rows[key]
                gap.clear()
            elif number:  # person 0 has its row already
                gap.append(absent)
                if len(gap) > self._tracker.max_gap:
                    del self._gaps[key], self._numbers[key]
