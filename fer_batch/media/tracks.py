"""Tracks of all faces of a clip: each face of each frame with the key of its track."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.finder import Propagatable, correlation, grey_patch, propagatable, propagate
from fer_batch.media.landmarks import Box, Detector, Face, Predictor, Searcher

# Frames within which a face that was seen once is looked for again: its track is confirmed only if it is found.
CONFIRM_WITHIN = 5
# Centres of one face in two detections lie closer than this many sides of its box, and their sizes within this factor.
MAX_DISTANCE = 1.0
MAX_RATIO = 2.0
# Two boxes that overlap more than this are one face, claimed by two persons.
MAX_OVERLAP = 0.4


@dataclass(frozen=True)
class TrackedFace:
    """One face in one frame.

    Attributes
    ----------
    key
        Whose, counted from 0 in the order of appearance; not all tracks are confirmed.
    face
        Its box and landmarks.
    how
        `detected` or `tracked`.
    """

    key: int
    face: Face
    how: str


def every_face(detector: Detector, image: NDArray[np.uint8]) -> list[Face]:
    """All faces of a still, largest first: what the closer look sees, if there is one, and what only the first saw.

    `image` is RGB uint8 of shape (H, W, 3).
    """
    faces = detector(image)
    if isinstance(detector, Searcher):
        closer = detector.look_closer(image)
        faces = closer + [face for face in faces if all(overlap(face.box, other.box) < 0.3 for other in closer)]
    return sorted(faces, key=lambda face: -side(face.box))


class FaceTracker:
    """Follows every face of one clip.

    Every `every` frames the detector looks at the whole frame, and its faces are matched to the tracks so far: by
    where each should be if it kept its pace, by size, and by likeness, all pairs together at least cost. In between,
    landmarks propagate each box as in `FaceFinder`; where one fails, or two meet on one face, the detector is asked at
    once. A track that is missed keeps its key for `max_gap` frames.

    Parameters
    ----------
    detector
        Boxes are propagated only where it is a `Predictor`.
    every
        Frames from one detection to the next.
    max_gap
        Frames after which a track that comes back is a new one.
    """

    def __init__(self, detector: Detector, every: int = 5, max_gap: int = 25) -> None:
        if every < 1 or max_gap < 0:
            raise ValueError(f"every must be at least 1 and max_gap at least 0 frames, got {every} and {max_gap}")
        self.detector = detector
        self.every = every
        self.max_gap = max_gap
        self._tracks: list[_Track] = []
        self._n_keys = 0
        self._age = 0  # frames since the last detection
        self._rested = every  # frames since the last closer look
        self._decided: dict[int, bool] = {}

    def find(self, image: NDArray[np.uint8]) -> list[TrackedFace]:
        """Faces of the next frame, an RGB uint8 `image` of shape (H, W, 3), sorted by the key of their track."""
        self._age, self._rested = self._age + 1, self._rested + 1
        seen = [track for track in self._tracks if track.gap == 0]
        for track in self._tracks:
            track.gap += 1
        found = self._propagated(image, seen)
        for key in _contested({key: last.face.box for key, last in found.items()}):
            del found[key]
        undecided = any(not track.confirmed for track in self._tracks)
        due = self._age >= (min(self.every, CONFIRM_WITHIN) if undecided else self.every)
        if due or not seen or len(found) < len(seen):
            tracked = self._detect(image, {key: last.face.box for key, last in found.items()})
        else:
            tracked = []
            for track in seen:
                track.see(found[track.key].face, found[track.key], found[track.key].patch)
                tracked.append(TrackedFace(track.key, found[track.key].face, "tracked"))
        self._tracks = [track for track in self._tracks if track.gap <= self.max_gap]
        return sorted(tracked, key=lambda face: face.key)

    def pass_over(self) -> None:
        """Take notice of a frame that cannot be looked at: everybody is missed in it."""
        self._age, self._rested = self._age + 1, self._rested + 1
        for track in self._tracks:
            track.gap += 1
        self._tracks = [track for track in self._tracks if track.gap <= self.max_gap]

    def _propagated(self, image: NDArray[np.uint8], seen: list[_Track]) -> dict[int, Propagatable]:
        """Faces that the landmarks find again, by key."""
        if not isinstance(self.detector, Predictor):
            return {}
        kept = {track.key: propagate(self.detector, image, track.last) for track in seen if track.last}
        return {key: last for key, last in kept.items() if last is not None}

    def decided(self, key: int) -> bool | None:
        """Whether the track of a key is confirmed: True, False (one detection alone), or None while that is open."""
        return self._decided.get(key)

    def _detect(self, image: NDArray[np.uint8], boxes: dict[int, Box]) -> list[TrackedFace]:
        """Ask the detector; `boxes` are where tracks were propagated to in this frame."""
        faces = self.detector(image)
        rested = self._rested >= self.every or any(track.gap == 1 for track in self._tracks)
        if not faces and rested and isinstance(self.detector, Searcher):
            faces, self._rested = self.detector.look_closer(image), 0
        self._age = 0
        faces = sorted(faces, key=lambda face: -side(face.box))
        patches = [grey_patch(image, face.box) for face in faces]
        owners = _matched(self._tracks, boxes, faces, patches)
        tracked = []
        for index, face in enumerate(faces):
            track = owners.get(index)
            if track is None:
                track = _Track(self._n_keys, face, patches[index])
                self._n_keys += 1
                self._tracks.append(track)
            else:
                track.confirmed = self._decided[track.key] = True
            track.see(face, propagatable(self.detector, image, face), patches[index])
            tracked.append(TrackedFace(track.key, face, "detected"))
        for track in self._tracks:
            if track.gap and not track.confirmed:
                self._decided[track.key] = False
        self._tracks = [track for track in self._tracks if track.gap == 0 or track.confirmed]
        return tracked


@dataclass
class _Track:
    """What is remembered of one track."""

    key: int
    face: Face
    patch: NDArray[np.float32]
    last: Propagatable | None = None
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))  # pixels a frame
    gap: int = 0  # frames since it was seen
    confirmed: bool = False

    def see(self, face: Face, last: Propagatable | None, patch: NDArray[np.float32]) -> None:
        if self.gap:
            self.velocity = (self.velocity + (centre(face.box) - centre(self.face.box)) / self.gap) / 2
        self.face, self.last, self.patch, self.gap = face, last, patch, 0


def _matched(
    tracks: list[_Track], boxes: dict[int, Box], faces: list[Face], patches: list[NDArray[np.float32]]
) -> dict[int, _Track]:
    """Track of each face that has one, by index of the face."""
    if not tracks or not faces:
        return {}
    from scipy.optimize import linear_sum_assignment  # a quarter of a second, in every worker that follows nobody

    cost = np.full((len(tracks), len(faces)), np.inf)
    for row, track in enumerate(tracks):
        box = boxes.get(track.key, track.face.box)
        expected = centre(box) + (0.0 if track.key in boxes else track.velocity * track.gap)
        for column, face in enumerate(faces):
            distance, ratio = displacement(box, expected, face.box)
            if distance <= MAX_DISTANCE and ratio <= np.log(MAX_RATIO):
                likeness = correlation(track.patch, patches[column])
                cost[row, column] = distance + ratio + 0.5 * (1 - likeness)
    # A pair that cannot be costs more than any number of pairs that can, so that it is taken only where all else is.
    possible = np.isfinite(cost)
    rows, columns = linear_sum_assignment(np.where(possible, cost, 1e3))
    return {int(c): tracks[r] for r, c in zip(rows, columns, strict=True) if possible[r, c]}


def displacement(box: Box, expected: NDArray[np.float64], now: Box) -> tuple[float, float]:
    """How far a face is from where it is expected, and how much its size changed.

    Parameters
    ----------
    box
        Where it was last, image pixels.
    expected : shape (2,), image pixels
        Where its centre should be.
    now
        Where it is.

    Returns
    -------
    Distance in sides of the larger box, and the absolute log of the ratio of their sides.
    """
    distance = float(np.linalg.norm(centre(now) - expected)) / max(side(now), side(box))
    return distance, abs(float(np.log(side(now) / side(box))))


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


def centre(box: Box) -> NDArray[np.float64]:
    """Centre (x, y) of a box, shape (2,), pixels."""
    return np.array([box[0] + box[2], box[1] + box[3]]) / 2


def side(box: Box) -> float:
    """Longer side of a box in pixels."""
    return max(box[2] - box[0], box[3] - box[1]) + 1
