"""Which frames of a clip are kept."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SECOND_NS = 1_000_000_000
# Matroska and many recorders round timestamps to 1 ms; without this slack a 30 fps clip sampled at 30 fps loses frames.
ROUNDING_NS = 1_000_000


@dataclass(frozen=True)
class Sampling:
    """A choice of frames; the default keeps all.

    Attributes
    ----------
    stride
        Keep every stride-th frame, counted from the first frame inside the window.
    fps
        Keep, for each tick of a clock of this rate that starts with the window, the first frame at or after the tick.
        A source that is slower than the clock keeps each of its frames once.
    start_s, stop_s
        Half-open window [start_s, stop_s) in seconds from the first frame.
    max_frames
        Stop after this many kept frames.
    slots, per_slot
        Keep `per_slot` frames of each of so many equal parts of the clip (`balanced_frames`); goes with nothing else.

    Raises
    ------
    ValueError
        If a value is out of range, or both `stride` and `fps` thin the clip.
    """

    stride: int = 1
    fps: float | None = None
    start_s: float | None = None
    stop_s: float | None = None
    max_frames: int | None = None
    slots: int | None = None
    per_slot: int | None = None

    def __post_init__(self) -> None:
        _whole("stride", self.stride)
        if self.max_frames is not None:
            _whole("max_frames", self.max_frames)
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps must be a positive number, got {self.fps!r}")
        if self.fps is not None and self.stride != 1:
            raise ValueError(f"stride {self.stride} and fps {self.fps} exclude each other; give one")
        for name, value in (("start_s", self.start_s), ("stop_s", self.stop_s)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a number of seconds >= 0, got {value!r}")
        if self.stop_s is not None and self.stop_s <= (self.start_s or 0.0):
            raise ValueError(f"stop_s {self.stop_s} must be after start_s {self.start_s or 0.0}")

        if (self.slots is None) != (self.per_slot is None):
            raise ValueError("slots and per_slot go together; give both, such as 3 and 107")
        if self.slots is not None and self.per_slot is not None:
            _whole("slots", self.slots)
            _whole("per_slot", self.per_slot)
            if self.stride != 1 or any(v is not None for v in (self.fps, self.start_s, self.stop_s, self.max_frames)):
                raise ValueError("slots choose from the whole clip; give no other choice beside them")

    @property
    def to_the_end(self) -> bool:
        """Whether every clip is read to its end, so that its true length is known afterwards."""
        return self.max_frames is None and self.stop_s is None and self.slots is None

    def n_kept(self, n_frames: int, fps: float | None) -> int:
        """How many frames it keeps of a clip.

        Parameters
        ----------
        n_frames
            Of the clip.
        fps : frames per second
            Of the clip, taken as even; None where it has no clock, so that neither `fps` nor a window counts.
        """
        if self.slots is not None and self.per_slot is not None:
            return len(balanced_frames(n_frames, self.slots, self.per_slot))
        start, stop = 0, n_frames
        if fps:
            start = min(n_frames, math.ceil((self.start_s or 0.0) * fps - 1e-6))
            stop = n_frames if self.stop_s is None else min(n_frames, math.ceil(self.stop_s * fps - 1e-6))
        n = max(0, stop - start)
        n = math.ceil(n * min(1.0, self.fps / fps) - 1e-6) if fps and self.fps else -(-n // self.stride)
        return n if self.max_frames is None else min(n, self.max_frames)

    def sampler(self, n_frames: int | None = None) -> Sampler:
        """Fresh state for one clip; `slots` need its number of frames."""
        return Sampler(self, n_frames)


class Sampler:
    """Decides frame by frame, in presentation order; one per clip."""

    def __init__(self, sampling: Sampling, n_frames: int | None = None) -> None:
        self.sampling = sampling
        self._chosen: frozenset[int] | None = None
        if sampling.slots is not None and sampling.per_slot is not None:
            if n_frames is None:
                raise ValueError("sampling: slots need the number of frames of the clip")
            self._chosen = frozenset(balanced_frames(n_frames, sampling.slots, sampling.per_slot).tolist())
        self.n_kept = 0
        self._n_inside = 0
        self._start_ns = round((sampling.start_s or 0.0) * SECOND_NS)
        self._stop_ns = None if sampling.stop_s is None else round(sampling.stop_s * SECOND_NS)
        self._next_tick = 0

    def keeps(self, timestamp_ns: int) -> bool:
        """Whether this frame is kept; to be asked once for each frame, in order."""
        if timestamp_ns < self._start_ns or self.finished(timestamp_ns):
            return False
        if self._chosen is not None:
            kept = self._n_inside in self._chosen
        else:
            kept = self._on_tick(timestamp_ns) if self.sampling.fps else self._n_inside % self.sampling.stride == 0
        self._n_inside += 1
        self.n_kept += kept
        return kept

    def finished(self, timestamp_ns: int = 0) -> bool:
        """Whether neither a frame at this time nor any later one can be kept."""
        most = self.sampling.max_frames if self._chosen is None else len(self._chosen)
        enough = most is not None and self.n_kept >= most
        return enough or (self._stop_ns is not None and timestamp_ns >= self._stop_ns)

    def _on_tick(self, timestamp_ns: int) -> bool:
        period_ns = SECOND_NS / self.sampling.fps  # type: ignore[operator]
        elapsed_ns = timestamp_ns - self._start_ns + min(ROUNDING_NS, period_ns / 4)
        tick = int(elapsed_ns // period_ns)
        if tick < self._next_tick:
            return False
        self._next_tick = tick + 1
        return True


def balanced_frames(n_frames: int, slots: int = 3, per_slot: int = 107) -> NDArray[np.int64]:
    """Evenly spaced frames of each of some equal parts of a clip (methods PD-a).

    Parameters
    ----------
    n_frames
        Of the clip.
    slots, per_slot
        Parts, and frames of each; a part that has fewer gives all it has.

    Returns
    -------
    shape (at most slots * per_slot,)
        Frame indices, ascending, none twice.

    References
    ----------
    Weitz (2018), Bamberg: 107 frames of each third of a clip, 321 of each subject and class.
    """
    edges = np.arange(slots + 1) * n_frames // slots
    chosen = []
    for start, stop in itertools.pairwise(edges.tolist()):
        n = min(per_slot, stop - start)
        chosen.append(start + (2 * np.arange(n) + 1) * (stop - start) // (2 * max(n, 1)))
    return np.concatenate(chosen).astype(np.int64)


def _whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
