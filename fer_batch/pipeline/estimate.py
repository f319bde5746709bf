"""From what a few inputs took to what a run will take: frames, hours, storage, objects and cost, each with a range.

What grows with the frames is carried over by the ratio to the frames that were tried, with the 95 % interval that the
differences between the inputs give [1]. What grows more slowly, clusters for instance, lies between "the same for every
input" and "with the frames". What is made once is at least as large as for the few.

[1] W. G. Cochran (1977), Sampling Techniques, 3rd ed., Wiley, section 6: the ratio estimator.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.storage.manifest import COMMITS, PLANS, SHARD_TABLES, SHARDS, STAGE
from fer_batch.storage.published import is_of_shard

LEVEL = 0.95
WITH_FRAMES = ("frames", "detections", "annotations")  # tables whose rows are frames; `relevance` where all is kept
ONCE_MOST = 3.0  # what is made once may become so much larger than over the few inputs that were tried
ALONE = 2.0  # factor up and down where one input alone was tried, which shows no spread
HOUR = 3600.0
CHUNK = 64  # frames of a stage file


@dataclass(frozen=True)
class Range:
    """A figure and between which it is expected.

    Attributes
    ----------
    value, low, high
    """

    value: float
    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Range:
        """What is known."""
        return cls(value, value, value)

    @classmethod
    def between(cls, low: float, high: float) -> Range:
        """Of what only its ends are known; both are positive, and the middle is that of their logarithms."""
        low, high = min(low, high), max(low, high)
        return cls(math.sqrt(low * high), low, high)

    def __add__(self, other: Range) -> Range:
        return Range(self.value + other.value, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Range:
        """Of so many."""
        return Range(self.value * factor, self.low * factor, self.high * factor)

    def most(self, other: Range) -> Range:
        """The larger of two figures."""
        return Range(max(self.value, other.value), max(self.low, other.low), max(self.high, other.high))


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


@dataclass(frozen=True)
class Prices:
    """Prices of one hour, in whatever currency; None where it is not given.

    Attributes
    ----------
    cpu, gpu
        Of one CPU and of one GPU: the price of a node over its number of them.
    """

    cpu: float | None = None
    gpu: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes
    ----------
    n_tried, n_frames_tried, seconds
        Inputs and frames that this comes from, and the seconds it took.
    device, n_cpus
        Where the network ran, and CPUs that the hours of the phases suppose.
    frames
        That are read, once for each face that is followed.
    explain_hours, prototypes_hours, report_hours
        On this machine alone.
    decode_cpu_hours, tables_cpu_hours, network_hours, maps_hours
        Of one CPU, and of one copy of the network on `device`.
    bytes, stage_bytes
        Of the output, and at most beside it while it runs.
    objects
        Files of the output.
    cost
        In the currency of the prices; None where one that is needed is not given.
    """

    n_tried: int
    n_frames_tried: int
    seconds: float
    device: str
    n_cpus: int
    frames: Range
    explain_hours: Range
    prototypes_hours: Range
    report_hours: Range
    decode_cpu_hours: Range
    tables_cpu_hours: Range
    network_hours: Range
    maps_hours: Range
    bytes: Range
    stage_bytes: Range
    objects: Range
    cost: Range | None


def ratio_total(parts: Sequence[float], sizes: Sequence[float], total: float, drawn: float = 0.0) -> Range:
    """The total of a quantity over a collection, from its values in some parts of it.

    Parameters
    ----------
    parts
        Of each part that was tried.
    sizes
        Of the same parts, in what the quantity grows with.
    total
        Size of the collection.
    drawn
        Share of the collection that was tried, 0 to 1; there is nothing to guess where it is 1.

    Returns
    -------
    Range
        The ratio estimate and its 95 % interval, never below what was seen.
    """
    amount, size = float(sum(parts)), float(sum(sizes))
    if not size or not amount:
        return Range.exactly(0.0)
    value, k = amount / size * total, len(parts)
    if drawn >= 1:
        return Range.exactly(value)
    if k == 1:
        return Range(value, max(min(amount, value), value / ALONE), value * ALONE)
    from scipy.special import stdtrit  # not for a run that estimates nothing

    residuals = np.asarray(parts) - amount / size * np.asarray(sizes)
    error = total / size * math.sqrt(k * float((residuals**2).sum()) / (k - 1) * (1 - drawn))
    half = float(stdtrit(k - 1, (1 + LEVEL) / 2)) * error
    return Range(value, max(min(amount, value), value - half), value + half)


def frames_of(waiting: Waiting) -> Range:
    """Frames of all inputs: those that are known, and of the others by their bytes."""
    known = ~np.isnan(waiting.frames)
    counted = Range.exactly(float(waiting.frames[known].sum()))
    if known.all() or not known.any():
        return counted
    drawn = min(float(known.mean()), 1 - 1 / len(known))
    unknown = float(waiting.sizes[~known].sum())
    return counted + ratio_total(waiting.frames[known].tolist(), waiting.sizes[known].tolist(), unknown, drawn)


class _Scale:
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


_NONE = Range.exactly(0.0)


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


def _objects(scale: _Scale) -> Range:
    counts = dict.fromkeys(("unit", "stage", "shard", "input", "once"), 0)
    for path, _ in scale.done.files:
        counts[_kind(path)] += 1
    found = Range.exactly(counts["unit"] / len(scale.done.tried) * scale.waiting.n_units)
    found += Range.exactly(counts["shard"] * scale.waiting.n_shards)
    if counts["stage"]:  # where the job ends with phase 1
        found += Range.between(scale.waiting.n_units, scale.waiting.n_units + scale.frames.high / CHUNK)
    return found + Range.exactly(counts["input"] / scale.n_tried * scale.n) + scale.once(counts["once"])


def _bytes(scale: _Scale) -> Range:
    total = _NONE
    for path, size in scale.done.files:
        total += _bytes_of(path, size, scale)
    return total


def _bytes_of(path: str, size: int, scale: _Scale) -> Range:
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


def _cost(cpu_hours: Range, network_hours: Range, done: Rehearsed, prices: Prices) -> Range | None:
    """None where a price that is needed is not given."""
    if done.device == "cpu":
        return (cpu_hours + network_hours.times(done.n_threads)).times(prices.cpu) if prices.cpu is not None else None
    if prices.cpu is None or prices.gpu is None:
        return None
    return cpu_hours.times(prices.cpu) + network_hours.times(prices.gpu)


def estimate(waiting: Waiting, done: Rehearsed, n_cpus: int, prices: Prices) -> Estimate:
    """What a run will take, from what a few of its inputs took.

    Parameters
    ----------
    waiting
        What it has to do.
    done
        What some of it took.
    n_cpus
        Of the machine or cluster, for the hours of the phases.
    prices
        Of an hour.
    """
    scale, tried, share = _Scale(waiting, done), done.tried, waiting.share
    decode = scale.with_frames([one.decode_s for one in tried]).times(1 / HOUR)
    network = scale.with_frames([one.network_s for one in tried]).times(1 / HOUR)
    maps = scale.with_frames([one.maps_s for one in tried]).times(share / HOUR)
    tables = scale.slowly(done.shards_s).times(share / HOUR)
    stages = scale.slowly(done.stages_s).times(share / HOUR)
    drawing = scale.slowly(done.report_s).times(share / HOUR)
    rows = sum(one.n_rows for one in tried) / max(sum(one.n_frames for one in tried), 1)
    spread, inference = decode.times(1 / n_cpus), network + maps
    explain = spread + inference if done.device == "cpu" else spread.most(inference)
    return Estimate(
        n_tried=scale.n_tried,
        n_frames_tried=sum(scale.kept),
        seconds=done.seconds,
        device=done.device,
        n_cpus=n_cpus,
        frames=scale.frames.times(rows),
        explain_hours=explain,
        prototypes_hours=tables.times(1 / n_cpus) + stages,
        report_hours=drawing,
        decode_cpu_hours=decode,
        tables_cpu_hours=tables + stages + drawing,
        network_hours=network,
        maps_hours=maps,
        bytes=_bytes(scale).times(share),
        stage_bytes=scale.with_frames([float(one.stage_bytes) for one in tried]).times(share),
        objects=_objects(scale).times(share),
        cost=_cost(decode + tables + stages + drawing, inference, done, prices),
    )
