"""Maps and images of many faces on the standard face (methods 2.6)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.regions.face_mesh import STRIP, Grid, Strip, defined, grid, mesh_points, standard_grid, triangulation
from fer_batch.regions.geometry import checked, standard_face
from fer_batch.regions.samplers import READERS, averaged

_AT_ONCE = (
    8 * STRIP
)  # pixels of a strip of all maps that are warped at a time: what is computed of them stays in the cache
_NOWHERE = np.array([[0.0, 0.0], [0.0, 0.0], [-2.0, -2.0]])  # the affine map of what is in no triangle


@dataclass(frozen=True)
class Warped:
    """What a batch of maps is on the standard face.

    Attributes
    ----------
    values : shape (n, h, w) or (n, h, w, c), dtype of the maps
        NaN throughout (0 where the dtype has none) where the landmarks are not those of a face.
    defined : shape (n,), bool
        Which are.
    """

    values: NDArray[Any]
    defined: NDArray[np.bool_]

    @property
    def n_undefined(self) -> int:
        """Number of maps whose landmarks are missing or flat."""
        return int(np.count_nonzero(~self.defined))


@dataclass(frozen=True)
class StandardWarp:
    r"""How maps are brought to the standard face.

    Every pixel of the canvas is in a triangle of the standard face; its barycentric coordinates there give a position
    in the same triangle of the face, whose value it takes. Outside the crop that is 0.

    Attributes
    ----------
    canvas
        Height and width of what is made. The standard face has (275, 224); other sizes scale it.
    sampling
        `floor` takes the pixel at the integers below the position, as released; `bilinear` interpolates. For maps
        smaller than their crop, `floor` is that of the map enlarged by repeating its pixels. `averaged`, for canvases
        coarser than the maps, takes area means of about a pixel of the canvas first and interpolates these, with the
        last pixel repeated beyond the crop; float32, and NaN throughout where a map is not finite.
    keep
        `values`, for images and heatmaps. `sums`, for relevance: every value is multiplied by :math:`|\det J|`, the
        area of a source triangle over that of its target, both in pixels, so that a triangle's sum stays what it was.
    triangulate
        Delaunay of the `standard` points once, as printed; or of each `source`, as released, which is slow.
    oversampling
        Positions across and down in a pixel of the canvas, whose mean it takes: for a canvas coarser than the maps.

    Raises
    ------
    ValueError
        If an option is not understood.

    Notes
    -----
    With `sums`, the mean over a triangle's pixels times its area is kept exactly where the map is constant in it; else
    the sum is one of samples of the map. With `bilinear` and two positions to a pixel of the map across and down (a
    canvas twice as fine, or `oversampling=2` at the size of the map) sums of maps inside the face are kept within 1 %.
    A triangle that is folded over, as behind a turned nose, gets nothing: what is there is its neighbours'.

    References
    ----------
    Gaya-Morey et al. (2024), 4.2; methods W-1 to W-5.
    """

    canvas: tuple[int, int] = (275, 224)
    sampling: Literal["floor", "bilinear", "averaged"] = "floor"
    keep: Literal["values", "sums"] = "values"
    triangulate: Literal["standard", "source"] = "standard"
    oversampling: int = 1

    def __post_init__(self) -> None:
        samplings = ("floor", "bilinear", "averaged")
        known = {"sampling": samplings, "keep": ("values", "sums"), "triangulate": ("standard", "source")}
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {' or '.join(choices)}, got {getattr(self, name)!r}")
        if min(*self.canvas, self.oversampling) < 1:
            raise ValueError(f"expected a canvas of pixels, got {self.canvas} x {self.oversampling}")

    def __call__(self, maps: NDArray[Any], landmarks: ArrayLike, crop: tuple[int, int], workers: int = 1) -> Warped:
        """Warp maps, each by the landmarks of its own face.

        Parameters
        ----------
        maps : shape (n, h, w) or (n, h, w, c)
            Any number; relevance, heatmaps, or images.
        landmarks : shape (n, 68, 2), pixels (x, y) of the crop
            Found on the image, never on the map (W-5). NaN where there is no face.
        crop
            Height and width of the crop; the maps may be smaller, and then are scaled.
        workers
            Threads.

        Raises
        ------
        ValueError
            If there is not one set of landmarks a map, shapes are not as said, or sums of whole numbers are to be kept.
        """
        points = checked(landmarks)
        if maps.ndim not in (3, 4) or len(maps) != len(points) or 0 in maps.shape[1:]:
            raise ValueError(f"expected maps (n, h, w) and landmarks (n, 68, 2), got {maps.shape} and {points.shape}")
        real = np.issubdtype(maps.dtype, np.floating)
        if self.keep == "sums" and not real:
            raise ValueError(f"sums are kept of floating maps, got {maps.dtype}")
        valid = defined(points)
        if self.sampling == "averaged":
            maps, finite = averaged(maps, self.canvas[1])
            valid &= finite
        undefined = np.nan if real else 0
        out = np.full((len(maps), *self.canvas, *maps.shape[3:]), undefined, maps.dtype)
        source = _Source(self, (maps.shape[1], maps.shape[2]), crop)

        def fill(rows: NDArray[np.intp]) -> None:
            for i in range(0, len(rows), self._at_once):
                part = rows[i : i + self._at_once]
                source.warp_into(out, maps, part, mesh_points(points[part], crop))

        rows = np.flatnonzero(valid)
        if workers > 1:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(fill, np.array_split(rows, workers)))
        else:
            fill(rows)
        return Warped(out, valid)

    @property
    def _at_once(self) -> int:
        if self.triangulate == "source":
            return 1
        return max(8, _AT_ONCE // (self.canvas[0] * self.canvas[1] * self.oversampling**2))

    def grid(self, points: NDArray[np.float64]) -> Grid:
        """The positions of the canvas in their triangles, given mesh points (1 or more, 89, 2) in pixels."""
        fine = (self.canvas[0] * self.oversampling, self.canvas[1] * self.oversampling)
        if self.triangulate == "source":
            return grid(triangulation(points[0]), fine, self.oversampling)
        # Of one map more fits into the cache, and fewer calls are made.
        return standard_grid(fine, self.oversampling, STRIP * (4 if len(points) == 1 else 1))


@dataclass(frozen=True)
class _Source:
    """Size of the maps and of the crop their landmarks are in, as height and width."""

    warp: StandardWarp
    size: tuple[int, int]
    crop: tuple[int, int]

    @property
    def scale(self) -> NDArray[np.float64]:
        """Pixels of the map to one of the crop, across and down."""
        return np.array(self.size[::-1]) / self.crop[::-1]

    @property
    def shift(self) -> NDArray[np.float64]:
        """Position in the map of the centre of the crop's first pixel; `floor` has no centres."""
        return np.zeros(2) if self.warp.sampling == "floor" else (self.scale - 1) / 2

    def warp_into(
        self, out: NDArray[Any], maps: NDArray[Any], rows: NDArray[np.intp], points: NDArray[np.float64]
    ) -> None:
        """Warp some maps, whose mesh points are (n, 89, 2) pixels of the crop, into their rows of (N, h, w, ...)."""
        pixels = self.warp.grid(points)
        weights = self._weights(pixels.affine(points) * self.scale) if self.warp.keep == "sums" else None
        positions = (self._quick if self.warp.sampling == "averaged" else self._exact)(pixels, points)
        read = READERS[self.warp.sampling](maps[rows], self.shift)
        k, width = self.warp.oversampling, self.warp.canvas[1]
        for strip, position in zip(pixels.strips, positions, strict=True):
            values = read(position)
            if weights is not None:
                values *= strip.spread(weights).reshape(len(rows), -1, *(1,) * (values.ndim - 2))
            fine = values.reshape(len(rows), -1, k, width, k, *maps.shape[3:])
            top, bottom = (row // k for row in strip.rows)
            out[rows, top:bottom] = fine.mean(axis=(2, 4)) if k > 1 else fine[:, :, 0, :, 0]

    def _exact(self, pixels: Grid, points: NDArray[np.float64]) -> Iterator[NDArray[Any]]:
        """Where in its map each pixel of a strip is, shape (2, n, p), float64; pixels in no triangle are nowhere."""
        affine = pixels.affine(points) * self.scale
        affine[:, :, 2] += self.shift
        known = np.concatenate([affine, np.broadcast_to(_NOWHERE, (len(points), 1, 3, 2))], axis=1)
        coefficients = np.ascontiguousarray(np.moveaxis(known, (2, 3), (0, 1)))  # (3, 2, n, t + 1)
        return (_positions(coefficients, strip) for strip in pixels.strips)

    def _quick(self, pixels: Grid, points: NDArray[np.float64]) -> Iterator[NDArray[Any]]:
        """The same in float32, as one product for all faces."""
        placed = (points * self.scale + self.shift).astype(np.float32).transpose(1, 2, 0)
        columns = placed.reshape(len(placed), -1)  # (89, 2 n)
        for weights in pixels.weights:
            yield np.ascontiguousarray((weights @ columns).T).reshape(2, len(points), -1)

    def _weights(self, affine: NDArray[np.float64]) -> NDArray[np.float32]:
        """Pixels of the map to one of the canvas, shape (n, t + 1)."""
        _, (height, width) = standard_face()
        pixel = (height / self.warp.canvas[0]) * (width / self.warp.canvas[1])
        ratio = pixel * np.maximum(np.linalg.det(affine[:, :, :2]), 0)
        return np.concatenate([ratio, np.zeros((len(ratio), 1))], axis=1).astype(np.float32)


def _positions(coefficients: NDArray[np.float64], strip: Strip) -> NDArray[np.float64]:
    """Where in its map each pixel of a strip is, shape (2, n, p): x and y, in pixels of the map."""
    by_run = coefficients[..., strip.triangle]
    position = np.repeat(by_run[0], strip.length, axis=-1)
    position *= strip.x
    by_run[1] *= strip.y
    by_run[1] += by_run[2]
    position += np.repeat(by_run[1], strip.length, axis=-1)
    return position
