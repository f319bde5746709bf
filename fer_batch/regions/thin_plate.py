"""The warp that carries some points exactly and bends everything between them least."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def thin_plate_map(
    target: NDArray[np.float64], source: NDArray[np.float64], size: tuple[int, int], step: int = 4
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Backward map of the thin-plate spline that carries `source` points to `target` points.

    Parameters
    ----------
    target, source : shape (n, 2), pixels
        Corresponding points; the map is exact at `target` up to the grid step.
    size : (width, height)
        Of the image to be made.
    step
        The spline is evaluated every `step` pixels and interpolated between.

    Returns
    -------
    two arrays of shape (height, width)
        x and y in the source image, as `cv2.remap` takes them.

    References
    ----------
    Bookstein (1989), IEEE PAMI 11: kernel r^2 log r^2.
    """
    width, height = size
    n = len(target)
    unit = 1.0 / max(width, height)
    points = target * unit
    system = np.zeros((n + 3, n + 3))
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    system[:n, :n] = squared * np.log(np.maximum(squared, 1e-12))
    # a little smoothing keeps the seam of the closed lips, where points nearly coincide, from folding
    system[range(n), range(n)] = 1e-7
    system[:n, n], system[:n, n + 1 :] = 1.0, points
    system[n, :n], system[n + 1 :, :n] = 1.0, points.T
    weights = np.linalg.solve(system, np.concatenate([source - target, np.zeros((3, 2))]))
    columns, rows = np.arange(0, width + step, step), np.arange(0, height + step, step)
    x, y = (columns * unit).astype(np.float32), (rows * unit).astype(np.float32)
    dx = (x[:, None] - points[:, 0].astype(np.float32)) ** 2
    dy = (y[:, None] - points[:, 1].astype(np.float32)) ** 2
    kernel = dy[:, None] + dx[None]
    np.maximum(kernel, np.float32(1e-12), out=kernel)
    kernel *= np.log(kernel)
    coarse = kernel.reshape(-1, n) @ weights[:n].astype(np.float32)
    coarse = coarse.reshape(len(rows), len(columns), 2)
    coarse += (weights[n] + y[:, None, None] * weights[n + 2]).astype(np.float32)
    coarse += (x[None, :, None] * weights[n + 1]).astype(np.float32)
    # grid sample i sits at pixel i*step: an affine resize with pixel centres at integers
    scale = np.array([[1 / step, 0, 0], [0, 1 / step, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    shift = cv2.warpAffine(coarse, scale, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    map_x = (shift[..., 0] + np.arange(width)).astype(np.float32)
    map_y = (shift[..., 1] + np.arange(height)[:, None]).astype(np.float32)
    return map_x, map_y
