"""Published maps on the standard face: landmarks of a shard, the positive part of maps, and their warp."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.output.reader import ShardReader
from fer_batch.regions import StandardWarp

NO_FACE = np.full((68, 2), np.nan, np.float32)


def landmarks_of(shard: ShardReader) -> dict[tuple[str, int], NDArray[np.float32]]:
    """Landmarks of the frames of a shard that have any, shape (68, 2), crop pixels."""
    rows = shard.table("frames", ["sequence_id", "frame_index", "landmarks"])
    found = {}
    for sequence, frame, points in zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True):
        if points is not None and len(points) == 136 and None not in points:
            found[sequence, frame] = np.asarray(points, np.float32).reshape(68, 2)
    return found


def evidence(maps: NDArray[np.float32], scale: str) -> NDArray[np.float32]:
    """What speaks for the class: the positive part of maps (methods X-12).

    Parameters
    ----------
    maps : shape (n, h, w), float32, any unit
    scale
        `none` keeps the unit; `max` divides every map by its largest value.

    Returns
    -------
    shape (n, h, w), float32
        NaN throughout where a map is not finite.
    """
    known = np.isfinite(maps).all(axis=(1, 2), keepdims=True)
    positive = np.where(known, np.maximum(maps, 0), np.nan).astype(np.float32)
    if scale == "max":
        peak = positive.max(axis=(1, 2), keepdims=True)
        positive /= np.where(peak > 0, peak, np.float32(1))
    return positive


def warped(
    maps: NDArray[np.float32], landmarks: NDArray[np.float32], crop: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps on the standard face as released, and which of them are defined: shape (n, 275, 224), float32, and (n,)."""
    finite = np.asarray(np.isfinite(maps).all(axis=(1, 2)))
    found = StandardWarp()(np.where(finite[:, None, None], maps, 0), landmarks, (crop, crop))
    return found.values, found.defined & finite
