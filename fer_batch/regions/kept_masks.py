"""What stays of a face when the rest of its crop is exchanged: the regions of Action Units, or the whole face."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.regions.au_regions import region_masks
from fer_batch.regions.face_mesh import defined
from fer_batch.regions.face_parts import OUTLINE
from fer_batch.regions.geometry import checked

_BLUR = 0.012  # standard deviation of the edge in sides of the crop: one and a half pixels at 112


def kept_masks(
    landmarks: ArrayLike, targets: Sequence[str] | None, size: tuple[int, int], margin: float = 0.04
) -> NDArray[np.float32]:
    """Which share of each pixel belongs to what is kept of a face, the same whatever the face shows.

    Parameters
    ----------
    landmarks : shape (n, 68, 2), pixels (x, y) of an image of `size`
        NaN where there is no face.
    targets
        Action Units whose regions are kept, all of them on every face; None for the whole face, forehead included.
    size
        Height and width.
    margin
        By which it is widened on every side, in shares of the width.

    Returns
    -------
    shape (n, h, w), float32, in [0, 1]
        With a soft edge. Infinite throughout where nothing is known of the face.

    Raises
    ------
    ValueError
        If the landmarks are not (n, 68, 2), the margin is negative, or no target has a region.
    """
    points = checked(landmarks)
    if margin < 0:
        raise ValueError(f"margin must be a share >= 0, got {margin!r}")
    known = defined(points)
    inside = _faces(points, known, size) if targets is None else _regions(points, targets, size)
    out = np.full((len(points), *size), np.inf, np.float32)
    reach, sigma = round(margin * size[1]), _BLUR * size[1]
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    for i in np.flatnonzero(known & inside.any((1, 2))).tolist():
        out[i] = cv2.GaussianBlur(cv2.dilate(inside[i].astype(np.float32), around), (0, 0), sigma)
    return np.where(np.isfinite(out), np.clip(out, 0, 1), out)


def _regions(points: NDArray[np.float64], targets: Sequence[str], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Union of the regions of the targets that have one, shape (n, h, w)."""
    found = [masks for target in targets if (masks := region_masks(points, target, size)) is not None]
    if not found:
        raise ValueError(f"none of the targets {', '.join(targets)} has a region")
    return np.logical_or.reduce(found)


def _faces(points: NDArray[np.float64], known: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The convex hull of the jaw and of the brows, lifted by half the nose as in `face_parts`, shape (n, h, w)."""
    masks = np.zeros((len(points), *size), np.uint8)
    for i in np.flatnonzero(known).tolist():
        outline = points[i, list(OUTLINE)].copy()
        outline[17:] += 0.5 * (points[i, 27] - points[i, 33])
        corners = cv2.convexHull(np.rint(np.concatenate([outline, points[i]])).astype(np.int32))
        cv2.fillConvexPoly(masks[i], corners, 1)
    return masks.astype(bool)
