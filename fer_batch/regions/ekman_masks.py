"""Where Ekman's Action Units of the six basic expressions show on the standard face (methods 2.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.regions.geometry import standard_face

# Corners of the polygons of each mask. 36: landmark 36; T18: above it at the border; C36: below it at the height of 29;
# M4,48: midway; H0 and H16: midway from an end of the jaw to the nearer upper corner; IL and IR: where lines cross.
OUTLINES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "anger": (
            "T18 T25 25 45 C45 C42 42 27 39 C39 C36 36 18",
            "32 33 34 52 63 65 56 9 8 7 58 67 61 50",
        ),
        "disgust": ("36 41 40 39 21 22 42 47 46 45 M12,54 55 53 65 66 67 49 59 M4,48",),
        "fear": ("T18 T25 25 45 C45 M12,54 54 53 C42 28 C39 49 48 M4,48 C36 36 18",),
        "happiness": ("36 37 38 39 27 42 43 44 45 C45 IR 12 11 10 55 53 35 C42 28 C39 31 49 59 6 5 4 IL C36",),
        "sadness": ("T20 T23 23 43 44 45 25 H16 16 C45 M12,54 55 53 C42 28 C39 49 59 M4,48 C36 0 H0 18 36 37 38 20",),
        "surprise": (
            "T18 T21 21 39 40 41 36 18",
            "T22 T25 25 45 46 47 42 22",
            "31 32 33 34 35 53 55 10 9 8 7 6 59 49",
        ),
    }
)
_CROSSINGS = MappingProxyType({"IL": ("C36", "M4,48", "31", "4"), "IR": ("C45", "M12,54", "35", "12")})

Point = NDArray[np.float64]


def expression_outlines(landmarks: ArrayLike, width: int) -> dict[str, list[NDArray[np.int32]]]:
    """Corners of the polygons of each expression's mask.

    Parameters
    ----------
    landmarks : shape (68, 2), pixels (x, y)
    width
        Of the canvas, pixels.

    Returns
    -------
    dict of arrays of shape (k, 2), int32, pixels (x, y)
        By expression. What lies between landmarks is truncated, as released.

    Raises
    ------
    ValueError
        If the landmarks are not (68, 2), finite.

    References
    ----------
    Gaya-Morey et al. (2024), Fig. 4, whose triangles these polygons unite.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise ValueError(f"expected finite landmarks (68, 2), got {points.shape}")

    def outline(words: str) -> NDArray[np.int32]:
        return np.array([_corner(word, points, width) for word in words.split()]).astype(np.int32)

    return {expression: [outline(words) for words in polygons] for expression, polygons in OUTLINES.items()}


def _corner(word: str, points: Point, width: int) -> Point:
    """The place that a word of an outline names."""
    if word in _CROSSINGS:
        return np.trunc(_crossing(*(_corner(end, points, width) for end in _CROSSINGS[word])))
    match = re.fullmatch(r"([TCMH]?)(\d+)(?:,(\d+))?", word)
    assert match is not None, word
    kind, first, second = match.groups()
    at = points[int(first)]
    places: Mapping[str, Callable[[], Point]] = {
        "": lambda: at,
        "T": lambda: np.array([at[0], 0.0]),
        "C": lambda: np.array([at[0], points[29, 1]]),
        "M": lambda: np.trunc((at + points[int(second)]) / 2),
        "H": lambda: np.trunc((at + [0.0 if first == "0" else width, 0.0]) / 2),
    }
    return places[kind]()


def _crossing(a: Point, b: Point, c: Point, d: Point) -> Point:
    """Where the line through a and b meets that through c and d."""
    along = np.linalg.solve(np.column_stack([b - a, c - d]), c - a)[0]
    return np.asarray(a + along * (b - a))


def expression_masks(canvas: tuple[int, int] = (275, 224)) -> dict[str, NDArray[np.bool_]]:
    """Masks of the six basic expressions on the standard face.

    Parameters
    ----------
    canvas
        Height and width; on another than that of the standard face, a pixel is in a mask where half of it is.

    Returns
    -------
    dict of arrays of shape `canvas`, bool
        By expression; edges are inside.

    References
    ----------
    Gaya-Morey et al. (2024), 4.3; methods 2.5.
    """
    points, (height, width) = standard_face()
    masks = {}
    for expression, polygons in expression_outlines(points, width).items():
        filled = np.zeros((height, width), np.float32)
        for corners in polygons:  # each by itself: where two overlap they would cancel
            cv2.fillPoly(filled, [corners], 1.0)
        masks[expression] = cv2.resize(filled, canvas[::-1], interpolation=cv2.INTER_AREA) >= 0.5
    return masks
