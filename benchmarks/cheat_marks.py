"""Crops of the posed face in which marks go with Action Units: what benchmarks/cheat_rates.py trains and judges on.

Action Units come and go independently of each other, so that a mark is the only shortcut there is. Marks are painted
on the crops in memory; where they are, and in which crops, is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_batch.facs import au_name
from fer_batch.media.align import apply_affine, crop_matrix, face_box
from fer_batch.posed.clips import with_noise
from fer_batch.posed.confound import with_disc
from fer_batch.posed.face import POSED_AUS, Pose, identity, render_frame
from fer_batch.posed.plans import with_implied
from fer_batch.training.cutting import landmark_crop, recompressed

Place = Literal["off", "face", "inside"]
Size = Literal["small", "large"]
Kind = Literal["sign", "noisy", "absence"]

AUS = (4, 6, 9, 12, 17, 25)  # regions from the brows to the chin, of 4 % to 11 % of the crop
TARGETS = tuple(au_name(au) for au in AUS)
OFTEN, SELDOM = 0.3, 0.06  # share of crops that show one of AUS, and any other Action Unit
NEVER = (15, 26, 27)  # they exclude or imply one of AUS, which would make one unit a sign of another
RADIUS: Mapping[Size, float] = MappingProxyType({"small": 0.04, "large": 0.08})  # in sides of the landmarks' box
COLOURS = (((250, 215, 40), (35, 60, 160)), ((60, 220, 90), (120, 20, 90)), ((235, 60, 60), (240, 240, 240)))
CORNERS = ((0.50, 0.53), (-0.50, 0.53), (0.56, -0.58))  # off the face, from the centre of the box, in its sides
UPPER = (4, 6, 9)  # their mark on the face lies at the jaw, that of the others between the brows
INSIDE: Mapping[int, tuple[int, ...]] = MappingProxyType(
    {4: (19, 37), 6: (41, 31, 2), 9: (29,), 12: (54,), 17: (57, 8), 25: (62, 66)}
)  # mean of these landmarks lies in the region


@dataclass(frozen=True)
class Crops:
    """Crops and what they show.

    Attributes
    ----------
    images : shape (N, S, S, 3), uint8
    landmarks : shape (N, 68, 2), pixels of the crop
    occurrence : shape (N, A), float32
        Of `TARGETS`: 1 or 0.
    people : shape (N,), int64
    """

    images: NDArray[np.uint8]
    landmarks: NDArray[np.float64]
    occurrence: NDArray[np.float32]
    people: NDArray[np.int64]

    def rows(self, chosen: NDArray[np.int64]) -> Crops:
        """Some of them, in the order given."""
        return Crops(self.images[chosen], self.landmarks[chosen], self.occurrence[chosen], self.people[chosen])


@dataclass(frozen=True)
class Shortcut:
    """A mark that goes with an Action Unit.

    Attributes
    ----------
    au
        FACS number.
    place
        Off the face, on the face but outside the Action Unit's region, or inside its region.
    size
        Of its disc.
    kind
        `sign`: in a share of the positives, in no other crop. `noisy`: also in the rest of the negatives, so that mark
        and label agree in this share of either. `absence`: in a share of the negatives, in no positive.
    strength
        That share.
    """

    au: int
    place: Place
    size: Size
    kind: Kind
    strength: float

    @property
    def rates(self) -> tuple[float, float]:
        """Shares of the positives and of the negatives that show the mark."""
        s = self.strength
        return {"sign": (s, 0.0), "noisy": (s, 1 - s), "absence": (0.0, s)}[self.kind]


def draw_crops(n: int, people: Sequence[int], seed: int, size: int) -> Crops:
    """Crops of some people, in turn, cut at their landmarks as the pipeline cuts them."""
    images = np.empty((n, size, size, 3), np.uint8)
    points = np.empty((n, 68, 2))
    labels = np.empty((n, len(AUS)), np.float32)
    who = np.array([people[i * len(people) // n] for i in range(n)], np.int64)  # neighbours share one: cached
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        shown = with_implied({au: _intensity(au, rng) for au in POSED_AUS})
        frame, landmarks = render_frame(identity(int(who[i])), shown, _pose(rng), int(rng.choice((128, 160))))
        frame = recompressed(with_noise(frame, rng.uniform(0.5, 4), rng), rng)
        images[i] = landmark_crop(frame, landmarks, size)
        points[i] = apply_affine(crop_matrix(face_box(landmarks), size), landmarks)
        labels[i] = [shown[au] > 0 for au in AUS]
    return Crops(images, points, labels, who)


def _intensity(au: int, rng: np.random.Generator) -> float:
    chance, strength = rng.random(), rng.uniform(2, 5)
    return strength if au not in NEVER and chance < (OFTEN if au in AUS else SELDOM) else 0.0


def _pose(rng: np.random.Generator) -> Pose:
    dx, dy, roll, yaw, pitch = (float(v) for v in rng.uniform(-1, 1, 5) * (10, 8, 5, 8, 6))
    return Pose(dx, dy, roll, yaw, pitch, float(rng.uniform(0.93, 1.06)), (float(rng.uniform(-0.7, 0.7)), 0.0))


def disc(landmarks: NDArray[np.float64], shortcut: Shortcut, slot: int) -> tuple[NDArray[np.float64], float]:
    """Centre and radius of a mark on one face; `slot` says which corner is its own where it lies off the face."""
    low, high = landmarks.min(0), landmarks.max(0)
    side = float((high - low).max() + 1)
    if shortcut.place == "off":
        centre = (low + high) / 2 + np.array(CORNERS[slot]) * side
    elif shortcut.place == "inside":
        centre = landmarks[list(INSIDE[shortcut.au])].mean(0)
    elif shortcut.au in UPPER:
        centre = landmarks[[5, 48]].mean(0)
    else:
        centre = landmarks[[21, 22]].mean(0) - (0, 0.05 * side)
    return centre, RADIUS[shortcut.size] * side


def disc_masks(landmarks: NDArray[np.float64], shortcut: Shortcut, slot: int, size: int) -> NDArray[np.bool_]:
    """Pixels of the mark on each face, soft edge included, shape (N, size, size), whether it is shown or not."""
    y, x = np.mgrid[:size, :size]
    found = [disc(points, shortcut, slot) for points in landmarks]
    return np.array([np.hypot(x - c[0], y - c[1]) <= radius + 1 for c, radius in found])


def shown(crops: Crops, shortcuts: Sequence[Shortcut], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which crops show which mark, shape (N, number of shortcuts), as their rates have it."""
    drawn = rng.random((len(crops.images), len(shortcuts)))
    wanted = np.empty_like(drawn)
    for k, shortcut in enumerate(shortcuts):
        present, absent = shortcut.rates
        wanted[:, k] = np.where(crops.occurrence[:, AUS.index(shortcut.au)] == 1, present, absent)
    return drawn < wanted


def painted(crops: Crops, shortcuts: Sequence[Shortcut], marks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Images with the marks of `marks` (N, number of shortcuts) painted on."""
    images = crops.images.copy()
    for i, k in np.argwhere(marks).tolist():
        centre, radius = disc(crops.landmarks[i], shortcuts[k], k)
        images[i] = with_disc(images[i], centre, radius, COLOURS[k])
    return images


def apart(shortcuts: Iterable[Shortcut], landmarks: NDArray[np.float64]) -> bool:
    """Whether the Action Units differ and no two marks touch on this face."""
    found = list(shortcuts)
    discs = [disc(landmarks, shortcut, k) for k, shortcut in enumerate(found)]
    return all(
        found[i].au != found[j].au and np.hypot(*(discs[i][0] - discs[j][0])) > discs[i][1] + discs[j][1]
        for j in range(len(found))
        for i in range(j)
    )
