"""Hatches of clusters that share a colour: as SVG tiles, and as texture of pixels.

A hatch is a few strokes on a tile of 6x6 units, whose middle is (3, 3). Each stroke knows its SVG path and the distance
of a point from it, so that both pictures have one source.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fer_batch.visualize.colours import Style, channels

_ACROSS = 18  # tiles in a picture, so that a patch as large as an eye has two or three
_MIN_TILE = 8  # pixels, below which one hatch looks like another
_INK = 0.62  # opacity of the lines
_MIDDLE = 3.0

Points = NDArray[np.float64]


class _Stroke(Protocol):
    """One stroke on a tile."""

    @property
    def path(self) -> str:
        """Its SVG path data."""

    def distance(self, u: Points, v: Points) -> Points:
        """Of points (u right, v down, from the middle of the tile) to the stroke; arrays of one shape, in units."""


@dataclass(frozen=True)
class _Line:
    """A line across the tile, which goes on in the next: `level`, `upright`, `rising` or `falling`."""

    direction: str

    @property
    def path(self) -> str:
        return {"level": "M0 3H6", "upright": "M3 0V6", "rising": "M0 6L6 0", "falling": "M0 0L6 6"}[self.direction]

    def distance(self, u: Points, v: Points) -> Points:
        if self.direction in ("level", "upright"):
            return np.abs(v if self.direction == "level" else u)
        across = u + v if self.direction == "rising" else u - v
        return np.abs((across + 3) % 6 - 3) / np.sqrt(2)


@dataclass(frozen=True)
class _Ring:
    """A circle around the middle."""

    radius: float

    @property
    def path(self) -> str:
        r = f"{self.radius:g}"
        return f"M3 {_MIDDLE - self.radius:g}A{r} {r} 0 1 0 3.01 {_MIDDLE - self.radius:g}"

    def distance(self, u: Points, v: Points) -> Points:
        return np.abs(np.hypot(u, v) - self.radius)


@dataclass(frozen=True)
class _Dot:
    """A dot in the middle; as a path a cross so short that its width makes it a dot."""

    radius: float

    @property
    def path(self) -> str:
        start, length = f"{_MIDDLE - self.radius - 0.1:g}", f"{2 * self.radius + 0.2:g}"
        return f"M3 {start}v{length}M{start} 3h{length}"

    def distance(self, u: Points, v: Points) -> Points:
        return np.hypot(u, v) - self.radius


@dataclass(frozen=True)
class _Star:
    """Three lines through the middle, 60 degrees apart, one of them upright."""

    radius: float

    @property
    def path(self) -> str:
        radius = self.radius - 0.1  # so that it does not touch the star of the next tile
        x, y = radius * np.sqrt(0.75), radius / 2
        left, right = f"{_MIDDLE - x:.3g}", f"{_MIDDLE + x:.3g}"
        high, low = f"{_MIDDLE - y:.3g}", f"{_MIDDLE + y:.3g}"
        upright = f"M3 {_MIDDLE - radius:g}V{_MIDDLE + radius:g}"
        return f"{upright}M{left} {high}L{right} {low}M{left} {low}L{right} {high}"

    def distance(self, u: Points, v: Points) -> Points:
        slanted = np.abs(np.abs(u) * 0.5 - np.abs(v) * np.sqrt(0.75))
        return np.where(np.hypot(u, v) < self.radius, np.minimum(np.abs(u), slanted), 6.0)


# The strokes of each hatch of `colours`, named as matplotlib names it.
_STROKES: MappingProxyType[str, tuple[_Stroke, ...]] = MappingProxyType(
    {
        "...": (_Dot(0.7),),
        "///": (_Line("rising"),),
        "+++": (_Line("upright"), _Line("level")),
        "ooo": (_Ring(1.5),),
        "xxx": (_Line("rising"), _Line("falling")),
        "***": (_Star(2.6),),
        "---": (_Line("level"),),
        "OO": (_Ring(2.5),),
    }
)
TILES = {hatch: "".join(stroke.path for stroke in strokes) for hatch, strokes in _STROKES.items()}  # SVG path data


def texture(style: Style, height: int, width: int) -> NDArray[np.float64]:
    """The colour of a cluster in every pixel of a picture, with its hatch in the colour of its text.

    Parameters
    ----------
    style
        Colours and hatch of the cluster.
    height, width : pixels
        Size of the picture.

    Returns
    -------
    shape (3,) or (height, width, 3), float64, RGB in [0, 1]
        One colour where there is no hatch.
    """
    fill = np.asarray(style.rgb)
    if not style.hatch:
        return fill
    lines = _INK * _lines(style.hatch, height, width)[..., None]
    return fill * (1 - lines) + np.asarray(channels(style.ink)) * lines


@lru_cache(maxsize=32)
def _lines(hatch: str, height: int, width: int) -> NDArray[np.float64]:
    """How much of each pixel the lines of a hatch cover."""
    unit = max(_MIN_TILE, max(height, width) / _ACROSS) / 6  # pixels
    y, x = np.mgrid[:height, :width] + 0.5
    u, v = x / unit % 6 - _MIDDLE, y / unit % 6 - _MIDDLE
    away = np.min([stroke.distance(u, v) for stroke in _STROKES[hatch]], axis=0)
    return np.clip(0.5 + (0.55 - away) * unit, 0, 1)
