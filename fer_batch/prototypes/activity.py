"""Steady activity: from the evidence of each target, frame by frame, to runs that flicker neither on nor off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def runs(values: NDArray[np.generic], segment: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First frame, and the one after the last, of every run of equal values; a run ends where its segment does.

    Parameters
    ----------
    values : shape (n,)
        Of any type that compares.
    segment : shape (n,), int64
        Number of the piece of the recording that a frame is in, rising.

    Returns
    -------
    start, stop : shape (r,), int64
    """
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    change = np.flatnonzero((values[1:] != values[:-1]) | (segment[1:] != segment[:-1])) + 1
    return np.concatenate([[0], change]), np.concatenate([change, [len(values)]])


def smoothed(evidence: NDArray[np.floating], segment: NDArray[np.int64], frames: int) -> NDArray[np.float64]:
    """Mean over so many frames around each, fewer at the ends of a segment.

    Parameters
    ----------
    evidence : shape (n, A)
        Of the frames, any unit.
    segment : shape (n,), int64
        See `runs`.
    frames
        An odd number; 1 changes nothing.

    Returns
    -------
    shape (n, A), float64, the same unit
    """
    found = np.array(evidence, np.float64)
    if frames > 1:
        from scipy import ndimage  # a third of a second, in every worker that reads a job and smooths nothing

        for start, stop in zip(*runs(segment, segment), strict=True):
            own = found[start:stop]
            known = np.isfinite(own)  # the filter keeps a running sum, which no NaN would ever leave
            total = ndimage.uniform_filter1d(np.where(known, own, 0.0), frames, axis=0, mode="constant")
            weight = ndimage.uniform_filter1d(known.astype(np.float64), frames, axis=0, mode="constant")
            found[start:stop] = np.divide(total, weight, out=own.copy(), where=known)
    return found


def hysteresis(
    evidence: NDArray[np.floating], segment: NDArray[np.int64], enter: float, leave: float
) -> NDArray[np.bool_]:
    """Frames of the runs at `leave` or more that reach `enter` somewhere.

    Parameters
    ----------
    evidence : shape (n,)
        Of one target.
    segment : shape (n,), int64
        See `runs`.
    enter, leave
        In the unit of the evidence; `leave` is the lower one.

    Returns
    -------
    shape (n,), bool

    References
    ----------
    Canny (1986), IEEE Trans. Pattern Analysis and Machine Intelligence 8: thresholding with hysteresis.
    """
    on = np.asarray(evidence >= leave)
    start, stop = runs(on, segment)
    if not len(start):
        return on
    reaches = np.logical_or.reduceat(evidence >= enter, start)
    return on & np.repeat(reaches, stop - start)


def without_short(active: NDArray[np.bool_], segment: NDArray[np.int64], min_run: int) -> NDArray[np.bool_]:
    """Activity without flicker: breaks of fewer frames are filled, then runs of fewer frames left out.

    A break at an end of a segment is none: what lies beyond is not known.

    Parameters
    ----------
    active : shape (n,), bool
        Of one target.
    segment : shape (n,), int64
        See `runs`.
    min_run
        Frames from which a break or a run stays.

    Returns
    -------
    shape (n,), bool
    """
    found = active.copy()
    start, stop = runs(found, segment)
    if not len(start):
        return found
    edge = np.concatenate([[True], segment[1:] != segment[:-1], [True]])
    breaks = ~found[start] & (stop - start < min_run) & ~edge[start] & ~edge[stop]
    found |= np.repeat(breaks, stop - start)
    start, stop = runs(found, segment)
    return found & np.repeat(stop - start >= min_run, stop - start)


def longer(active: NDArray[np.bool_], max_run: int) -> NDArray[np.bool_]:
    """Activity that lasts for more than so many frames, gaps between segments left out of account.

    What is active up to a gap and on from it counts as one activity here: a face that is lost now and then is none
    the less always the same. Nothing is active for that in the gap.

    Parameters
    ----------
    active : shape (n,), bool
        Of one target.
    max_run
        Frames of the longest activity that is an event.

    Returns
    -------
    shape (n,), bool
    """
    start, stop = runs(active, np.zeros(len(active), np.int64))
    if not len(start):
        return active.copy()
    return active & np.repeat(stop - start > max_run, stop - start)
