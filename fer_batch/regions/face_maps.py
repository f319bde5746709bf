"""Relevance maps of the frames of a sequence on a small standard face, where they can be compared pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.regions.warp import StandardWarp

CANVAS = (35, 28)  # height and width: a pixel is some 4 x 4 of a crop of 112, larger than what landmarks jitter by


def face_maps(
    maps: NDArray[np.floating], landmarks: ArrayLike, crop: tuple[int, int], canvas: tuple[int, int] = CANVAS
) -> NDArray[np.float32]:
    """Maps on a small standard face, each by the landmarks of its own frame.

    Parameters
    ----------
    maps : shape (n, h, w), floating, any unit
        Signed relevance. Maps may be smaller than the crop, and then are scaled.
    landmarks : shape (n, 68, 2), pixels (x, y) of the crop
        NaN where there are none.
    crop
        Height and width of the crop.
    canvas
        Height and width of the result.

    Returns
    -------
    shape (n, \\*canvas), float32, unit of the maps
        Means over a neighbourhood of about a pixel of the canvas. NaN throughout where the landmarks are not those of a
        face or the map is not finite.

    Raises
    ------
    ValueError
        If there is not one set of landmarks a map, or shapes are not as said.

    Notes
    -----
    `StandardWarp` with `sampling="averaged"`: of maps that are averaged down to the width of the canvas.

    References
    ----------
    Gaya-Morey et al. (2024), 4.2; methods 2.6.
    """
    return StandardWarp(canvas, "averaged")(maps, landmarks, crop).values
