"""From a face box or landmarks to a square crop; every matrix maps source to crop, pixel centres at integers."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # of the 68 points; right and left of the person


def face_box(landmarks: NDArray[np.floating]) -> Box:
    """Tight box (left, top, right, bottom) in pixels around landmarks of shape (L, 2)."""
    points = _points(landmarks)
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return float(left), float(top), float(right), float(bottom)


def inside(box: Box, height: int, width: int) -> Box | None:
    """The part of a box that lies in the picture; None where there is none."""
    left, top, right, bottom = max(box[0], 0.0), max(box[1], 0.0), min(box[2], width - 1.0), min(box[3], height - 1.0)
    return (left, top, right, bottom) if left <= right and top <= bottom else None


def eye_angle(landmarks: NDArray[np.floating]) -> float:
    """Angle in radians of the line from the person's right to left eye centre, clockwise on screen (methods PP-2).

    `landmarks` have shape (68, 2), pixels.

    Raises
    ------
    ValueError
        If they are not 68.
    """
    points = _points(landmarks)
    if len(points) != 68:
        raise ValueError(f"aligning by the eyes needs 68 landmarks, got {len(points)}")
    x, y = points[LEFT_EYE].mean(0) - points[RIGHT_EYE].mean(0)
    return float(np.arctan2(y, x))


def crop_matrix(
    box: Box,
    size: int,
    margin: float = 0.2,
    align: Literal["none", "eyes"] = "none",
    landmarks: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Affine matrix of a square crop around a face.

    Parameters
    ----------
    box : (left, top, right, bottom)
        First and last pixel centre in each direction, so that the face is right - left + 1 pixels wide.
    size
        Side of the crop in pixels.
    margin
        Share of the longer side added on each side; the crop shows (1 + 2 margin) times the longer side.
    align
        `eyes` turns the crop about the centre of the face so that the line between the eyes is horizontal.
    landmarks : shape (68, 2)
        In source pixels; needed for `eyes`, whose box is measured along the turned axes.

    Returns
    -------
    shape (2, 3)
        The outer edges of the square's outermost pixels meet the crop's outer edges. A square that is larger than the
        crop and not turned is made of whole source pixels: `crop` is three times faster there.

    Raises
    ------
    ValueError
        If the box is empty or upside down, an argument is out of range, or `eyes` comes without landmarks.
    """
    if align not in ("none", "eyes"):
        raise ValueError(f"align must be 'none' or 'eyes', got {align!r}")
    if size < 1 or not margin >= 0:
        raise ValueError(f"size must be at least 1 and margin at least 0, got {size} and {margin}")
    angle = 0.0
    if align == "eyes":
        if landmarks is None:
            raise ValueError("align='eyes' needs landmarks; use align='none' where there are none")
        angle = eye_angle(landmarks)
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[cos, sin], [-sin, cos]])
    if angle:
        box = face_box(_points(landmarks) @ rotation.T)  # type: ignore[arg-type]  # checked above
    left, top, right, bottom = box
    if not (np.isfinite(box).all() and right >= left and bottom >= top):
        raise ValueError(f"box must be (left, top, right, bottom) with left <= right and top <= bottom, got {box}")
    side = max(right - left + 1, bottom - top + 1) * (1 + 2 * margin)
    centre = np.array([(left + right) / 2, (top + bottom) / 2])  # of the box, in turned coordinates
    if not angle and side > size:
        side = float(np.ceil(side - 1e-6))
        centre = np.floor(centre - side / 2 + 1) + (side - 1) / 2
    scale = size / side
    return np.column_stack([scale * rotation, (size - 1) / 2 - scale * centre]).astype(np.float64)


def whole_frame_matrix(height: int, width: int, size: int) -> NDArray[np.float64]:
    """Affine matrix that fits the whole frame into the crop, aspect ratio kept; the rest is border.

    The frame is centred to the source pixel, so that crop and frame share their pixel edges.

    Parameters
    ----------
    height, width
        Of the frame in pixels.
    size
        Side of the crop in pixels.

    Returns
    -------
    shape (2, 3), float64
        Source to crop.

    Raises
    ------
    ValueError
        If one of them is less than 1.
    """
    if min(height, width, size) < 1:
        raise ValueError(f"height, width and size must be at least 1, got {height}, {width} and {size}")
    side = max(height, width)
    scale = size / side
    first = (np.array([width, height]) - side) // 2  # source pixel at the crop's corner
    return np.column_stack([scale * np.eye(2), (scale - 1) / 2 - scale * first])


def crop(image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Cut a square out of an image.

    Parameters
    ----------
    image : shape (H, W, 3)
        RGB.
    matrix : shape (2, 3)
        Source to crop, as from `crop_matrix`.
    size
        Side of the crop.

    Returns
    -------
    shape (size, size, 3)
        Bilinear where the crop is larger than its source. Where it is smaller, each crop pixel is the mean of the
        area it covers. Outside of the frame it is black: repeating edge pixels would draw streaks that look like
        texture to a network.

    Raises
    ------
    ValueError
        If the image or the matrix has another shape or type.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be uint8 of shape (H, W, 3), got {image.dtype} {image.shape}")
    if matrix.shape != (2, 3):
        raise ValueError(f"matrix must have shape (2, 3), got {matrix.shape}")
    square = _whole_pixels(matrix, size)
    if square is not None and (square[2] >= size or _holds(square, image)):
        return _resized_square(image, *square, size)
    shrink = 1.0 / float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    factor = int(np.ceil(shrink - 1e-9))
    if factor <= 1:
        return _warp(image, matrix, size)
    # Draw the crop `factor` times larger, at least at source resolution, and average: exact area means at any angle.
    finer = matrix * factor
    finer[:, 2] += (factor - 1) / 2
    return cv2.resize(_warp(image, finer, size * factor), (size, size), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def apply_affine(matrix: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Points of shape (L, 2), pixels, through a matrix of shape (2, 3): float32, shape (L, 2)."""
    return (_points(points) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def _whole_pixels(matrix: NDArray[np.float64], size: int) -> tuple[int, int, int] | None:
    """Left, top and side of the source square that a crop shows, where it is made of whole pixels and not turned."""
    (scale, shear_x, x), (shear_y, scale_y, y) = matrix.tolist()
    if shear_x or shear_y or scale != scale_y or scale <= 0:
        return None
    edges = [((scale - 1) / 2 - x) / scale, ((scale - 1) / 2 - y) / scale, size / scale]
    left, top, side = (round(edge) for edge in edges)
    whole = max(abs(edges[0] - left), abs(edges[1] - top), abs(edges[2] - side)) < 1e-6
    return (left, top, side) if whole else None


def _holds(square: tuple[int, int, int], image: NDArray[np.uint8]) -> bool:
    """Whether a square (left, top, side) shows all of an image, so that no pixel beside it matters."""
    left, top, side = square
    return left <= 0 and top <= 0 and left + side >= image.shape[1] and top + side >= image.shape[0]


def _resized_square(image: NDArray[np.uint8], left: int, top: int, side: int, size: int) -> NDArray[np.uint8]:
    """A square of the image, area means or bilinear, black outside of the image."""
    height, width = image.shape[:2]
    spans = [(max(-start, 0), max(min(limit - start, side), 0)) for start, limit in ((top, height), (left, width))]
    (first_row, last_row), (first_column, last_column) = spans  # of the square, that the image has
    if last_row <= first_row or last_column <= first_column:
        return np.zeros((size, size, 3), np.uint8)
    inside = image[top + first_row : top + last_row, left + first_column : left + last_column]
    edges = np.array([first_row, last_row, first_column, last_column]) * size
    if (edges % side).any():  # the image ends inside of a crop pixel
        pads = first_row, side - last_row, first_column, side - last_column
        inside = cv2.copyMakeBorder(inside, *pads, cv2.BORDER_CONSTANT, value=(0, 0, 0))  # type: ignore[assignment]
        edges = np.array([0, side, 0, side]) * size
    rows, columns = slice(*(edges[:2] // side)), slice(*(edges[2:] // side))
    if side >= 4 * size and side % size and not (inside.shape[0] % 2 or inside.shape[1] % 2):
        # OpenCV halves ten times faster than it averages areas with fractions.
        inside = cv2.resize(inside, (inside.shape[1] // 2, inside.shape[0] // 2), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    cut = np.zeros((size, size, 3), np.uint8)
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    cut[rows, columns] = cv2.resize(inside, shape, interpolation=cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR)
    return cut


def _warp(image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    return cv2.warpAffine(  # type: ignore[return-value]
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )


def _points(points: NDArray[np.floating]) -> NDArray[np.float64]:
    checked: NDArray[np.float64] = np.asarray(points, np.float64)
    if checked.ndim != 2 or checked.shape[1] != 2 or not len(checked):
        raise ValueError(f"points must have shape (L, 2), got {checked.shape}")
    return checked
