"""Episodes: activity between rests, with a temporal prototype of its own (beside that of the whole sequence).

The temporal prototype of a sequence has every frame in it. In a recording of minutes it is thousands of stages, most of
them a frame or two of flicker. Here activity is made steady first, and what lies between two rests is an episode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.prototypes.activity import hysteresis, longer, runs, smoothed, without_short
from fer_batch.prototypes.recording import Recording, segments
from fer_batch.prototypes.stages import LabelSet, find_stages, label_sets, without_short_runs
from fer_batch.prototypes.temporal import TemporalPrototype, temporal_prototype

REST, RECORDING, GAP = "rest", "recording", "gap"  # what an episode begins or ends at


@dataclass(frozen=True)
class EpisodeRule:
    """How activity becomes episodes.

    Attributes
    ----------
    enter, leave : log-odds over what makes a target active
        A target is active while it stays at `leave` or more, if it reaches `enter` in that time. 0 is the network's own
        threshold; of classes, the odds against the likeliest other one.
    smooth : frames
        Evidence is the mean over so many, an odd number; 1 takes each frame as it is.
    min_run : frames
        A shorter break in the activity of a target, or of its cluster, is filled; then shorter activity is left out.
    max_run : frames
        Longer activity is lasting: what this face always shows, or this network always sees. It makes no episode, is in
        no stage of one and keeps no rest away; an episode says what lasts through it. None: all activity counts.
    min_stage : frames
        A shorter stage takes the labels of the one before it.
    min_rest : frames
        Frames without activity that end an episode; fewer are a stage `(NONE)` of it.
    max_missing : frames
        Frames without a usable face that an episode may hold at a stretch; more end it.
    rest
        Targets whose activity is rest, such as the class of a neutral face.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    enter: float = 1.0
    leave: float = 0.0
    smooth: int = 5
    min_run: int = 3
    max_run: int | None = 250
    min_stage: int = 1
    min_rest: int = 8
    max_missing: int = 2
    rest: tuple[str, ...] = ("neutral",)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.enter) and math.isfinite(self.leave) and self.leave <= self.enter):
            raise ValueError(f"leave {self.leave:g} must not be above enter {self.enter:g}, and both must be finite")
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise ValueError(f"smooth is an odd number of frames from 1, got {self.smooth}")
        for name, least in (("min_run", 1), ("min_stage", 1), ("min_rest", 1), ("max_missing", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {least} or more frames, got {getattr(self, name)}")
        if self.max_run is not None and self.max_run < self.min_run:
            raise ValueError(f"max_run {self.max_run} must not be below min_run {self.min_run}")


@dataclass(frozen=True)
class Peak:
    """One target of an episode.

    Attributes
    ----------
    target
    n_frames
        In which it is active.
    frame, evidence
        The frame with most evidence for it, and that evidence in log-odds.
    """

    target: str
    n_frames: int
    frame: int
    evidence: float


@dataclass(frozen=True)
class Episode:
    """Activity between two rests.

    Attributes
    ----------
    prototype
        Its stages.
    first_frame, last_frame
        Of its activity, inclusive.
    peak_frame
        Where the evidence for all of its targets together is greatest.
    peaks
        Of each target, in the order of the targets.
    lasting
        Targets whose lasting activity (`EpisodeRule.max_run`) is in it too; its stages do not have them for that.
    begins, ends
        `rest`; `recording`, of which it is the first or last that was seen; or `gap`: frames that are missing.
    """

    prototype: TemporalPrototype
    first_frame: int
    last_frame: int
    peak_frame: int
    peaks: tuple[Peak, ...]
    begins: str
    ends: str
    lasting: tuple[str, ...] = ()


def find_episodes(recording: Recording, rule: EpisodeRule) -> list[Episode]:
    """Episodes of a recording, in order of time; they do not overlap.

    Parameters
    ----------
    recording
        What is known of it.
    rule
        How activity becomes episodes.

    Notes
    -----
    Frames that are missing are no evidence, neither of activity nor of rest. At most `rule.max_missing` at a stretch
    lie within an episode, which counts them; at more, and where the recording jumps in time by as much, it ends.
    """
    steady = _steady(recording, rule)
    letters = {
        name: steady_letters(recording.letters[name], steady.active[:, a], steady.segment, rule.min_run)
        for a, name in enumerate(steady.targets)
    }
    sets = label_sets(len(steady.segment), letters)
    found = bounds_of(np.asarray(steady.active.any(1)), steady.segment, rule.min_rest)
    return [_episode(recording, rule, steady, sets, bounds) for bounds in found]


def _steady(recording: Recording, rule: EpisodeRule) -> _Steady:
    segment = segments(recording.ok, recording.place, rule.max_missing)
    kept = [a for a, name in enumerate(recording.targets) if name not in rule.rest]
    evidence = smoothed(recording.evidence[:, kept], segment, rule.smooth)
    active, lasting = np.zeros(evidence.shape, bool), np.zeros(evidence.shape, bool)
    for a in range(len(kept)):
        on = hysteresis(evidence[:, a], segment, rule.enter, rule.leave)
        active[:, a] = without_short(on, segment, rule.min_run)
        if rule.max_run is not None:
            lasting[:, a] = longer(active[:, a], rule.max_run)
    return _Steady(tuple(recording.targets[a] for a in kept), evidence, active & ~lasting, lasting, segment)


def steady_letters(
    letters: Sequence[str | None], active: NDArray[np.bool_], segment: NDArray[np.int64], min_run: int
) -> list[str | None]:
    """Letters of one target where its activity is steady.

    A frame of a run that has no letter takes that of the nearest frame of the run that has one, of two as near the
    earlier; then a letter of fewer than `min_run` frames gives way to the one before it.

    Parameters
    ----------
    letters
        As found, one per frame: None where the target was not active, empty without a cluster.
    active : shape (n,), bool
        Steady activity.
    segment : shape (n,), int64
        See `activity.runs`.
    min_run
        Frames from which a letter stays.

    Returns
    -------
    list of n
        None where the target is not active; empty where no frame of the run has a letter.
    """
    found: list[str | None] = [None] * len(active)
    for start, stop in zip(*runs(active, segment), strict=True):
        if not active[start]:
            continue
        known = np.array([i for i in range(start, stop) if letters[i]], np.int64)
        if not len(known):
            found[start:stop] = [""] * (stop - start)
            continue
        frames = np.arange(start, stop)
        after = np.searchsorted(known, frames).clip(max=len(known) - 1)
        before = (after - (known[after] > frames)).clip(min=0)
        nearer = np.where(np.abs(known[after] - frames) < np.abs(frames - known[before]), after, before)
        found[start:stop] = without_short_runs([letters[known[i]] for i in nearer], min_run)
    return found


def bounds_of(active: NDArray[np.bool_], segment: NDArray[np.int64], min_rest: int) -> list[tuple[int, int]]:
    """First ok frame, and the one after the last, of every episode.

    Parameters
    ----------
    active : shape (n,), bool
        Whether any target is.
    segment : shape (n,), int64
        See `activity.runs`.
    min_rest
        Frames of rest that end an episode.
    """
    bounds: list[tuple[int, int]] = []
    for start, stop in zip(*(one.tolist() for one in runs(active, segment)), strict=True):
        if not active[start]:
            continue
        if bounds and segment[bounds[-1][0]] == segment[start] and start - bounds[-1][1] < min_rest:
            bounds[-1] = bounds[-1][0], stop
        else:
            bounds.append((start, stop))
    return bounds


@dataclass(frozen=True)
class _Steady:
    """Steady activity of the targets that are not rest, frame by frame of those that are ok."""

    targets: tuple[str, ...]
    evidence: NDArray[np.float64]
    active: NDArray[np.bool_]
    lasting: NDArray[np.bool_]
    segment: NDArray[np.int64]


def _episode(
    recording: Recording, rule: EpisodeRule, steady: _Steady, sets: Sequence[LabelSet], bounds: tuple[int, int]
) -> Episode:
    start, stop = bounds
    at = np.flatnonzero(recording.ok)
    frames = recording.frame_index[at[start:stop]]
    within = slice(int(at[start]), int(at[stop - 1]) + 1)
    stages = find_stages(frames, without_short_runs(sets[start:stop], rule.min_stage), recording.frame_index[within])
    shown, evidence = steady.active[start:stop], steady.evidence[start:stop]
    peaks = []
    for a in np.flatnonzero(shown.any(0)).tolist():
        best = int(np.where(shown[:, a], evidence[:, a], -np.inf).argmax())
        peaks.append(Peak(steady.targets[a], int(shown[:, a].sum()), int(frames[best]), float(evidence[best, a])))
    return Episode(
        prototype=temporal_prototype(stages),
        first_frame=int(frames[0]),
        last_frame=int(frames[-1]),
        peak_frame=int(frames[np.where(shown, evidence, 0.0).sum(1).argmax()]),
        peaks=tuple(peaks),
        begins=_edge(steady.segment, start, start - 1, int(at[0]), rule.max_missing),
        ends=_edge(steady.segment, stop - 1, stop, len(recording.ok) - 1 - int(at[-1]), rule.max_missing),
        lasting=tuple(steady.targets[a] for a in np.flatnonzero(steady.lasting[start:stop].any(0)).tolist()),
    )


def _edge(segment: NDArray[np.int64], inside: int, outside: int, n_beyond: int, max_missing: int) -> str:
    """What an episode has beyond its frame `inside`; `n_beyond` frames are missing at that end of the recording."""
    if 0 <= outside < len(segment):
        return REST if segment[outside] == segment[inside] else GAP
    return GAP if n_beyond > max_missing else RECORDING
