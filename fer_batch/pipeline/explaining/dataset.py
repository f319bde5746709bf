"""The Ray dataset of phase 1: which units go into one pipeline, and how many of them into one task.

As long as a pipeline lives, the driver keeps about 13 kB of every block that went through it, and the object store what
is known of its inputs. So one pipeline takes a night or AffectNet whole, but not thousands of hours of video; each
further one costs the time in which the last runs dry and the network is loaded anew.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fer_batch.pipeline.engine import quiet_ray_data
from fer_batch.pipeline.explaining.chunk import CHUNK_FRAMES, ExplainOptions
from fer_batch.pipeline.explaining.decode import decode_unit
from fer_batch.pipeline.explaining.faces import DecodeOptions
from fer_batch.pipeline.explaining.sink import SinkOptions, write_chunk
from fer_batch.pipeline.explaining.units import Unit

PIPELINE_CHUNKS = 100_000  # of one pipeline: 1.3 GB of the driver at most
PIPELINE_BYTES = 128 << 20  # of the object store, which chunks need
TASK_CHUNKS = 32  # of one decode task: the 14 ms that Ray takes for each vanish beside them
TASKS_AHEAD = 8  # a task takes at most this part of what is left for each CPU, so that all end together
VIDEO_CHUNK_BYTES = 1 << 18  # a chunk of 64 frames at about 0.8 Mbit/s


def chunks_of(unit: Unit) -> int:
    """About how many chunks a unit becomes; of a video only its bytes are known before it is decoded."""
    n_frames = sum(len(ref.crops) or len(ref.files) or 1 for ref in unit.members)
    n_bytes = sum(ref.size for ref in unit.members if ref.kind == "video" and not ref.crops)
    return max(-(-n_frames // CHUNK_FRAMES), -(-n_bytes // VIDEO_CHUNK_BYTES))


def bytes_of(unit: Unit) -> int:
    """About how many bytes it takes to say what a unit is."""
    return sum(250 + 9 * len(ref.landmarks or ()) + 60 * len(ref.files) for ref in unit.members)


def pipelines(units: Sequence[Unit], window: int | None = None) -> Iterator[Sequence[Unit]]:
    """Units of one pipeline after the other.

    Parameters
    ----------
    units
        In their order.
    window
        Units of a pipeline, at most; None leaves it to what the driver has to keep.
    """
    start, taken = 0, np.zeros(2)
    for index, unit in enumerate(units):
        own = np.array([chunks_of(unit) / PIPELINE_CHUNKS, bytes_of(unit) / PIPELINE_BYTES])
        if index > start and ((taken + own > 1).any() or index - start == window):
            yield units[start:index]
            start, taken = index, np.zeros(2)
        taken += own
    if start < len(units):
        yield units[start:]


def tasks(units: Sequence[Unit], n_cpus: int) -> Iterator[Sequence[Unit]]:
    """Units of one decode task after the other: many at first, single ones towards the end.

    Parameters
    ----------
    units
        Of a pipeline.
    n_cpus
        That decode, or may do so when nodes are started.
    """
    left = sum(map(chunks_of, units))
    start = n_chunks = 0
    for index, unit in enumerate(units):
        own = chunks_of(unit)
        if index > start and n_chunks + own > min(TASK_CHUNKS, left / (TASKS_AHEAD * n_cpus)):
            yield units[start:index]
            start, left, n_chunks = index, left - n_chunks, 0
        n_chunks += own
    if start < len(units):
        yield units[start:]


def dataset_of(
    units: Sequence[Unit],
    decode: DecodeOptions,
    explain: Sequence[ExplainOptions],
    sink: SinkOptions,
    actors: tuple[int, int],
    num_gpus: float,
    n_cpus: int,
) -> Any:
    """The lazy Ray Dataset of phase 1 over the units of a pipeline.

    Parameters
    ----------
    units
        Of `joint_units`.
    decode, sink
        Of the job.
    explain
        Of each explanation.
    actors
        The fewest and the most copies of the network.
    num_gpus
        Of each.
    n_cpus
        That decode.
    """
    import ray.data

    from fer_batch.pipeline.explaining.explain import ExplainStage

    quiet_ray_data()
    schema = pa.schema([("unit_id", pa.string()), ("unit", pa.large_binary())])
    blocks = [
        pa.table([[unit.unit_id for unit in own], [pickle.dumps(unit) for unit in own]], schema=schema)
        for own in tasks(units, n_cpus)
    ]
    return (
        ray.data.from_arrow(blocks)
        .flat_map(decode_unit, fn_kwargs={"options": decode}, num_cpus=1)  # type: ignore[arg-type]
        .map_batches(
            ExplainStage,
            fn_constructor_kwargs={"options": explain},
            batch_size=1,
            num_cpus=0,
            num_gpus=num_gpus or None,
            compute=ray.data.ActorPoolStrategy(min_size=actors[0], max_size=actors[1]),
        )
        .map_batches(write_chunk, fn_kwargs={"options": sink}, batch_size=1, num_cpus=0.25)  # type: ignore[arg-type]
    )
