"""Which frame of a clip a timestamp belongs to where frames before it were lost.

Frames are numbered by counting them, until one is lost. Then all packets of the file are looked at, without decoding:
their times, in order, are those of the frames. Where packets are lost too, a steady rate says how many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.packets import Packets

# These have a table of all frames, of which no damage between them takes any away.
LISTED = frozenset({"mov,mp4,m4a,3gp,3g2,mj2"})
STEADY = 0.02  # of the time from one frame to the next, beside one tick of rounding
HOLE = 1.5  # steps from which on a frame is missing
TOGETHER = 32  # frames between two holes of one gap: packets that follow each other are not shown so
ON_THE_BEAT = 0.25  # of a step, by which a hole may miss a whole number of them


class Timeline:
    """The times of all frames of a clip, lost ones too.

    Parameters
    ----------
    times
        In ticks of the stream's clock, rising.
    """

    def __init__(self, times: Sequence[int]) -> None:
        self.times = tuple(times)
        self._index = {time: index for index, time in enumerate(self.times)}

    def __len__(self) -> int:
        return len(self.times)

    def index(self, time: int | None) -> int | None:
        """Number of the frame with a time; None where there is none."""
        return None if time is None else self._index.get(time)

    def agrees(self, n_frames: int, first: int | None, last: int | None) -> bool:
        """Whether as many frames as were counted lie between two times; None stands for times nobody knows."""
        if n_frames == 0:
            return first is None or self.times[0] == first
        return len(self) >= n_frames and (first, last) == (self.times[0], self.times[n_frames - 1])


def surveyed(packets: Packets, first: int | None, n_bytes: int, listed: bool) -> Timeline | None:
    """The timeline of a file from the times of its packets.

    Parameters
    ----------
    packets
        Of a freshly opened file.
    first
        Time of frame 0 where it is known; packets before it have no frame.
    n_bytes
        Size of the file; a frame takes at least one.
    listed
        Whether the file has a table of all frames, so that none is missing among its packets.

    Returns
    -------
    None where times repeat, lack or go back, or the rate is not steady and packets were lost.
    """
    times: list[int] = []
    n_gaps, last_key = 0, None
    for packet, gap, corrupt in packets.everything():
        if gap and not times and first is None:
            return None  # nobody knows what was before it
        n_gaps += bool(gap or corrupt)
        if packet is None or packet.is_discard or (first is not None and packet.pts is not None and packet.pts < first):
            continue
        if packet.pts is None:
            return None
        if packet.is_keyframe and not corrupt:
            if last_key is not None and packet.pts <= last_key:
                return None
            last_key = packet.pts
        times.append(packet.pts)
    # A demuxer that finds the next packet may be silent about those it lost.
    filled = without_holes(np.sort(np.array(times, np.int64)), 0 if listed else max(n_gaps, 1), n_bytes)
    return None if filled is None or not len(filled) else Timeline(filled.tolist())


def without_holes(times: NDArray[np.int64], n_gaps: int, most: int) -> NDArray[np.int64] | None:
    """Times of frames with those of lost ones added.

    Parameters
    ----------
    times : shape (n,), int64, ticks
        Of packets, sorted.
    n_gaps
        Places at which some may be lost; without any, nothing is added. A recorder that drops frames now and then
        leaves holes at more places.
    most
        Frames that there can be.

    Returns
    -------
    shape (m,), m >= n, int64, ticks
        None where times repeat, steps are not alike, or there are holes at more places: then nobody knows.
    """
    steps = np.diff(times)
    if (steps <= 0).any():
        return None
    if n_gaps == 0 or not len(steps):
        return times
    whole = steps < HOLE * np.median(steps)
    step = steps[whole].mean()
    n_steps = np.maximum(np.rint(steps / step), 1).astype(np.int64)
    uneven = np.abs(steps - step)[whole].max() > 1 + STEADY * step
    off_beat = (np.abs(steps - n_steps * step) > ON_THE_BEAT * step)[~whole].any()
    index = np.concatenate([[0], np.cumsum(n_steps)])
    n_places = (np.diff(index[:-1][~whole], prepend=-TOGETHER - 1) > TOGETHER).sum()
    if uneven or off_beat or n_places > n_gaps or index[-1] >= most:
        return None
    filled = np.rint(np.interp(np.arange(index[-1] + 1), index, times)).astype(np.int64)
    filled[index] = times
    return filled
