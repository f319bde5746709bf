"""Landmarks of other schemes in the 68 points (methods 2.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# 49 points: the 68 without the jaw (0-16) and without the inner mouth corners (60, 64).
FROM_49 = np.array([*range(17, 60), 61, 62, 63, 65, 66, 67])
# 66 points (AAM, DISFA): the 68 without the inner mouth corners.
FROM_66 = np.array([*range(60), 61, 62, 63, 65, 66, 67])
_CORNERS = ((60, 48, 61, 67), (64, 54, 63, 65))  # inner corner, outer corner, lips beside it


def to_68(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Landmarks of a 49-, 66- or 68-point scheme as 68 points.

    Parameters
    ----------
    points : shape (n, 2), pixels

    Returns
    -------
    shape (68, 2)
        The jaw of 49 points is NaN. The two inner mouth corners (60, 64), which no Action Unit's region uses, are put a
        fifth of the way from the outer corner to the middle between the lips beside it, as on the standard face.

    Raises
    ------
    ValueError
        If n is another number.
    """
    values = np.asarray(points, np.float32)
    if values.shape == (68, 2):
        return values
    if values.shape not in ((49, 2), (66, 2)):
        raise ValueError(f"expected 49, 66 or 68 landmarks (x, y), got shape {values.shape}")
    full = np.full((68, 2), np.nan, np.float32)
    full[FROM_66 if len(values) == 66 else FROM_49] = values
    for corner, outer, upper, lower in _CORNERS:
        full[corner] = 0.8 * full[outer] + 0.1 * (full[upper] + full[lower])
    return full
