"""A job in small: a few of its inputs, cut short, taken through every phase in this process, timed and weighed.

The steps are those of the run, and what they write goes to a temporary folder, so that nothing is guessed that can be
measured. Neither Ray nor the output of the job is touched.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import pickle
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from fer_batch.output.run_record import RunRecord
from fer_batch.pipeline.analysis.plans import plan_shards, unplanned
from fer_batch.pipeline.analysis.shard import shard_task
from fer_batch.pipeline.explaining.chunk import Chunk, ChunkRow
from fer_batch.pipeline.explaining.decode import decode_unit
from fer_batch.pipeline.explaining.explain import ExplainStage
from fer_batch.pipeline.explaining.faces import DecodeOptions
from fer_batch.pipeline.explaining.sink import SinkOptions, write_chunk
from fer_batch.pipeline.explaining.stream import Bookkeeping
from fer_batch.pipeline.explaining.units import ExplanationRefused, Unit, joint_units, units_to_do
from fer_batch.pipeline.phases import REPORT, Job, decode_options, explain_options, publish_stages, shard_options
from fer_batch.pipeline.scaling import Rehearsed, Tried
from fer_batch.pipeline.trial_inputs import Group, first_frames, spread_frames
from fer_batch.storage.manifest import STAGE, Ledger
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS
from fer_batch.types import STATUSES, input_id

BUDGET_S = 4.0  # for phase 1 of all inputs, once everything is loaded
FEWEST, MOST = 8, 64  # frames of an input
RUN = "trial"


def rehearse(jobs: Sequence[Job], groups: Sequence[Group]) -> Rehearsed | None:
    """Take some inputs through the phases of a job.

    Parameters
    ----------
    jobs
        The run for each of its explanations.
    groups
        Inputs to try.

    Returns
    -------
    Rehearsed or None
        None where no frame of them can be read.

    Raises
    ------
    ExplanationRefused
        If an explanation cannot be made.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fer_batch-") as folder, contextlib.redirect_stderr(io.StringIO()):
        first = _Trial(jobs, f"{folder}/0")
        # The first frames load all that is used, so that no figure has it.
        readable = next((group for group in groups if first.take(group, FEWEST).n_frames), None)
        if readable is None:
            return None
        n = _n_frames(_Trial(jobs, f"{folder}/1", first).take(readable, FEWEST), len(groups))
        first.publish()
        trial = _Trial(jobs, f"{folder}/2", first)
        tried = tuple(trial.take(group, n) for group in groups)
        seconds = trial.publish()
        return trial.rehearsed(tried, seconds, time.perf_counter() - began)


def _n_frames(one: Tried, n_groups: int) -> int:
    """Frames of each input that fit into the time."""
    each = (one.decode_s + one.network_s + one.maps_s) / max(one.n_frames, 1)
    return int(np.clip(BUDGET_S / n_groups / max(each, 1e-6), FEWEST, MOST))


class Seconds(NamedTuple):
    """Of the phases after the first: a shard, the stages over all shards, and the report."""

    shard: float
    stages: float
    report: float


class _Trial:
    """An output of its own, in this process.

    Parameters
    ----------
    jobs
        The run for each of its explanations.
    folder
        Of the output.
    like
        Another one, whose network it uses.
    """

    def __init__(self, jobs: Sequence[Job], folder: str, like: _Trial | None = None) -> None:
        self.store, self.n_threads = Store(folder), jobs[0].config.resources.num_cpus or os.cpu_count() or 1
        self.jobs = [_job_in(job, self.store) for job in jobs]
        self.options = [explain_options(job, self.n_threads) for job in self.jobs]
        self._like = like
        own = self.jobs[0].config
        self.decode = decode_options(self.jobs)
        self.sink = SinkOptions(self.store.uri, own.faces.store == "jpeg", tuple(job.metadata for job in self.jobs))
        self.identities: set[str] = set()

    @functools.cached_property
    def network(self) -> ExplainStage:
        """What explains; loaded when a frame was read."""
        return self._like.network if self._like else ExplainStage(self.options)

    def take(self, group: Group, n: int) -> Tried:
        """Phase 1 of some inputs, of each so many frames at most."""
        plans = [job.plan for job in self.jobs]
        waiting = [units_to_do(group.members, plan.partition, set(), set()) for plan in plans]
        (unit,), own = joint_units(group.members, waiting)
        each = zip(plans, own, strict=True)
        books = [Bookkeeping(self.store, plan.partition, RUN, units) for plan, units in each]
        self.identities.update(name for units in own for one in units for name in one.identities)
        rows, decoded = self._decoded(unit, group, n)
        if not any(_chunk(row).frames for row in rows):
            return Tried(len(group.members), 0, 0, decoded, 0.0, 0.0, 0)
        explained, network_s, maps_s = self._through_network(rows)
        begin = time.perf_counter()
        for found in explained:
            line = write_chunk({key: np.array([value], object) for key, value in found.items()}, self.sink)
            books[int(line["explanation"][0])].add({key: value[0] for key, value in line.items()})
        decoded += time.perf_counter() - begin
        inputs = {ref.sequence_id for ref in group.members}
        frames = [frame for row in rows for frame in _chunk(row).frames]
        read = {(input_id(frame["sequence_id"], inputs), frame["frame_index"]) for frame in frames}
        staged = self._staged(one.unit_id for units in own for one in units)
        return Tried(len(group.members), len(read), len(frames), decoded, network_s, maps_s, staged)

    def _staged(self, unit_ids: Iterable[str]) -> int:
        """Bytes of the stage files of units."""
        return sum(entry.size for name in unit_ids for entry in self.store.walk(f"{STAGE}/{name}"))

    def _through_network(self, rows: Sequence[ChunkRow]) -> tuple[list[dict[str, object]], float, float]:
        """Chunks with the maps of every explanation, and the seconds of prediction and of maps."""
        begin = time.perf_counter()
        explained = [found for row in rows for found in self._explained(row)]
        seconds = time.perf_counter() - begin
        costs = [Chunk.from_batch({"payload": np.array([found["payload"]], object)}).cost for found in explained]
        maps = sum(cost.seconds + cost.first_seconds for cost in costs)
        return explained, max(seconds - maps, 0.0), maps

    def _decoded(self, unit: Unit, group: Group, n: int) -> tuple[list[ChunkRow], float]:
        """Chunks of frames from all over the inputs, and the seconds that as many take where none is passed over."""
        sampling, whole = self.decode.sampling, pickle.dumps(unit)
        spread = replace(self.decode, sampling=spread_frames(sampling, n, group))
        rows, seconds = _timed(whole, spread)
        if spread.sampling == (first := first_frames(sampling, n, group)) or unit.members[0].kind != "video":
            return rows, seconds
        together, seconds = _timed(whole, replace(self.decode, sampling=first))
        n_frames, n_together = (max(sum(len(_chunk(row).frames) for row in found), 1) for found in (rows, together))
        return rows, seconds * n_frames / n_together

    def _explained(self, row: ChunkRow) -> list[dict[str, object]]:
        """A chunk with the maps of every explanation."""
        found = []
        for columns in self.network({"payload": np.array([row["payload"]], object)}):
            if problem := columns["problem"][0]:
                at = Chunk.from_batch({"payload": np.array(columns["payload"], object)}).explanation
                name = self.jobs[at].name
                raise ExplanationRefused(self.jobs[at].place, f"{name}: {problem}" if name else problem)
            found.append({key: value[0] for key, value in columns.items()})
        return found

    def publish(self) -> Seconds:
        """The other phases of every explanation."""
        each = [self._publish(job) for job in self.jobs]
        return Seconds(*(sum(parts) for parts in zip(*each, strict=True)))

    def _publish(self, job: Job) -> Seconds:
        if "prototypes" not in job.config.phases:
            return Seconds(0.0, 0.0, 0.0)
        ledger, times = Ledger(self.store), [time.perf_counter()]
        commits = unplanned(ledger, job.plan.partition, self.identities)
        for name in plan_shards(ledger, job.plan.partition, commits, max(len(commits), 1)):
            shard_task(ledger.plans[name], shard_options(job))
        times.append(time.perf_counter())
        publish_stages("prototypes", job, None, 1)
        times.append(time.perf_counter())
        model = job.plan.model
        record = RunRecord(self.store, job.plan.partition, job.config, model_digest=model.digest, weights_license=None)
        record.write({"found": len(job.plan.refs), **dict.fromkeys((*STATUSES, "already_done"), 0)})
        if REPORT in job.config.phases:
            publish_stages(REPORT, job, None, 1)
        return Seconds(times[1] - times[0], times[2] - times[1], time.perf_counter() - times[2])

    def rehearsed(self, tried: tuple[Tried, ...], seconds: Seconds, whole_s: float) -> Rehearsed:
        """What there is now.

        Parameters
        ----------
        tried
            From `take`.
        seconds
            From `publish`.
        whole_s
            That all of it took.
        """
        config = self.jobs[0].config
        rows = [
            shard.files["prototypes"] for shard in Ledger(self.store).shards.values() if "prototypes" in shard.files
        ]
        n_rows = sum(state.rows for state in rows if state)
        most = config.spray.max_clusters * len(self.jobs[0].plan.model.targets) * sum(one.n_inputs for one in tried)
        return Rehearsed(
            tried,
            *seconds,
            files=tuple((entry.path, entry.size) for entry in self.store.walk("")),
            empty={name: len(encode(schema.empty_table())) for name, schema in SCHEMAS.items()},
            keeps_all=config.keep_relevance == "all",
            clusters=most * len(self.jobs) / max(n_rows, 1),
            device=self.network.device.type,
            n_threads=torch.get_num_threads(),
            seconds=whole_s,
        )


def _timed(unit: bytes, options: DecodeOptions) -> tuple[list[ChunkRow], float]:
    begin = time.perf_counter()
    rows = list(decode_unit({"unit": unit}, options))
    return rows, time.perf_counter() - begin


def _chunk(row: ChunkRow) -> Chunk:
    return Chunk.from_batch({"payload": np.array([row["payload"]], object)})


def _job_in(job: Job, store: Store) -> Job:
    """The job with another output, which is empty."""
    config = job.config.model_copy(update={"output": store.uri})
    return replace(job, config=config, store=store, plan=replace(job.plan, ledger=Ledger(store)))
