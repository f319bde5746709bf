"""What a run will take, from what a few of its inputs took: frames, hours, storage, objects and cost, with ranges."""

from __future__ import annotations

from dataclasses import dataclass

from fer_batch.pipeline.ranges import Range
from fer_batch.pipeline.report.write import SPREAD_FROM
from fer_batch.pipeline.scaling import Rehearsed, Scale, Waiting, bytes_of, objects_of

HOUR = 3600.0
CLOCK = 3.0  # a busy machine was so much faster or slower a few minutes later (benchmarks/estimate.py)


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


def _cost(cpu_hours: Range, network_hours: Range, done: Rehearsed, prices: Prices) -> Range | None:
    """None where a price that is needed is not given."""
    if done.device == "cpu":
        return (cpu_hours + network_hours.times(done.n_threads)).times(prices.cpu) if prices.cpu is not None else None
    if prices.cpu is None or prices.gpu is None:
        return None
    return cpu_hours.times(prices.cpu) + network_hours.times(prices.gpu)


def _hours(seconds: Range, share: float = 1.0) -> Range:
    """Hours of what was timed once; what was timed is not known as what was counted is."""
    value = seconds.value
    wide = Range(value, min(seconds.low, value / CLOCK), max(seconds.high, value * CLOCK))
    return wide.times(share / HOUR)


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
    scale, tried, share = Scale(waiting, done), done.tried, waiting.share
    decode = _hours(scale.with_frames([one.decode_s for one in tried]))
    network = _hours(scale.with_frames([one.network_s for one in tried]))
    maps = _hours(scale.with_frames([one.maps_s for one in tried]), share)
    tables, stages, drawing = (_hours(scale.slowly(s), share) for s in (done.shards_s, done.stages_s, done.report_s))
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
        report_hours=drawing.times(1 / n_cpus) if scale.n >= SPREAD_FROM else drawing,
        decode_cpu_hours=decode,
        tables_cpu_hours=tables + stages + drawing,
        network_hours=network,
        maps_hours=maps,
        bytes=bytes_of(scale).times(share),
        stage_bytes=scale.with_frames([float(one.stage_bytes) for one in tried]).times(share),
        objects=objects_of(scale).times(share),
        cost=_cost(decode + tables + stages + drawing, inference, done, prices),
    )
