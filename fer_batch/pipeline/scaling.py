"""What grows with the frames, the inputs, the shards, or hardly at all, of what a few inputs of a job took.

What grows with the frames is carried over by the ratio to the frames that were tried, with the interval that the
differences between the inputs give. What grows more slowly, clusters for instance, lies between "the same for every
input" and "with the frames". What is made once is at least as large as for the few.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.ranges import Range, ratio_total
from fer_batch.storage.manifest import COMMITS, PLANS, SHARD_TABLES, SHARDS, STAGE
from fer_batch.storage.published import is_of_shard

WITH_FRAMES = ("frames", "detections", "annotations")  # tables whose rows are frames; `relevance` where all is kept
ONCE_MOST = 3.0  # what is made once may become so much larger than over the few inputs that were tried
RECORDED = 0.01  # what files say of their run is of another length in another run
CHUNK = 64  # frames of a stage file
_NONE = Range.exactly(0.0)


@dataclass(frozen=True)
class Waiting:
    """What phase 1 has yet to read.

    Attributes
    ----------
    sizes : shape (N,), bytes
        Of the inputs that will be read.
    frames : shape (N,)
        That will be kept of each; NaN where nobody has looked.
    n_units, n_shards
    share
        Of the explanations that were tried, for which an input waits on average; 1: for all.
    """

    sizes: NDArray[np.float64]
    frames: NDArray[np.float64]
    n_units: int
    n_shards: int
    share: float = 1.0


@dataclass(frozen=True)
class Tried:
    """One input, or a few stills, that were taken through phase 1.

    Attributes
    ----------
    n_inputs
    n_frames
        Frames that were read.
    n_rows
        Rows of table `frames` that came of them: more where several faces are followed.
    decode_s, network_s, maps_s
        Seconds of one CPU, and of the network in prediction and in its explanations.
    stage_bytes
        Of its stage files.
    """

    n_inputs: int
    n_frames: int
    n_rows: int
    decode_s: float
    network_s: float
    maps_s: float
    stage_bytes: int


@dataclass(frozen=True)
class Rehearsed:
    """What a few inputs took from their first frame to the report.

    Attributes
    ----------
    tried
    shards_s, stages_s, report_s
        Seconds of one CPU for their shard, the stages over it, and the report.
    files
        Path and bytes of every file of the output.
    empty
        Bytes of a file of each table without a row.
    keeps_all
        Whether table `relevance` keeps every map.
    clusters
        How many times as many clusters the inputs may have at most.
    device, n_threads
        Where the network ran.
    seconds
        All that this took, with what is loaded.
    """

    tried: tuple[Tried, ...]
    shards_s: float
    stages_s: float
    report_s: float
    files: tuple[tuple[str, int], ...]
    empty: dict[str, int]
    keeps_all: bool
    clusters: float
    device: str
    n_threads: int
    seconds: float


def frames_of(waiting: Waiting) -> Range:
    """Frames of all inputs: those that are known, and of the others by their bytes."""
    known = ~np.isnan(waiting.frames)
    counted = Range.exactly(float(waiting.frames[known].sum()))
    if known.all() or not known.any():
        return counted
    drawn = min(float(known.mean()), 1 - 1 / len(known))
    unknown = float(waiting.sizes[~known].sum())
    return counted + ratio_total(waiting.frames[known].tolist(), waiting.sizes[known].tolist(), unknown, drawn)


class Scale:
    """Carries what was tried over to what waits.

    Parameters
    ----------
    waiting, done
        What waits, and what was tried of it.
    """

    def __init__(self, waiting: Waiting, done: Rehearsed) -> None:
        self.waiting, self.done = waiting, done
        self.frames = frames_of(waiting)
        self.kept = [one.n_frames for one in done.tried]
        self.n_tried, self.n = sum(one.n_inputs for one in done.tried), len(waiting.sizes)
        self.is_whole = self.n_tried == self.n and sum(self.kept) >= self.frames.high
        self.drawn = 1.0 if self.is_whole else 0.0

    def with_frames(self, parts: Sequence[float]) -> Range:
        """Of each tried input, what grows with its frames."""
        found = ratio_total(parts, self.kept, self.frames.value, self.drawn)
        low, high = (
            end / self.frames.value if self.frames.value else 1.0 for end in (self.frames.low, self.frames.high)
        )
        return Range(found.value, found.low * low, found.high * high)

    def spread(self) -> Range:
        """How much larger than those that were tried all are, with the spread of their stage files."""
        parts = [float(one.stage_bytes) for one in self.done.tried]
        return self.with_frames(parts).times(1 / max(sum(parts), 1.0))

    def slowly(self, amount: float, most: float = math.inf) -> Range:
        """What grows with the inputs at least, and with their frames at most.

        Parameters
        ----------
        amount
            Of the inputs that were tried.
        most
            How many times as much an input may have when all of it is read.
        """
        inputs, spread = self.n / self.n_tried, self.spread()
        high = min(spread.high, inputs * max(most, 1.0) * spread.high / max(spread.value, 1e-9))
        return Range.between(amount * min(inputs, spread.low), amount * max(inputs, high)) if amount else _NONE

    def once(self, amount: float) -> Range:
        """What is made once, over all inputs."""
        return Range.between(amount, amount * (1.0 if self.is_whole else ONCE_MOST)) if amount else _NONE

    def shards(self, amount: float) -> Range:
        """What a shard has: that of the rehearsal, up to as many times as it has more inputs."""
        n_shards, inputs = self.waiting.n_shards, self.n / self.n_tried
        return Range.between(amount * min(n_shards, inputs), amount * max(n_shards, inputs)) if amount else _NONE


def _kind(path: str) -> str:
    """What a file of an output is of: a `unit`, its `stage`, a `shard`, an `input`, or all of them: `once`."""
    top, name = path.split("/")[0], posixpath.basename(path)
    if top in (COMMITS, STAGE):
        return "unit" if top == COMMITS else "stage"
    if "/sequences/" in path or "/thumbnails/" in path:
        return "input" if top == "report" else "shard"
    of_record = posixpath.basename(posixpath.dirname(path))
    return (
        "shard"
        if top in (PLANS, SHARDS) or is_of_shard(posixpath.splitext(name)[0]) or is_of_shard(of_record)
        else "once"
    )


def objects_of(scale: Scale) -> Range:
    """Files of the output."""
    counts = dict.fromkeys(("unit", "stage", "shard", "input", "once"), 0)
    for path, _ in scale.done.files:
        counts[_kind(path)] += 1
    found = Range.exactly(counts["unit"] / len(scale.done.tried) * scale.waiting.n_units)
    found += Range.exactly(counts["shard"] * scale.waiting.n_shards)
    if counts["stage"]:  # where the job ends with phase 1
        found += Range.between(scale.waiting.n_units, scale.waiting.n_units + scale.frames.high / CHUNK)
    return found + Range.exactly(counts["input"] / scale.n_tried * scale.n) + scale.once(counts["once"])


def bytes_of(scale: Scale) -> Range:
    """Bytes of the output."""
    total = _NONE
    for path, size in scale.done.files:
        total += _bytes_of(path, size, scale)
    return Range(total.value, total.low * (1 - RECORDED), total.high * (1 + RECORDED))


def _bytes_of(path: str, size: int, scale: Scale) -> Range:
    top, kind = path.split("/")[0], _kind(path)
    if kind in ("once", "stage"):
        return scale.once(size) if kind == "once" else scale.spread().times(size)
    if kind == "unit" or top in (PLANS, SHARDS):
        return Range.exactly(size * scale.n / scale.n_tried)
    if top != "tables":
        return scale.slowly(size) if kind == "input" else scale.shards(size)
    table = path.split("/")[1]
    around = min(scale.done.empty.get(table, 0), size)
    content, every = size - around, Range.exactly(around * scale.waiting.n_shards)
    if table in WITH_FRAMES or (table == "relevance" and scale.done.keeps_all):
        return every + scale.spread().times(content)
    return every + scale.slowly(content, math.inf if table in SHARD_TABLES[-2:] else scale.done.clusters)
