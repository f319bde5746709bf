"""Which frames of a clip are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

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

    def __post_init__(self) -> None:
        _whole("stride", self.stride)
        if self.max_frames is not None:
            _whole("max_frames", self.max_frames)
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"sampling: fps must be a positive number, got {self.fps!r}")
        if self.fps is not None and self.stride != 1:
            raise ValueError(f"sampling: stride {self.stride} and fps {self.fps} exclude each other; give one")
        for name, value in (("start_s", self.start_s), ("stop_s", self.stop_s)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"sampling: {name} must be a number of seconds >= 0, got {value!r}")
        if self.stop_s is not None and self.stop_s <= (self.start_s or 0.0):
            raise ValueError(f"sampling: stop_s {self.stop_s} must be after start_s {self.start_s or 0.0}")

    def sampler(self) -> Sampler:
        """Fresh state for one clip."""
        return Sampler(self)


class Sampler:
    """Decides frame by frame, in presentation order; one per clip."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.n_kept = 0
        self._n_inside = 0
        self._start_ns = round((sampling.start_s or 0.0) * SECOND_NS)
        self._stop_ns = None if sampling.stop_s is None else round(sampling.stop_s * SECOND_NS)
        self._next_tick = 0

    def keeps(self, timestamp_ns: int) -> bool:
        """Whether this frame is kept; to be asked once for each frame, in order."""
        if timestamp_ns < self._start_ns or self.finished(timestamp_ns):
            return False
        kept = self._on_tick(timestamp_ns) if self.sampling.fps else self._n_inside % self.sampling.stride == 0
        self._n_inside += 1
        self.n_kept += kept
        return kept

    def finished(self, timestamp_ns: int = 0) -> bool:
        """Whether neither a frame at this time nor any later one can be kept."""
        enough = self.sampling.max_frames is not None and self.n_kept >= self.sampling.max_frames
        return enough or (self._stop_ns is not None and timestamp_ns >= self._stop_ns)

    def _on_tick(self, timestamp_ns: int) -> bool:
        period_ns = SECOND_NS / self.sampling.fps  # type: ignore[operator]
        elapsed_ns = timestamp_ns - self._start_ns + min(ROUNDING_NS, period_ns / 4)
        tick = int(elapsed_ns // period_ns)
        if tick < self._next_tick:
            return False
        self._next_tick = tick + 1
        return True


def _whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"sampling: {name} must be a whole number >= 1, got {value!r}")
