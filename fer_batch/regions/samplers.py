"""Values of maps at positions between their pixels (methods W-4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-6  # px; a position this little below an integer is that integer


class Floor:
    """Maps read at the integers below positions; 0 outside.

    Parameters
    ----------
    maps : shape (n, h, w) or (n, h, w, c)
    shift : pixels, across and down
        Not used: the integers below positions have no centres.
    """

    def __init__(self, maps: NDArray[Any], shift: NDArray[np.float64]) -> None:
        n, self.height, self.width = maps.shape[:3]
        bordered = np.zeros((n, self.height + 2, self.width + 2, *maps.shape[3:]), maps.dtype)
        bordered[:, 1:-1, 1:-1] = maps
        self.rows = _rows(bordered)

    def __call__(self, position: NDArray[np.float64]) -> NDArray[Any]:
        """Values at positions x and y (2, n, p) in pixels, which are overwritten: shape (n, p) or (n, p, c)."""
        position += 1 + _ROUNDING  # the border takes what is outside; all else is above 0, where a cast is the floor
        x, y = position.astype(np.int32)
        np.clip(x, 0, self.width + 1, out=x)
        np.clip(y, 0, self.height + 1, out=y)
        y *= self.width + 2
        y += x
        out = np.empty((*y.shape, *self.rows.shape[2:]), self.rows.dtype)
        for values, one, at in zip(out, self.rows, y, strict=True):
            one.take(at, axis=0, out=values, mode="clip")
        return out


class Bilinear:
    """Maps interpolated at positions; 0 outside.

    Parameters
    ----------
    maps : shape (n, h, w) or (n, h, w, c)
    shift : pixels, across and down
        Position of the first pixel's edge that is inside still.
    """

    def __init__(self, maps: NDArray[Any], shift: NDArray[np.float64]) -> None:
        self.dtype = maps.dtype
        self.whole = not np.issubdtype(maps.dtype, np.floating)
        self.rows = _rows(maps.astype(np.float32) if self.whole else maps)
        self.sides, self.shift = maps.shape[2:0:-1], shift

    def __call__(self, position: NDArray[np.float64]) -> NDArray[Any]:
        """Values at positions x and y (2, n, p) in pixels, which are overwritten: shape (n, p) or (n, p, c)."""
        inside = np.ones(position.shape[1:], bool)
        corner, share = [], []
        for axis, low, side in zip(position, self.shift, self.sides, strict=True):
            inside &= (axis >= low - _ROUNDING) & (axis < low + side - _ROUNDING)
            np.clip(axis, 0, side - 1, out=axis)
            start = np.minimum(axis.astype(np.int32), max(side - 2, 0))
            corner.append(start)
            axis -= start
            share.append(axis.astype(np.float32))
        width, height = self.sides
        at = corner[1] * np.int32(width) + corner[0]
        steps = (0, int(width > 1), width * int(height > 1))
        out = np.stack([self._mixed(i, at[i], share, steps) for i in range(len(at))])
        out[~inside] = 0
        return np.rint(out).astype(self.dtype) if self.whole else out

    def _mixed(
        self, i: int, at: NDArray[np.int32], share: list[NDArray[np.float32]], steps: tuple[int, int, int]
    ) -> NDArray[np.floating]:
        """Values of one map between the four pixels from each index on."""
        one = self.rows[i]
        across, down = (s[i].reshape(-1, *(1,) * (one.ndim - 1)) for s in share)
        lines = []
        for row in (0, steps[2]):
            first, second = (one.take(at + np.int32(row + step), axis=0, mode="clip") for step in steps[:2])
            second -= first
            second *= across
            first += second
            lines.append(first)
        upper, lower = lines
        lower -= upper
        lower *= down
        upper += lower
        return upper


def _rows(maps: NDArray[Any]) -> NDArray[Any]:
    """Pixels of each map in one row, shape (n, h w, ...)."""
    return maps.reshape(len(maps), maps.shape[1] * maps.shape[2], *maps.shape[3:])


class Averaged:
    """Maps (n, h, w), float32, interpolated by OpenCV at positions in float32; beyond their edge the last pixel.

    Parameters
    ----------
    maps : shape (n, h, w)
    shift : pixels, across and down
        Not used: there is no outside.
    """

    def __init__(self, maps: NDArray[np.float32], shift: NDArray[np.float64]) -> None:
        self.maps = maps

    def __call__(self, position: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values at positions x and y (2, n, p) in pixels: shape (n, p), float32."""
        x, y = position
        out = np.empty(x.shape, np.float32)
        for values, one, across, down in zip(out, self.maps, x, y, strict=True):
            at = across[None], down[None]
            cv2.remap(one, *at, cv2.INTER_LINEAR, dst=values[None], borderMode=cv2.BORDER_REPLICATE)
        return out


def averaged(maps: NDArray[Any], width: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps averaged down to sides of at most `width`, and which of them are finite.

    Parameters
    ----------
    maps : shape (n, h, w), any unit
    width
        Pixels.

    Returns
    -------
    averages : shape (n, h', w'), float32
    finite : shape (n,), bool

    Raises
    ------
    ValueError
        If there are not three axes.
    """
    if maps.ndim != 3:
        raise ValueError(f"averaged are maps (n, h, w), got {maps.shape}")
    height, across = (max(1, min(side, width)) for side in maps.shape[1:])
    small = np.empty((len(maps), height, across), np.float32)
    for out, one in zip(small, maps, strict=True):
        cv2.resize(one.astype(np.float32, copy=False), (across, height), dst=out, interpolation=cv2.INTER_AREA)
    return small, np.asarray(np.isfinite(small.sum(axis=(1, 2))))


Reader = Callable[[NDArray[Any]], NDArray[Any]]  # of positions (2, n, p)
READERS: Mapping[str, Callable[[NDArray[Any], NDArray[np.float64]], Reader]] = {
    "floor": Floor,
    "bilinear": Bilinear,
    "averaged": Averaged,
}
