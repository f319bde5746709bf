"""Control points of the posed face: where they rest, how Action Units move them, where a pose puts them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from fer_batch.posed import astronaut as portrait

BASE_SIZE = 320  # a pose is given in pixels of a frame of this size
FACE_CENTRE, FACE_SCALE = np.array([223.5, 128.0]), 1.8  # portrait pixels; frame pixels per portrait pixel
ORIGIN, SPAN, TEXTURE_SCALE = np.array([95.0, 0.0]), 260, 3  # the square of the portrait that becomes the texture

Array = NDArray[np.float64]

# fmt: off
MIRROR_68 = np.array([
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38,
    37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
])
# fmt: on
_SIDE_NAMES = tuple(name for name in portrait.EXTRA if name not in portrait.CENTRAL)
_INDEX: dict[int | str, int] = {
    **{i: i for i in range(68)},
    **{name: 68 + i for i, name in enumerate(_SIDE_NAMES)},
    **{name: 68 + 2 * len(_SIDE_NAMES) + i for i, name in enumerate(portrait.CENTRAL)},
}
N_MOVING = 68 + 2 * len(_SIDE_NAMES) + len(portrait.CENTRAL)


def _axes() -> tuple[Array, Array]:
    top, bottom = (np.array(p, dtype=float) for p in portrait.MIDLINE)
    down = (bottom - top) / np.linalg.norm(bottom - top)
    return np.array([-down[1], down[0]]), down  # outward for the sitter's right side


OUTWARD, DOWN = _axes()


def mirrored(points: Array) -> Array:
    """Points of the right side, reflected over the midline of the portrait."""
    top = np.array(portrait.MIDLINE[0])
    across = (points - top) @ OUTWARD
    return points - 2 * across[:, None] * OUTWARD


def _partner(index: int) -> int:
    """The control point on the other side of the face; itself on the midline."""
    if index < 68:
        return int(MIRROR_68[index])
    side = index - 68
    n = len(_SIDE_NAMES)
    return 68 + (side + n) % (2 * n) if side < 2 * n else index


def displacement(moved: Mapping[int | str, tuple[float, float]]) -> Array:
    """`{point: (outward, down)}` of the right side as displacements [control point, xy] of both sides."""
    field = np.zeros((N_MOVING + len(portrait.FIXED), 2))
    for name, (outward, down) in moved.items():
        i = _INDEX[name]
        field[i] = outward * OUTWARD + down * DOWN
        if _partner(i) != i:
            field[_partner(i)] = -outward * OUTWARD + down * DOWN
    return field


@cache
def control_points() -> tuple[Array, Array]:
    """Control points on the photographed smile and on the relaxed face, portrait pixels."""
    smiling, relaxed = portrait.SMILING_68.copy(), portrait.SMILING_68.copy()
    for index, point in portrait.RELAXED.items():
        relaxed[index] = point
    right = np.array([portrait.EXTRA[name][0] for name in _SIDE_NAMES])
    shift = np.array([portrait.EXTRA[name][1] for name in _SIDE_NAMES])
    central = np.array([portrait.EXTRA[name][0] for name in portrait.CENTRAL])
    central_shift = np.array([portrait.EXTRA[name][1] for name in portrait.CENTRAL])
    down, out = shift[:, 1:] * DOWN, shift[:, :1] * OUTWARD
    left = mirrored(right)
    smile = np.concatenate([smiling, right, left, central, portrait.FIXED])
    rest = np.concatenate(
        [relaxed, right + out + down, left - out + down, central + central_shift[:, 1:] * DOWN, portrait.FIXED]
    )
    return smile, rest


@cache
def moves() -> dict[int, Array]:
    """Displacement of every control point by each Action Unit at intensity 5."""
    return {au: displacement(moves) for au, moves in portrait.MOVES.items()}


def to_texture(points: Array) -> Array:
    """Portrait pixels to texture pixels, centres at integers."""
    return (points - ORIGIN + 0.5) * TEXTURE_SCALE - 0.5


@lru_cache(maxsize=64)
def _spline_weights(n_points: int, per_segment: int) -> Array:
    """Catmull-Rom weights: `weights @ points` is the smooth open curve through the points."""
    rows = []
    for segment in range(n_points - 1):
        for t in np.arange(per_segment) / per_segment:
            row = np.zeros(n_points)
            basis = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
            for offset, value in zip((-1, 0, 1, 2), basis, strict=True):
                row[min(max(segment + offset, 0), n_points - 1)] += value / 2
            rows.append(row)
    rows.append(np.eye(n_points)[-1])
    return np.array(rows)


def smooth(points: Array, per_segment: int = 4) -> Array:
    """The Catmull-Rom curve through some points, its ends included."""
    return _spline_weights(len(points), per_segment) @ points


@dataclass(frozen=True)
class Pose:
    """Where the head is: shift in pixels of a 320-pixel frame, angles in degrees, zoom around 1, gaze in -1..1."""

    dx: float = 0.0
    dy: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    zoom: float = 1.0
    gaze: tuple[float, float] = (0.0, 0.0)


def place(points: Array, pose: Pose, size: int) -> Array:
    """Portrait pixels to frame pixels: a shallow ellipsoid turned, then scaled and shifted."""
    centred = points - FACE_CENTRE
    depth = 46 * np.sqrt(np.maximum(1 - (centred[:, 0] / 60) ** 2 - (centred[:, 1] / 85) ** 2, 0.0)) - 20
    yaw, pitch = np.radians(pose.yaw), np.radians(pose.pitch)
    turned = np.stack(
        [
            centred[:, 0] * np.cos(yaw) + depth * np.sin(yaw),
            centred[:, 1] * np.cos(pitch) + depth * np.sin(pitch),
        ],
        axis=1,
    )
    roll, scale = np.radians(pose.roll), FACE_SCALE * pose.zoom * size / BASE_SIZE
    rotation = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    centre = np.array([0.5 * BASE_SIZE + pose.dx, 0.515 * BASE_SIZE + pose.dy]) * size / BASE_SIZE
    return scale * turned @ rotation.T + centre - 0.5
