"""Where a face should be looked at: maps of Action Units, drawn as ellipses about landmarks (methods 2.7)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch import facs
from fer_batch.regions.face_mesh import defined
from fer_batch.regions.geometry import checked

_SIDE = 224  # px; fixed lengths of the table are for images of this side (AM-6)
_COARSE = (28, 28)  # where each Action Unit's map is smoothed (AM-2)


@dataclass(frozen=True)
class Half:
    """Half an axis of an ellipse: a part of the image's side, a length, or half the way between two landmarks.

    Attributes
    ----------
    part
        1/8 is 8; rounded.
    px
        At a side of 224; added to the way where there is one.
    span
        Two landmarks: from the first to the second, to the right or down, truncated.
    least
        px at a side of 224, where the way is not positive.
    either
        Whether the way counts in both directions.
    """

    part: int = 0
    px: float = 0.0
    span: tuple[int, int] | None = None
    least: float = 5.0
    either: bool = False

    def __call__(self, at: NDArray[np.int64], side: int, scale: float) -> NDArray[np.int64]:
        """Pixels, shape (n,), of landmarks (n, 68) along one axis, and the image's side along it."""
        if self.span is None:
            return np.full(len(at), round(side / self.part if self.part else self.px * scale))
        way = at[:, self.span[1]] - at[:, self.span[0]]
        half = np.trunc(((np.abs(way) if self.either else way) + self.px * scale) / 2).astype(np.int64)
        return np.where(half > 0, half, max(1, round(self.least * scale)))


@dataclass(frozen=True)
class Ellipse:
    """An ellipse whose axes lie along the image's.

    Attributes
    ----------
    x, y
        Landmarks whose mean, truncated, is the centre's coordinate.
    across, down
        Half axes.
    right
        px at a side of 224 that the centre is moved to the right.
    below
        Part of the height, 1/6 as 6, that it is moved down.
    """

    x: tuple[int, ...]
    y: tuple[int, ...]
    across: Half
    down: Half
    right: float = 0.0
    below: int = 0

    def placed(self, points: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.int64]:
        """Centre and half axes.

        Parameters
        ----------
        points : shape (n, 68, 2), pixels
        size
            Height and width.

        Returns
        -------
        shape (n, 4), pixels
            x, y, half the width, half the height.
        """
        (height, width), (px, py) = size, np.moveaxis(points, -1, 0)
        scale = width / _SIDE
        x = np.trunc(px[:, self.x].mean(axis=1)).astype(np.int64) + round(self.right * scale)
        y = np.trunc(py[:, self.y].mean(axis=1)).astype(np.int64) + (round(height / self.below) if self.below else 0)
        return np.column_stack([x, y, self.across(px, width, scale), self.down(py, height, scale)])


def _at(point: int, across: Half, down: Half, right: float = 0.0, below: int = 0) -> Ellipse:
    return Ellipse((point,), (point,), across, down, right, below)


def _eyes(more: float) -> tuple[Ellipse, ...]:
    """An ellipse over each eye, from corner to corner, and from lid to lid and so many pixels."""
    sides = ((36, 39), (38, 41)), ((42, 45), (44, 47))
    return tuple(Ellipse(x, y, Half(span=x), Half(span=y, px=more)) for x, y in sides)


_20, _PART8, _PART10 = Half(px=20), Half(part=8), Half(part=10)
_MOUTH = (Ellipse((48, 54), (51, 57), Half(span=(48, 54)), Half(span=(51, 57))),)
_CORNERS = (_at(48, _20, _20), _at(54, _20, _20))
ELLIPSES = MappingProxyType(
    {
        1: (_at(20, _PART8, _PART10), _at(23, _PART8, _PART10)),
        2: (_at(18, _PART8, _PART10), _at(25, _PART8, _PART10)),
        4: (Ellipse((19, 24), (19, 24), Half(span=(19, 24), least=10), Half(span=(19, 24), least=10)),),
        5: _eyes(0),
        6: (_at(41, _PART10, _PART10, below=6), _at(46, _PART10, _PART10, below=6)),
        7: _eyes(20),
        9: (Ellipse((31,), (29,), _20, _20), Ellipse((35,), (29,), _20, _20)),
        10: (Ellipse((48,), (50,), _20, _20), Ellipse((54,), (52,), _20, _20)),
        12: _CORNERS,
        14: (_at(48, _20, _20, right=-20), _at(54, _20, _20, right=20)),
        15: _CORNERS,
        16: (_at(59, _20, _20), _at(55, _20, _20)),
        17: (Ellipse((59, 8), (59, 8), Half(span=(59, 8), either=True), Half(span=(59, 8), either=True)),),
        20: (Ellipse((48, 6), (48, 6), _20, _20), Ellipse((54, 10), (54, 10), _20, _20)),
        23: _MOUTH,
        24: _MOUTH,
        25: (_at(51, Half(px=25), Half(px=10)), _at(57, Half(px=25), Half(px=10))),
        26: _MOUTH,
        27: _MOUTH,
        43: _eyes(20),
    }
)


def unit_maps(landmarks: ArrayLike, units: Sequence[Iterable[int]], size: tuple[int, int]) -> NDArray[np.float32]:
    """Where each face should be looked at, given the Action Units it shows.

    Each unit's ellipses are drawn, brought to 28x28, blurred by 3x3 and brought back; of several units the largest
    value counts, and the map is stretched to 0 to 1.

    Parameters
    ----------
    landmarks : shape (n, 68, 2), pixels (x, y) of an image of `size`
        Whole pixels count; NaN where there is no face.
    units
        FACS numbers of each face. Those that `ELLIPSES` does not have draw nothing.
    size
        Height and width. Fixed lengths are for a width of 224 and scale with it.

    Returns
    -------
    shape (n, h, w), float32, in [0, 1]
        Infinite throughout where there is no map: no landmarks, no unit, nothing inside the image.

    Raises
    ------
    ValueError
        If there is not one set of units a face.

    References
    ----------
    Belharbi et al. (2024), 3.2, and the released code; methods AM-1 to AM-6. The left ellipse of AU20 is at 54, which
    the released code takes to be 50. Maps of a mirrored face are the mirrored maps where these are moved with their
    image (AM-7); drawn anew they differ, since AU05, AU07, AU17 are not symmetric.
    """
    points = checked(landmarks)
    if len(units) != len(points):
        raise ValueError(f"expected units for each of {len(points)} faces, got {len(units)}")
    known = defined(points)
    whole = np.trunc(np.where(known[:, None, None], points, 0)).astype(np.int64)
    place = functools.cache(lambda ellipse: ellipse.placed(whole, size).tolist())
    maps = np.full((len(points), *size), np.inf, np.float32)
    canvas = np.zeros(size, np.float32)
    for i in np.flatnonzero(known).tolist():
        shapes = {ELLIPSES[unit] for unit in units[i] if unit in ELLIPSES}
        _fill(maps[i], canvas, ([place(ellipse)[i] for ellipse in ellipses] for ellipses in shapes))
    return maps


def _fill(out: NDArray[np.float32], canvas: NDArray[np.float32], units: Iterable[list[list[int]]]) -> None:
    """Write one map, given centres and half axes by unit; `out` stays as it is where nothing is drawn."""
    drawn = [coarse for ellipses in units if (coarse := _coarse(canvas, ellipses)) is not None]
    if not drawn:
        return
    found = _resized(drawn[0], canvas.shape)
    for other in drawn[1:]:
        np.maximum(found, _resized(other, canvas.shape), out=found)
    low, high = float(found.min()), float(found.max())
    if high > low:
        np.divide(found - np.float32(low), np.float32(high - low), out=out)


def _coarse(canvas: NDArray[np.float32], ellipses: list[list[int]]) -> NDArray[np.float32] | None:
    """Ellipses of one unit, smoothed on the coarse grid; None where all are outside the image."""
    canvas.fill(0)
    for x, y, across, down in ellipses:
        cv2.ellipse(canvas, (x, y), (across, down), 0, 0, 360, 1, cv2.FILLED)
    if not cv2.countNonZero(canvas):
        return None
    return np.asarray(cv2.blur(_resized(canvas, _COARSE), (3, 3)), np.float32)


def _resized(values: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def expression_maps(
    landmarks: ArrayLike,
    expressions: Sequence[str],
    size: tuple[int, int],
    codebook: str = "martinez",
    disgust_release: bool = False,
) -> NDArray[np.float32]:
    """Where each face should be looked at, given the expression it shows.

    Parameters
    ----------
    landmarks : shape (n, 68, 2), pixels (x, y) of an image of `size`
    expressions
        Of each face, such as `fear`; one without Action Units, such as `neutral`, has no map.
    size
        Height and width.
    codebook, disgust_release
        As in `facs.expression_units`.

    Returns
    -------
    shape (n, h, w), float32, in [0, 1]
        As `unit_maps`.

    Raises
    ------
    ValueError
        If an expression or codebook is unknown, or there is not one expression a face.
    """
    units = {one: facs.expression_units(one, codebook, disgust_release) for one in set(expressions)}
    return unit_maps(landmarks, [units[one] for one in expressions], size)


def has_map(maps: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether maps (n, h, w) are maps, shape (n,), bool: finite everywhere (AM-5)."""
    return np.asarray(np.isfinite(maps).all(axis=(1, 2)))
