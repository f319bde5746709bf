"""What no warp of a photograph shows: eyeballs under moving lids, and the inside of the mouth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.posed.geometry import BASE_SIZE, DOWN, FACE_SCALE, Array, Pose, place, smooth

Image = NDArray[np.uint8]
Pixels = NDArray[Any]  # OpenCV's stubs name no dtype

_SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel
_LINE = np.array([34.0, 22.0, 18.0])  # lashes
_LID = np.array([110.0, 70.0, 62.0])
_LIP_LINE = np.array([96.0, 44.0, 42.0])
_IRIS_RADIUS = 3.9  # portrait pixels, like every length below


@dataclass(frozen=True)
class Canvas:
    """A frame being painted, and what the painter must know of it.

    Attributes
    ----------
    image : shape (size, size, 3)
        Painted in place.
    placed
        Control points in frame pixels.
    rest
        Relaxed control points of the identity in portrait pixels: eyeballs and teeth stay with the skull.
    pose
        Of the head.
    light
        Multiplies every colour.
    """

    image: Image
    placed: Array
    rest: Array
    pose: Pose
    light: float

    @property
    def size(self) -> int:
        """Side of the frame."""
        return len(self.image)

    @property
    def scale(self) -> float:
        """Frame pixels per portrait pixel."""
        return FACE_SCALE * self.pose.zoom * self.size / BASE_SIZE

    def place(self, points: Array) -> Array:
        """Portrait pixels to frame pixels."""
        return place(points, self.pose, self.size)


def _window(points: Array, margin: int, size: int) -> tuple[slice, slice, Array] | None:
    """Rows, columns and origin of the box around some points; None outside the frame."""
    low = np.maximum(np.floor(points.min(0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + margin + 1, size)
    if (high <= low).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0]), low.astype(float)


def _fixed(points: Array) -> NDArray[np.int32]:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _corner(point: Array) -> tuple[int, int]:
    x, y = _fixed(point)
    return int(x), int(y)


def _polygon(shape: tuple[int, ...], outline: Array) -> Pixels:
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [_fixed(outline)], 255, cv2.LINE_AA, _SHIFT)
    return cv2.GaussianBlur(mask, (3, 3), 0) / np.float32(255)


def _stroke(shape: tuple[int, ...], curve: Array, width: float, closed: bool = False) -> Pixels:
    mask = np.zeros(shape[:2], np.uint8)
    cv2.polylines(mask, [_fixed(curve)], closed, 255, max(1, round(width)), cv2.LINE_AA, _SHIFT)
    return mask


def _soft(mask: Pixels, sigma: float) -> Pixels:
    return cv2.GaussianBlur(mask, (0, 0), sigma) / np.float32(255)


def _disc(patch: Image, centre: Array, radius: float, colour: Sequence[float]) -> None:
    cv2.circle(patch, _corner(centre), int(radius * (1 << _SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)


def _blend(patch: Image, colour: Pixels, alpha: Pixels) -> None:
    alpha = alpha[..., None]
    patch[:] = np.clip(patch * (1 - alpha) + colour * alpha, 0, 255).astype(np.uint8)


def paint_eyes(canvas: Canvas, iris: Sequence[float]) -> None:
    """Fill the lid openings with eyeballs that look where the pose looks, and draw the lash lines."""
    placed, scale = canvas.placed, canvas.scale
    rest = canvas.place(canvas.rest)
    for corner in (36, 42):
        upper = smooth(placed[corner : corner + 4])
        lower = smooth(placed[[corner + 3, corner + 4, corner + 5, corner]])
        outline = np.concatenate([upper, lower[1:-1]])
        window = _window(outline, 3, canvas.size)
        if window is None:
            continue
        rows, columns, origin = window
        patch = canvas.image[rows, columns]
        gaze = np.array([1.9, 0.9]) * canvas.pose.gaze
        centre = rest[corner : corner + 6].mean(0) + scale * (gaze + (0, -0.35)) - origin
        eye = np.full(patch.shape, (222, 214, 210), np.uint8)
        _disc(eye, centre, _IRIS_RADIUS * scale, [0.55 * c for c in iris])
        _disc(eye, centre, 0.84 * _IRIS_RADIUS * scale, iris)
        _disc(eye, centre, 0.46 * _IRIS_RADIUS * scale, (14, 10, 10))
        _disc(eye, centre + np.array([-0.9, -1.0]) * scale, 0.55 * scale, (245, 245, 245))
        shadow = 0.8 * _soft(_stroke(patch.shape, upper - origin, 1.6 * scale), 0.7 * scale)
        lit = eye * (1 - 0.75 * shadow[..., None]) * canvas.light
        _blend(patch, lit, _polygon(patch.shape, outline - origin))
        lash = cv2.GaussianBlur(_stroke(patch.shape, upper - origin, 0.9 * scale), (3, 3), 0)
        _blend(patch, _LINE, lash * np.float32(0.75 / 255))
        _blend(patch, _LID * canvas.light, _stroke(patch.shape, lower - origin, 1) * np.float32(0.4 / 255))


def paint_mouth(canvas: Canvas, gap: float, jaw: float) -> None:
    """Paint the inside of an open mouth, or the line between closed lips.

    Parameters
    ----------
    canvas
        What to paint on.
    gap
        Between the inner lips at the midline, portrait pixels.
    jaw
        How far the lower jaw has come down, portrait pixels: lower teeth and tongue go with it.
    """
    placed = canvas.placed
    upper, lower = smooth(placed[60:65]), smooth(placed[[64, 65, 66, 67, 60]])
    outline = np.concatenate([upper, lower[1:-1]])
    window = _window(outline, 4, canvas.size)
    if window is None:
        return
    rows, columns, origin = window
    patch = canvas.image[rows, columns]
    openness = min(max((gap - 0.9) / 1.2, 0.0), 1.0)
    if openness > 0:
        inside = _mouth_inside(canvas, patch.shape, origin, jaw)
        rim = _stroke(patch.shape, outline - origin, 1.3 * canvas.scale, closed=True)
        lit = inside * (1 - 0.6 * _soft(rim, 0.8 * canvas.scale)[..., None]) * canvas.light
        _blend(patch, lit, _polygon(patch.shape, outline - origin) * np.float32(openness))
    for curve in (upper, lower) if openness > 0.5 else (0.5 * (upper + lower[::-1]),):
        line = cv2.GaussianBlur(_stroke(patch.shape, curve - origin, 0.55 * canvas.scale), (3, 3), 0)
        _blend(patch, _LIP_LINE * canvas.light, line * np.float32(0.75 / 255))


def _mouth_inside(canvas: Canvas, shape: tuple[int, ...], origin: Array, jaw: float) -> Image:
    rest, scale = canvas.rest, canvas.scale
    inside = np.full(shape, (58, 20, 22), np.uint8)
    seam = 0.5 * (rest[[60, 61, 62, 63, 64]] + rest[[60, 67, 66, 65, 64]])
    tongue = canvas.place((seam[2] + (5.6 + 0.82 * jaw) * DOWN)[None])[0] - origin
    axes = (int(8.5 * scale * (1 << _SHIFT)), int((2.2 + 0.22 * jaw) * scale * (1 << _SHIFT)))
    cv2.ellipse(inside, _corner(tongue), axes, canvas.pose.roll, 0, 360, (150, 70, 72), -1, cv2.LINE_AA, _SHIFT)
    arch = seam[2] + 0.82 * (seam - seam[2])
    # rows of teeth are shorter towards the corners: the upper from below, the lower from above
    short = np.array([[1.3], [0.4], [0.0], [0.4], [1.3]]) * DOWN
    upper = (arch - 3.5 * DOWN, arch + 1.3 * DOWN - short)
    lower = (arch + (2.5 + 0.97 * jaw) * DOWN + short, arch + (7.5 + 0.97 * jaw) * DOWN)
    for (top, bottom), shade in ((upper, 1.0), (lower, 0.86)):
        ring = canvas.place(np.concatenate([smooth(top), smooth(bottom)[::-1]])) - origin
        cv2.fillPoly(inside, [_fixed(ring)], [shade * c for c in (226, 220, 206)], cv2.LINE_AA, _SHIFT)
        between = np.round(np.linspace(0.12, 0.88, 8) * 32).astype(int)
        starts, ends = (canvas.place(smooth(edge, 8)[between]) - origin for edge in (top, bottom))
        for start, end in zip(starts, ends, strict=True):
            grey = [shade * c for c in (208, 200, 186)]
            cv2.line(inside, _corner(start), _corner(end), grey, 1, cv2.LINE_AA, _SHIFT)
    return inside
