"""Crops of faces about their landmarks, cut from frames in memory, and what a codec does to a frame."""

from __future__ import annotations

from typing import TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray


def landmark_crop(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating],
    size: int = 112,
    margin: float = 0.2,
    shift: tuple[float, float] = (0.0, 0.0),
    rotation: float = 0.0,
) -> NDArray[np.uint8]:
    """The square around the box of the landmarks, cut as the pipeline cuts it (area means, black outside the frame).

    Parameters
    ----------
    image : shape (H, W, 3)
        RGB.
    landmarks : shape (68, 2), source pixels
    size
        Side of the crop.
    margin
        The square is the longer side of the box times (1 + 2 margin).
    shift
        Of the square's centre, in shares of its side.
    rotation
        Of the picture about the centre, degrees.

    Returns
    -------
    shape (size, size, 3)
    """
    matrix, factor = _crop_matrix(landmarks, size, margin, shift, rotation)
    fine = size * factor
    crop = cv2.warpAffine(image, matrix, (fine, fine), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def cropped_landmarks(
    landmarks: NDArray[np.floating],
    size: int = 112,
    margin: float = 0.2,
    shift: tuple[float, float] = (0.0, 0.0),
    rotation: float = 0.0,
) -> NDArray[np.float64]:
    """Where the landmarks are in the crop that `landmark_crop` cuts with the same arguments.

    Parameters
    ----------
    landmarks : shape (68, 2), source pixels
    size, margin, shift, rotation
        As in `landmark_crop`.

    Returns
    -------
    shape (68, 2), crop pixels, whose centres are at whole numbers
    """
    matrix, factor = _crop_matrix(landmarks, size, margin, shift, rotation)
    fine = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray((fine + 0.5) / factor - 0.5)


def _crop_matrix(
    landmarks: NDArray[np.floating], size: int, margin: float, shift: tuple[float, float], rotation: float
) -> tuple[NDArray[np.float64], int]:
    """From the source to a crop that is so many times as fine, shape (2, 3), and how many times."""
    low, high = landmarks.min(0), landmarks.max(0)
    side = float((high - low).max() + 1) * (1 + 2 * margin)
    centre = (low + high) / 2 + np.asarray(shift) * side
    factor = max(1, int(np.ceil(side / size - 1e-9)))
    angle, scale, fine = np.radians(rotation), size * factor / side, size * factor
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, (fine - 1) / 2 - linear @ centre]), factor


class _Place(TypedDict):
    margin: float
    rotation: float
    shift: tuple[float, float]


def jittered_crop(
    image: NDArray[np.uint8], landmarks: NDArray[np.floating], size: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A crop as a less certain detector might cut it: margin 0.1 to 0.35, shifted, turned up to 8 degrees.

    Parameters
    ----------
    image : shape (H, W, 3), uint8
        RGB.
    landmarks : shape (68, 2), source pixels
    size
        Side of the crop.
    rng
        Source of randomness.

    Returns
    -------
    crop : shape (size, size, 3), uint8
    landmarks : shape (68, 2), crop pixels
    """
    margin, rotation = rng.uniform(0.1, 0.35), rng.uniform(-8, 8)
    place = _Place(margin=margin, rotation=rotation, shift=(rng.normal(0, 0.02), rng.normal(0, 0.02)))
    return landmark_crop(image, landmarks, size, **place), cropped_landmarks(landmarks, size, **place)


def recompressed(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image after JPEG at quality 25 to 90: blocks and lost colour, as video codecs leave them too.

    Parameters
    ----------
    image : shape (H, W, 3), uint8
    rng
        Source of randomness.

    Returns
    -------
    shape (H, W, 3), uint8
    """
    quality = int(rng.integers(25, 91))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
