"""Hatches of clusters that share a colour: as SVG tiles, and as texture of pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fer_batch.visualize.colours import Style, channels

# Lines of a 6x6 tile for each hatch of `colours`.
TILES = {
    "...": "M3 2.2v1.6M2.2 3h1.6",
    "///": "M0 6L6 0",
    "+++": "M3 0V6M0 3H6",
    "ooo": "M3 1.5A1.5 1.5 0 1 0 3.01 1.5",
    "xxx": "M0 6L6 0M0 0L6 6",
    "***": "M3 .5V5.5M.8 1.7L5.2 4.3M.8 4.3L5.2 1.7",
    "---": "M0 3H6",
    "OO": "M3 .5A2.5 2.5 0 1 0 3.01 .5",
}
_ACROSS = 18  # tiles in a picture, so that a patch as large as an eye has two or three
_MIN_TILE = 8  # pixels, below which one hatch looks like another
_INK = 0.62  # opacity of the lines


def texture(style: Style, height: int, width: int) -> NDArray[np.float64]:
    """The colour of a cluster in every pixel of a picture, with its hatch in the colour of its text.

    Returns
    -------
    shape (3,) or (height, width, 3), in [0, 1]
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
    u, v = x / unit % 6 - 3, y / unit % 6 - 3  # from the middle of a tile, as `TILES` have it
    radius = np.hypot(u, v)
    rising, falling = (np.abs((sign + 3) % 6 - 3) / np.sqrt(2) for sign in (u + v, u - v))
    level, upright = np.abs(v), np.abs(u)
    away = {
        "...": radius - 0.7,
        "///": rising,
        "+++": np.minimum(level, upright),
        "ooo": np.abs(radius - 1.5),
        "xxx": np.minimum(rising, falling),
        "***": np.where(radius < 2.6, np.minimum(upright, np.abs(np.abs(u) * 0.5 - np.abs(v) * np.sqrt(0.75))), 6.0),
        "---": level,
        "OO": np.abs(radius - 2.5),
    }[hatch]
    return np.clip(0.5 + (0.55 - away) * unit, 0, 1)
