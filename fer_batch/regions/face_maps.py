"""Relevance maps of the frames of a sequence on a small standard face, where they can be compared pixel by pixel."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from fer_batch.regions.face_mesh import defined, mesh_points, standard_grid
from fer_batch.regions.geometry import standard_face

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
    What `StandardWarp(canvas, sampling="bilinear")` makes of maps that were averaged down to the width of the canvas
    first (tested), in a third of its time: the barycentric coordinates of the canvas in the standard face are the same
    for all faces, so all positions are one sparse product.

    References
    ----------
    Gaya-Morey et al. (2024), 4.2; methods 2.6.
    """
    valid = defined(landmarks)
    if maps.ndim != 3 or len(maps) != len(valid) or 0 in maps.shape[1:]:
        raise ValueError(f"expected maps (n, h, w) and landmarks (n, 68, 2), got {maps.shape} of {len(valid)} faces")
    height, width = (max(1, min(side, canvas[1])) for side in maps.shape[1:])
    out = np.full((len(maps), *canvas), np.nan, np.float32)
    rows = np.flatnonzero(valid)
    across, down = _positions(np.asarray(landmarks, np.float64)[rows], crop, (height, width), canvas)
    for row, x, y in zip(rows.tolist(), across, down, strict=True):
        small = cv2.resize(maps[row].astype(np.float32, copy=False), (width, height), interpolation=cv2.INTER_AREA)
        cv2.remap(small, x, y, cv2.INTER_LINEAR, dst=out[row], borderMode=cv2.BORDER_REPLICATE)
        if not np.isfinite(cv2.sumElems(small)[0]):
            out[row] = np.nan
    return out


def _positions(
    landmarks: NDArray[np.float64], crop: tuple[int, int], size: tuple[int, int], canvas: tuple[int, int]
) -> NDArray[np.float32]:
    """Where each pixel of the canvas is in maps of a size of each crop: x and y, shape (2, n, h, w), pixels."""
    scale = np.array(size[::-1]) / crop[::-1]
    points = (mesh_points(landmarks, crop) * scale + (scale - 1) / 2).astype(np.float32)
    found = _weights(canvas) @ points.transpose(1, 2, 0).reshape(points.shape[1], -1)
    return np.ascontiguousarray(found.T).reshape(2, len(points), *canvas)


@functools.lru_cache(maxsize=8)
def _weights(canvas: tuple[int, int]) -> sparse.csr_array:
    """Barycentric coordinates of the pixels of a canvas in mesh points, shape (h w, 89)."""
    grid = standard_grid(canvas)
    triangle = np.concatenate([np.repeat(strip.triangle, strip.length) for strip in grid.strips])
    x, y = (
        np.concatenate([np.asarray(part) for part in parts])
        for parts in (
            [strip.x for strip in grid.strips],
            [np.repeat(strip.y, strip.length) for strip in grid.strips],
        )
    )
    place = np.stack([x, y, np.ones(len(x))], axis=1)
    weights = np.einsum("pi,pij->pj", place, grid.inverse[triangle])
    n_points = len(mesh_points(standard_face()[0][None], standard_face()[1])[0])
    row = np.repeat(np.arange(len(x)), 3)
    column = grid.triangles[triangle].ravel()
    return sparse.csr_array((weights.ravel().astype(np.float32), (row, column)), shape=(len(x), n_points))
