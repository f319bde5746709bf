"""Triangles over the standard face and over any other face (methods 2.6, W-1 to W-4)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.regions.geometry import checked, standard_face

if TYPE_CHECKING:  # SciPy takes half a second, in every process of a run that draws on no standard face
    from scipy import sparse

N_POINTS = 68 + 17 + 4  # of the mesh of a face
_EDGE = 1e-9  # barycentric; a pixel on the edge of a triangle is in it
_FARTHEST = 2.0**20  # px; what lies beyond is no landmark of a picture
STRIP = 8_192  # pixels; what is computed of them for some maps stays in the cache
_FLAT = 1e-9  # least spread across a face as a share of the spread along it


def mesh_points(landmarks: ArrayLike, crop: tuple[int, int]) -> NDArray[np.float64]:
    """Landmarks, the jaw once more at the upper border, and the corners of the crop (W-1).

    Parameters
    ----------
    landmarks : shape (n, 68, 2), pixels (x, y) of the crop
    crop
        Its height and width.

    Returns
    -------
    shape (n, 89, 2), float64, pixels

    Raises
    ------
    ValueError
        If the landmarks are not (n, 68, 2).

    References
    ----------
    Gaya-Morey et al. (2024), Fig. 2: corners are at (0, 0), (0, h), (w, 0), (w, h).
    """
    points = checked(landmarks)
    height, width = crop
    above = points[:, :17] * [1.0, 0.0]
    corners = np.array([(0, 0), (0, height), (width, 0), (width, height)], np.float64)
    return np.concatenate([points, above, np.broadcast_to(corners, (len(points), 4, 2))], axis=1)


def defined(landmarks: ArrayLike) -> NDArray[np.bool_]:
    """Whether landmarks are a face that can be warped: finite, and not all on one line.

    Parameters
    ----------
    landmarks : shape (n, 68, 2), pixels

    Returns
    -------
    shape (n,), bool

    Raises
    ------
    ValueError
        If the landmarks are not (n, 68, 2).
    """
    points = checked(landmarks)
    known = np.asarray((np.abs(points) < _FARTHEST).all(axis=(1, 2)))
    centred = np.where(known[:, None, None], points, 0.0)
    centred = centred - centred.mean(axis=1, keepdims=True)
    spread = np.linalg.eigvalsh(np.einsum("nki,nkj->nij", centred, centred))
    return known & (spread[:, 0] > _FLAT * spread[:, 1])


def triangulation(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Delaunay triangles of points, of which coincident ones count once.

    Parameters
    ----------
    points : shape (n, 2), pixels

    Returns
    -------
    shape (t, 3), indices of points
    """
    from scipy.spatial import Delaunay

    _, first = np.unique(points, axis=0, return_index=True)
    first = np.sort(first)
    return first[Delaunay(points[first]).simplices].astype(np.intp)


@dataclass(frozen=True)
class Strip:
    """Some rows of a canvas as runs of pixels in one triangle.

    Attributes
    ----------
    rows
        First row, and one past the last.
    triangle, length : shape (r,)
        Triangle of each run, the number of triangles where there is none, and how many pixels it has.
    y : shape (r,), pixels of the standard face
        Of each run.
    x : shape (p,), pixels of the standard face
        Of each pixel.
    """

    rows: tuple[int, int]
    triangle: NDArray[np.intp]
    length: NDArray[np.intp]
    y: NDArray[np.float64]
    x: NDArray[np.float64]

    def spread(self, by_triangle: NDArray[np.floating]) -> NDArray[np.floating]:
        """Values (..., t + 1) of triangles, the last for where there is none, by pixel, (..., p)."""
        return np.repeat(by_triangle[..., self.triangle], self.length, axis=-1)


@dataclass(frozen=True)
class Grid:
    """The pixels of a canvas in triangles of the standard face.

    Attributes
    ----------
    triangles : shape (t, 3)
        Indices of mesh points.
    inverse : shape (t, 3, 3)
        `(x, y, 1) @ inverse[t]` are the barycentric coordinates of a point of the standard face in triangle t.
    strips
        From the top down.
    """

    triangles: NDArray[np.intp]
    inverse: NDArray[np.float64]
    strips: tuple[Strip, ...]

    def affine(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Maps of each triangle from the standard face to a face: `(x, y, 1) @ affine[n, t]`.

        Parameters
        ----------
        points : shape (n, 89, 2), pixels
            Mesh points of the faces.

        Returns
        -------
        shape (n, t, 3, 2), float64
        """
        return np.matmul(self.inverse, points[:, self.triangles])

    @cached_property
    def weights(self) -> tuple[sparse.csr_array, ...]:
        """Barycentric coordinates of the pixels of each strip in mesh points, shape (p, 89), float32.

        For one face after the other `weights @ points` costs less than `affine` where a canvas has few pixels.
        """
        return tuple(self._weights(strip) for strip in self.strips)

    def _weights(self, strip: Strip) -> sparse.csr_array:
        from scipy import sparse

        triangle = np.repeat(strip.triangle, strip.length)
        inside = np.flatnonzero(triangle < len(self.triangles))
        place = np.stack([strip.x, np.repeat(strip.y, strip.length), np.ones(len(strip.x))], axis=1)[inside]
        known = triangle[inside]
        weights = np.einsum("pi,pij->pj", place, self.inverse[known]).astype(np.float32)
        where = (np.repeat(inside, 3), self.triangles[known].ravel())
        return sparse.csr_array((weights.ravel(), where), shape=(len(strip.x), N_POINTS))


def grid(triangles: NDArray[np.intp], canvas: tuple[int, int], step: int = 1, strip: int = STRIP) -> Grid:
    """The pixels of a canvas in triangles of the standard face.

    Parameters
    ----------
    triangles : shape (t, 3), indices of mesh points
        Of two that overlap the earlier one has the pixel.
    canvas
        Height and width. The standard face is scaled to it: pixel i is at `(i + 1/2) 224 / w - 1/2` across.
    step
        The rows of a strip are a multiple of it.
    strip : pixels
        Of a strip, about.
    """
    landmarks, size = standard_face()
    corners = mesh_points(landmarks[None], size)[0][triangles]
    solid = np.abs(_area(corners)) > _EDGE
    triangles, corners = triangles[solid], corners[solid]
    inverse = np.linalg.inv(np.concatenate([corners, np.ones((len(corners), 3, 1))], axis=2))
    y, x = (np.maximum((np.arange(n) + 0.5) * side / n - 0.5, 0.0) for n, side in zip(canvas, size, strict=True))
    found = _located(corners, inverse, y, x)
    n = max(1, strip // (step * len(x))) * step
    return Grid(triangles, inverse, tuple(_strip(found[i : i + n], i, y, x) for i in range(0, len(y), n)))


def _strip(found: NDArray[np.intp], row: int, y: NDArray[np.float64], x: NDArray[np.float64]) -> Strip:
    """The runs of some rows, given the triangle of each pixel and the first row's number."""
    starts = np.ones(found.shape, bool)
    starts[:, 1:] = found[:, 1:] != found[:, :-1]
    first = np.flatnonzero(starts)
    length = np.diff(np.append(first, found.size))
    rows = (row, row + len(found))
    return Strip(rows, found.ravel()[first], length, y[row + first // len(x)], np.tile(x, len(found)))


def _area(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Twice the signed area of triangles (t, 3, 2)."""
    (ax, ay), (bx, by) = (np.moveaxis(corners[:, i] - corners[:, 0], -1, 0) for i in (1, 2))
    return ax * by - ay * bx


def _located(
    corners: NDArray[np.float64], inverse: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.intp]:
    """The first triangle that each point of a grid is in, shape (h, w); their number where it is in none."""
    found = np.full((len(y), len(x)), len(corners), dtype=np.intp)
    low, high = corners.min(axis=1) - _EDGE, corners.max(axis=1) + _EDGE
    for t in range(len(corners) - 1, -1, -1):
        rows, columns = (
            slice(*np.searchsorted(axis, (low[t, i], high[t, i]), side="left")) for axis, i in ((y, 1), (x, 0))
        )
        part = inverse[t]
        weights = x[None, columns, None] * part[0] + y[rows, None, None] * part[1] + part[2]
        found[rows, columns][(weights >= -_EDGE).all(axis=2)] = t
    return found


@functools.lru_cache(maxsize=16)
def standard_grid(canvas: tuple[int, int], step: int = 1, strip: int = STRIP) -> Grid:
    """The canvas in the Delaunay triangles of the standard face (W-3).

    Parameters
    ----------
    canvas, step, strip
        As for `grid`.
    """
    landmarks, size = standard_face()
    return grid(triangulation(mesh_points(landmarks[None], size)[0]), canvas, step, strip)
