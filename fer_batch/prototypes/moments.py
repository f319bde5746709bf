"""Onset, apex and offset of what a network finds: one frame of each episode, so that long episodes weigh no more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOMENTS = ("onset", "apex", "offset")
MIN_FRAMES = 3  # of an episode; in a shorter one the three are not apart


def moments(active: NDArray[np.bool_], intensity: NDArray[np.floating]) -> NDArray[np.int8]:
    """The frames of one target that are an onset, an apex or an offset.

    An episode is a maximal run of frames in which the target is active. Its onset is its first frame, where one without
    the target comes before, and its offset the last, where one follows: of an episode that the recording cuts off, as
    in CK+, the end is not seen. Its apex is the frame of highest intensity beside these two; of equals the middle one.

    Parameters
    ----------
    active : shape (k,), bool
        Whether the target is active in each frame, in order.
    intensity : shape (k,), any unit
        How strong it is; larger for more.

    Returns
    -------
    shape (k,), int8
        Index into `MOMENTS`, or -1.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if active.shape != intensity.shape or active.ndim != 1:
        raise ValueError(f"expected activity and intensity of the same frames, got {active.shape}, {intensity.shape}")
    found = np.full(len(active), -1, np.int8)
    edges = np.diff(np.concatenate([[False], active, [False]]).astype(np.int8))
    for first, after in zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True):
        if after - first < MIN_FRAMES:
            continue
        start, stop = first + (first > 0), after - (after < len(active))
        found[first:start], found[stop:after] = 0, 2
        own = np.nan_to_num(intensity[start:stop], nan=-np.inf)
        highest = start + np.flatnonzero(own == own.max())
        found[highest[(len(highest) - 1) // 2]] = 1
    return found
