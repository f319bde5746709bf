"""One sequence as OpenFace 2 writes it: its column names in its order, of those columns that have a source here.

OpenFace numbers frames from 1 and landmarks from 0, both in source pixels of the displayed image, pixel centres at
integers. A frame it could not use has success 0; here the other cells of such a row are empty, never zero. Gaze, head
pose, 3-D landmarks, shape parameters, confidence and intensities (`AU01_r`) have no source and are left out.

References
----------
Baltrusaitis, Zadeh, Lim & Morency (2018), FG: OpenFace 2.0: Facial Behavior Analysis Toolkit.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

N_LANDMARKS = 68
_AU = re.compile(r"AU\d\d")


def au_columns(targets: Sequence[str]) -> dict[str, str]:
    """Column of every target that is an Action Unit, in the order of their numbers: `AU01` is in `AU01_c`."""
    return {target: f"{target}_c" for target in sorted(targets) if _AU.fullmatch(target)}


def source_points(points: NDArray[np.floating], matrices: NDArray[np.floating]) -> NDArray[np.float64]:
    """Landmarks back from crop to source pixels.

    Parameters
    ----------
    points : shape (T, L, 2), crop pixels (x, y)
    matrices : shape (T, 2, 3)
        Source to crop, as table `frames` has them.

    Returns
    -------
    shape (T, L, 2), source pixels
        NaN where a point or a matrix is.

    Raises
    ------
    ValueError
        If the shapes are others, or of different T.
    """
    if points.shape[:1] != matrices.shape[:1] or points.shape[2:] != (2,) or matrices.shape[1:] != (2, 3):
        raise ValueError(f"expected points (T, L, 2) and matrices (T, 2, 3), got {points.shape} and {matrices.shape}")
    known = np.isfinite(matrices).all(axis=(1, 2))
    linear = np.where(known[:, None, None], matrices[:, :, :2], np.eye(2))
    offset = np.where(known[:, None], matrices[:, :, 2], np.nan)
    return np.linalg.solve(linear[:, None], (points - offset[:, None])[..., None])[..., 0]


def openface_table(
    frame_index: NDArray[np.int64],
    timestamp_ns: NDArray[np.int64] | NDArray[np.float64],
    ok: NDArray[np.bool_],
    face_id: NDArray[np.int64] | int,
    points: NDArray[np.floating],
    occurrence: NDArray[np.floating],
    targets: Sequence[str],
) -> pa.Table:
    """Rows of one sequence, one per frame.

    Parameters
    ----------
    frame_index : shape (T,)
        0-based.
    timestamp_ns : shape (T,)
        NaN where there is none; without any (pictures have no clock), the column is left out.
    ok : shape (T,)
        False where there is no usable face: success 0, and nothing else is said of the frame.
    face_id : shape (T,), or one for all
        Number of the face that this sequence follows.
    points : shape (T, 68, 2), source pixels
        NaN where there are none; without any, the columns are left out.
    occurrence : shape (T, A)
        1 where a target is active, 0 where not, NaN where unknown.
    targets
        The A names; those that are no Action Units are left out.
    """
    n = len(frame_index)
    columns: dict[str, pa.Array] = {
        "frame": pa.array(frame_index + 1),
        "face_id": pa.array(np.broadcast_to(face_id, n).copy()),
    }
    if np.isfinite(timestamp_ns).any():
        columns["timestamp"] = _numbers(timestamp_ns / 1e9)  # enough digits to have the nanoseconds back
    columns["success"] = pa.array(ok.astype(np.int64))
    points = np.where(ok[:, None, None], points, np.nan)
    if np.isfinite(points).any():
        for axis, name in enumerate("xy"):
            for k in range(N_LANDMARKS):
                columns[f"{name}_{k}"] = _numbers(points[:, k, axis].round(3))
    for target, name in au_columns(targets).items():
        columns[name] = _numbers(np.where(ok, occurrence[:, list(targets).index(target)], np.nan)).cast(pa.int64())
    return pa.table(columns)


def _numbers(values: NDArray[np.floating]) -> pa.Array:
    return pa.array(values.astype(np.float64), mask=np.isnan(values))


def csv_bytes(table: pa.Table) -> bytes:
    """The table as CSV with a plain header; an unknown value is an empty cell."""
    buffer = io.BytesIO()
    buffer.write((",".join(table.column_names) + "\n").encode())
    pa.csv.write_csv(table, buffer, pa.csv.WriteOptions(include_header=False, quoting_style="none"))
    return buffer.getvalue()
