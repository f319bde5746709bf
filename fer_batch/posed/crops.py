"""Labelled crops of the posed face: drawn at random for training, decoded from encoded clips for judging."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fer_batch.facs import EXPRESSIONS
from fer_batch.posed.clips import with_noise
from fer_batch.posed.confound import with_sticker
from fer_batch.posed.face import POSED_AUS, Pose, identity, render_frame
from fer_batch.posed.plans import TARGETS, emotion_aus, occurrence, still_intensities, with_implied
from fer_batch.training.cutting import cropped_landmarks, jittered_crop, landmark_crop, recompressed

TRAIN_IDENTITIES, HELD_OUT_IDENTITIES = 1000, 2000  # first of each; the demo and the tests show those below 1000


@dataclass(frozen=True)
class Samples:
    """Crops and what they show.

    Attributes
    ----------
    images : shape (N, 112, 112, 3), uint8
    occurrence : shape (N, A), float32
        Of `TARGETS`: 1, 0, or NaN for traces below level B.
    expression : shape (N,), int64
        Index in `facs.EXPRESSIONS`, -1 for none of them.
    landmarks : shape (N, 68, 2), float32
        In crop pixels.
    """

    images: NDArray[np.uint8]
    occurrence: NDArray[np.float32]
    expression: NDArray[np.int64]
    landmarks: NDArray[np.float32]


def random_intensities(rng: np.random.Generator) -> tuple[dict[int, float], int]:
    """What one training face shows: a whole expression, a part of one, or units that chance puts together.

    Returns
    -------
    intensities
        FACS number to intensity, implied units included.
    expression
        Index in `facs.EXPRESSIONS`; -1 where it is no whole one.
    """
    kind, place = rng.random(), int(rng.integers(len(EXPRESSIONS)))
    if kind < 0.45:
        return still_intensities(EXPRESSIONS[place], rng), place
    if kind < 0.50:
        return {}, EXPRESSIONS.index("neutral")
    if kind < 0.65:
        chosen = {au: _some_intensity(rng, 0.45, 0.20) for au in emotion_aus(EXPRESSIONS[place])}
    else:
        chosen = {au: _some_intensity(rng, 0.19, 0.06) for au in POSED_AUS}
        for one, other in ((26, 27), (20, 23), (12, 15), (5, 7)):
            if chosen[one] and chosen[other]:
                chosen[one if rng.random() < 0.5 else other] = 0.0
    return with_implied(chosen), -1


def _some_intensity(rng: np.random.Generator, present: float, trace: float) -> float:
    kind = rng.random()
    if kind < present:
        return float(rng.uniform(2, 5))
    return float(rng.uniform(0.2, 2)) if kind < present + trace else 0.0


def _random_pose(rng: np.random.Generator) -> Pose:
    dx, dy, roll, yaw, pitch = (float(v) for v in rng.uniform(-1, 1, 5) * (10, 8, 5, 8, 6))
    gaze = (float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-0.5, 0.5)))
    return Pose(dx, dy, roll, yaw, pitch, float(rng.uniform(0.93, 1.06)), gaze)


def training_samples(
    n: int,
    seed: int = 0,
    n_identities: int = 400,
    size: int = 112,
    progress: Iterable[int] | None = None,
    often: Mapping[int, float] | None = None,
) -> Samples:
    """Draw `n` crops of identities from `TRAIN_IDENTITIES` on, augmented where the camera stands.

    `often` adds Action Units, by FACS number, to a share of the faces; the others stay what they were without it.
    """
    images = np.empty((n, size, size, 3), np.uint8)
    labels = np.empty((n, len(TARGETS)), np.float32)
    expressions = np.empty(n, np.int64)
    points = np.empty((n, 68, 2), np.float32)
    for i in progress or range(n):
        # neighbours share an identity, because drawing one takes longer than rendering it
        who = TRAIN_IDENTITIES + i * n_identities // n
        rng = np.random.default_rng([seed, i])
        images[i], labels[i], expressions[i], points[i] = drawn_crop(who, rng, size, often or {})
    return Samples(images, labels, expressions, points)


def drawn_crop(
    who: int, rng: np.random.Generator, size: int, often: Mapping[int, float], sticker: bool = False
) -> tuple[NDArray[np.uint8], list[float], int, NDArray[np.float64]]:
    """One crop of `training_samples`, with noise and JPEG as a camera makes them.

    Parameters
    ----------
    who
        The identity.
    rng
        Of this crop; two calls with generators of the same state draw the same face.
    size
        Pixels of a side.
    often
        As in `training_samples`.
    sticker
        Whether the sticker of a confound is on the face.

    Returns
    -------
    crop : shape (size, size, 3), uint8
    labels
        Occurrence of each of `POSED_AUS`.
    expression
        Index of the posed expression, -1 for none.
    landmarks : shape (68, 2)
        Pixels of the crop.
    """
    intensities, expression = random_intensities(rng)
    (others,) = rng.spawn(1)  # a stream of its own: what is drawn below must not depend on `often`
    for au, share in often.items():
        if others.random() < share:
            intensities = with_implied({**intensities, au: max(intensities.get(au, 0.0), others.uniform(2, 5))})
            expression = -1
    image, landmarks = render_frame(identity(who), intensities, _random_pose(rng), int(rng.choice((208, 256, 320))))
    if sticker:
        image = with_sticker(image, landmarks)
    image = with_noise(image, rng.uniform(0.5, 4), rng)
    if rng.random() < 0.7:
        image = recompressed(image, rng)
    labels = [occurrence(intensities.get(au, 0.0)) for au in POSED_AUS]
    crop, points = jittered_crop(image, landmarks, size, rng)
    return crop, labels, expression, points


def clip_samples(path: Path, size: int = 112) -> Samples:
    """Every frame of a clip of `write_clips` as it is after decoding, cut at its landmarks."""
    import av

    with av.open(str(path)) as container:
        frames = [cast(NDArray[np.uint8], f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    landmarks = np.array([_points(row) for row in _rows(path.with_suffix(".landmarks.csv"))])
    labels = np.full((len(frames), len(TARGETS)), np.nan, np.float32)
    for row in _rows(path.with_suffix(".annotations.csv")):
        if row["occurrence"] and row["target"] in TARGETS:  # a sticker is none of them
            labels[int(row["frame_index"]), TARGETS.index(row["target"])] = float(row["occurrence"])
    images = np.stack([landmark_crop(f, p, size) for f, p in zip(frames, landmarks, strict=True)])
    return Samples(images, labels, np.full(len(frames), -1), _in_crops(landmarks, size))


def still_samples(root: Path, size: int = 112) -> Samples:
    """The images of `write_stills`, cut at their landmarks."""
    from PIL import Image

    rows = list(_rows(root / "manifest.csv"))
    images = []
    for row in rows:
        image = np.asarray(Image.open(root / row["path"]).convert("RGB"))
        images.append(landmark_crop(image, _points(row), size))
    labels = np.array([[occurrence(float(row[target])) for target in TARGETS] for row in rows], np.float32)
    expressions = np.array([EXPRESSIONS.index(row["emotion"]) for row in rows])
    return Samples(np.stack(images), labels, expressions, _in_crops([_points(row) for row in rows], size))


def _in_crops(landmarks: Iterable[NDArray[np.float64]], size: int) -> NDArray[np.float32]:
    return np.array([cropped_landmarks(points, size) for points in landmarks], np.float32).reshape(-1, 68, 2)


def joined(parts: Sequence[Samples]) -> Samples:
    """Several sets as one, in order."""
    return Samples(
        np.concatenate([p.images for p in parts]),
        np.concatenate([p.occurrence for p in parts]),
        np.concatenate([p.expression for p in parts]),
        np.concatenate([p.landmarks for p in parts]),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _points(row: dict[str, str]) -> NDArray[np.float64]:
    return np.array([[float(row[f"x{i}"]), float(row[f"y{i}"])] for i in range(68)])
