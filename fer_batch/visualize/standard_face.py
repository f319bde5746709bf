"""A simple line face, for pictures of faces that were not stored."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fer_batch.regions import standard_face
from fer_batch.visualize.vector import element, polyline

# (first point, one past the last, closed)
_STROKES = (
    (0, 17, False),
    (17, 22, False),
    (22, 27, False),
    (27, 31, False),
    (31, 36, False),
    (36, 42, True),
    (42, 48, True),
    (48, 60, True),
    (60, 68, True),
)
_PAPER, _SKIN, _LINE, _HAIRLINE = (255, 255, 255), (244, 244, 242), (95, 95, 95), (205, 205, 205)
_OVERSAMPLING = 3


def standard_landmarks(height: int, width: int) -> NDArray[np.float64]:
    """The standard face, shrunk to fit a crop and centred in it without changing its proportions.

    Parameters
    ----------
    height, width : px
        Size of the crop.

    Returns
    -------
    shape (68, 2), float64, crop pixels (x, y)
    """
    points, (canvas_height, canvas_width) = standard_face()
    scale = min(width / canvas_width, height / canvas_height)
    offset = (np.array([width, height]) - scale * np.array([canvas_width, canvas_height])) / 2
    return points * scale + offset


def line_face(height: int = 224, width: int = 224, landmarks: NDArray[np.floating] | None = None) -> NDArray[np.uint8]:
    """A face in thin grey lines on white.

    Parameters
    ----------
    height, width : px
        Size of the picture: the crop grid, or a multiple of it.
    landmarks : shape (68, 2), px of this picture
        Points of the person, whose proportions the drawing then has without showing the face; by default, or where
        a point is not finite, the standard face.

    Returns
    -------
    shape (height, width, 3), uint8, RGB

    Raises
    ------
    ValueError
        If the landmarks are not 68 points or the size is not positive.
    """
    if height < 1 or width < 1:
        raise ValueError(f"a face needs a positive size, got {width}x{height}")
    if landmarks is None:
        return _draw_standard(height, width).copy()
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (68, 2):
        raise ValueError(f"expected 68 landmarks (68, 2), got {points.shape}")
    return _draw(points, height, width) if np.isfinite(points).all() else _draw_standard(height, width).copy()


def line_face_svg(landmarks: NDArray[np.floating] | None = None, side: float = 100.0) -> str:
    """The drawing of `line_face` as SVG elements on a square canvas.

    Parameters
    ----------
    landmarks : shape (68, 2), units of the canvas
        By default, or where a point is not finite, the standard face.
    side
        Of the canvas.

    Raises
    ------
    ValueError
        If the landmarks are not (68, 2).
    """
    if landmarks is not None and np.shape(landmarks) != (68, 2):
        raise ValueError(f"expected 68 landmarks (68, 2), got {np.shape(landmarks)}")
    if landmarks is None or not np.isfinite(landmarks).all():
        points = standard_landmarks(round(side), round(side))
    else:
        points = np.asarray(landmarks, dtype=np.float64)
    strokes = "".join(polyline(points[first:end], closed) for first, end, closed in _STROKES)
    brow, thickness = _forehead(points), 0.012 * side
    line = {"fill": "none", "stroke_width": thickness, "stroke_linejoin": "round", "stroke_linecap": "round"}
    return (
        element("path", d=polyline(np.vstack([points[:17], brow]), True), fill="#f4f4f2")
        + element("path", d=polyline(np.vstack([points[16:17], brow, points[:1]])), stroke="#e1e1e1", **line)
        + element("path", d=strokes, stroke="#5f5f5f", **line)
    )


def standard_outline(width: float = 100.0) -> tuple[str, float]:
    """The lines of the standard face as SVG elements on its own canvas, and the height of that.

    Parameters
    ----------
    width
        Of the canvas, in any unit; its height follows.
    """
    points, (height, own_width) = standard_face()
    scale = width / own_width
    return line_face_svg((points + 0.5) * scale, width), height * scale


def strokes(landmarks: NDArray[np.floating]) -> list[NDArray[np.float64]]:
    """The lines of a face.

    Parameters
    ----------
    landmarks : shape (68, 2), any unit

    Returns
    -------
    arrays of shape (k, 2), float64, the unit of the landmarks
        One a line; where the first point comes again at the end it is closed.
    """
    points = np.asarray(landmarks, np.float64)
    return [np.vstack([points[i:end], points[i : i + 1]]) if closed else points[i:end] for i, end, closed in _STROKES]


def with_mesh(image: NDArray[np.uint8], points: NDArray[np.floating], triangles: NDArray[np.intp]) -> NDArray[np.uint8]:
    """A picture with a mesh over it: its triangles as thin lines, its points as dots.

    Parameters
    ----------
    image : shape (H, W, 3), uint8, RGB
    points : shape (n, 2), pixels (x, y) of the picture
    triangles : shape (t, 3), indices of points

    Returns
    -------
    shape (H, W, 3), uint8, RGB
    """
    drawn = Image.fromarray(image).resize((image.shape[1] * 2, image.shape[0] * 2), Image.Resampling.BILINEAR)
    canvas = ImageDraw.Draw(drawn)
    at = (np.asarray(points, np.float64) + 0.5) * 2
    for triangle in triangles:
        canvas.polygon([tuple(point) for point in at[triangle]], outline=(0, 158, 115))
    for x, y in at:
        canvas.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(213, 94, 0))
    return np.asarray(drawn.resize((image.shape[1], image.shape[0]), Image.Resampling.LANCZOS))


@lru_cache(maxsize=8)
def _draw_standard(height: int, width: int) -> NDArray[np.uint8]:
    return _draw(standard_landmarks(height, width), height, width)


def _draw(points: NDArray[np.float64], height: int, width: int) -> NDArray[np.uint8]:
    scale = _OVERSAMPLING
    image = Image.new("RGB", (width * scale, height * scale), _PAPER)
    canvas = ImageDraw.Draw(image)
    # Pixel centres sit at integers, so point (0, 0) is the middle of the first block of subpixels.
    at = (points + 0.5) * scale
    thickness = max(scale, round(0.012 * min(height, width) * scale))
    canvas.polygon([tuple(p) for p in np.vstack([at[:17], _forehead(at)])], fill=_SKIN)
    canvas.line(
        [tuple(p) for p in np.vstack([at[16:17], _forehead(at), at[:1]])], fill=(225, 225, 225), width=thickness
    )
    for first, end, closed in _STROKES:
        stroke = at[first:end]
        if closed:
            stroke = np.vstack([stroke, stroke[:1]])
        canvas.line([tuple(p) for p in stroke], fill=_LINE, width=thickness, joint="curve")
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def _forehead(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """An arc from the end of the jaw (point 16) over the brows to its start (point 0)."""
    middle, half = (at[0] + at[16]) / 2, (at[16] - at[0]) / 2
    brows = at[17:27].mean(axis=0)
    # The hairline is about as far above the brows as the brows are above the tip of the nose.
    up = 1.6 * (brows - middle) + 0.35 * (brows - at[30])
    angle = np.linspace(0, np.pi, 24)[1:-1, None]
    return middle + np.cos(angle) * half + np.sin(angle) * up
