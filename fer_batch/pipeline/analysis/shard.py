"""Phase 2 on Dask: one task a shard reads what phase 1 staged and publishes one file per table, its marker last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.models.heads import active
from fer_batch.pipeline.analysis.accumulators import seen_in
from fer_batch.pipeline.analysis.explained import commits_of, cost_of, delete_explained, publish_annotations
from fer_batch.pipeline.analysis.published_data import published_shard
from fer_batch.pipeline.analysis.sequence import analyse
from fer_batch.pipeline.analysis.sequence_data import SequenceData
from fer_batch.pipeline.analysis.sequence_tables import AnalysisOptions
from fer_batch.pipeline.analysis.staged_data import staged_unit
from fer_batch.pipeline.analysis.sums import SumsWriter, take_sums
from fer_batch.sources.fetch import StoreFault
from fer_batch.storage.manifest import SHARD_TABLES, shard_marker
from fer_batch.storage.markers import Commit, Row, ShardMarker, ShardPlan
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.published import FileState
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS
from fer_batch.storage.writing import TableWriter
from fer_batch.types import READ

ATTEMPTS = 3
REWRITING = "being analysed again"  # in the marker of a shard whose tables are half new
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardOptions:
    """What a shard task needs of the job."""

    output: str
    partition: Partition
    analysis: AnalysisOptions
    keep_relevance: str
    metadata: dict[str, object]


@dataclass
class Written:
    """What the marker of a shard says of its rows and files."""

    counts: dict[str, int] = field(default_factory=dict)
    notable: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    files: dict[str, FileState | None] = field(default_factory=dict)

    def expect(self, plan: ShardPlan) -> None:
        """Note what a plan holds as without a row, until its row is counted."""
        self.notable.update(dict.fromkeys(plan.sequences, ("", None)))

    def count(self, row: Row) -> None:
        """Take a row of table `sequences`."""
        self.notable.pop(row["sequence_id"], None)
        self.counts[row["status"]] = self.counts.get(row["status"], 0) + 1
        if row["status"] != "done" or row.get("reason") is not None:
            self.notable[row["sequence_id"]] = row["status"], row.get("reason")


def shard_task(plan: ShardPlan, options: ShardOptions, crashing: tuple[str, ...] = ()) -> dict[str, int]:
    """Publish one shard.

    Parameters
    ----------
    plan
        Its plan.
    options
        How to analyse.
    crashing
        Sequences whose analysis killed its worker: they become failed rows.

    Returns
    -------
    Inputs by status.
    """
    store, shard = Store(options.output), plan.shard
    # The first publication reads stage files; a new analysis of a published shard reads its tables.
    published = shard_marker(store, shard)
    again = published is not None
    if published and published.analysis_id == options.analysis.analysis_id:
        delete_explained(store, plan, published)  # its worker died after the marker
        return published.counts
    if published:
        store.put(published.path, published.rewriting(_rewritten(again), REWRITING).to_json())
    commits = [] if again else commits_of(store, plan)
    written = _publish_tables(store, plan, options, commits, again, crashing)
    if plan.annotations and not again:
        written.files["annotations"] = publish_annotations(store, plan, commits, options.metadata)
    known = published.files if published else {}
    marker = ShardMarker(
        shard=shard,
        partition=plan.partition,
        analysis_id=options.analysis.analysis_id,
        units=tuple(unit.unit_id for unit in plan.units),
        counts=written.counts,
        keep_relevance=published.keep_relevance if published else options.keep_relevance,
        files={**known, **written.files} if known or not again else {},
        explain_cost=published.explain_cost if published else cost_of(commits),
        notable=written.notable,
    )
    store.put(marker.path, marker.to_json())
    if not again:
        delete_explained(store, plan, marker)
    return written.counts


def _rewritten(again: bool) -> list[str]:
    """Tables of which a shard task writes files."""
    return [name for name in SHARD_TABLES if not (again and name in ("frames", "relevance"))]


def _publish_tables(
    store: Store,
    plan: ShardPlan,
    options: ShardOptions,
    commits: Sequence[Commit],
    again: bool,
    crashing: tuple[str, ...],
) -> Written:
    """Write the tables of the shard, one file each."""
    names, written = _rewritten(again), Written()
    written.expect(plan)
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                TableWriter(store, f"{options.partition.folder(name)}/{plan.shard}.parquet", name, options.metadata)
            )
            for name in names
        }
        # Maps stay as they are in a new analysis, and so do their sums.
        each = options.keep_relevance != "all"
        sums = None if again else stack.enter_context(SumsWriter(store, plan.shard, each))
        for row, data in _shard_sequences(store, plan, options, commits, again):
            tables = _analysed(row, data, options.analysis, crashing)
            written.count(row)
            writers["sequences"].write(rows_of("sequences", [{k: row.get(k) for k in SCHEMAS["sequences"].names}]))
            for name, table in tables.items():
                writers[name].write(table)
            if data is not None and sums is not None:
                writers["frames"].write(data.frames)
                if row["status"] in READ:
                    _publish_maps(data, tables["prototypes"], options, writers["relevance"], sums)
    written.files.update({name: writer.state for name, writer in writers.items()})
    return written


def _analysed(
    row: dict[str, Any], data: SequenceData | None, options: AnalysisOptions, crashing: tuple[str, ...]
) -> dict[str, pa.Table]:
    """Tables of one input; none where it has no frames or its analysis failed, which its row then says."""
    if data is None:
        return {}
    if row["sequence_id"] in crashing:
        row.update(status="failed", reason="its analysis crashed the worker three times")
        return {}
    try:
        return analyse(data, options)
    except StoreFault:
        raise
    except Exception as error:  # one odd sequence must not stop the others; its row says what happened
        log.exception("analysis of %s", row["sequence_id"])
        row.update(status="failed", reason=f"analysis: {type(error).__name__}: {error}")
        return {}


def _shard_sequences(
    store: Store, plan: ShardPlan, options: ShardOptions, commits: Sequence[Commit], again: bool
) -> Iterator[tuple[dict[str, Any], SequenceData | None]]:
    """Row of table `sequences` and data of each input; None where it has no frames."""
    targets = options.analysis.targets
    if again:
        for row, data in published_shard(store, options.partition, plan.shard, targets):
            yield dict(row), data
        return
    for commit in commits:
        for planned, staged in staged_unit(store, commit, len(targets)):
            yield dict(planned), staged


def _publish_maps(
    data: SequenceData, prototypes: pa.Table, options: ShardOptions, writer: TableWriter, sums: SumsWriter
) -> None:
    """Pass every map of a sequence once: all go into the sums of the shard, and into table `relevance` what is kept."""
    targets = pa.array(options.analysis.targets)
    kept = _kept_pairs(data, prototypes, options)
    own = options.analysis
    seen = seen_in(data, active(data.probability, own.head, own.threshold), own.targets, own.crop_size)  # type: ignore[arg-type]
    for pairs, rows in take_sums(data, own.targets, sums, seen):
        chosen = rows if kept[pairs].all() else rows.filter(pa.array(kept[pairs]))
        if chosen.num_rows:
            names = targets.take(chosen["target"].combine_chunks())
            writer.write(chosen.set_column(chosen.schema.get_field_index("target"), "target", names))


def _kept_pairs(data: SequenceData, prototypes: pa.Table, options: ShardOptions) -> NDArray[np.bool_]:
    """Explained pairs whose maps table `relevance` keeps, shape (m,)."""
    if options.keep_relevance != "exemplars":
        return np.full(len(data.pairs), options.keep_relevance == "all")
    exemplars = set(zip(prototypes["exemplar_frame"].to_pylist(), prototypes["target"].to_pylist(), strict=True))
    frames, outputs = data.frame_index[data.pairs[:, 0]], data.pairs[:, 1]
    named = zip(frames.tolist(), (options.analysis.targets[o] for o in outputs), strict=True)
    return np.array([pair in exemplars for pair in named], bool)


def compute_with(scheduler: str, n_workers: int) -> Callable[[list[Any]], list[Any]]:
    """How Dask computes a list of delayed tasks: on the running Ray cluster, or on threads of this process."""
    import dask

    def compute(tasks: list[Any]) -> list[Any]:
        if scheduler == "threads":
            return list(dask.compute(*tasks, scheduler="threads", num_workers=n_workers))
        from ray.util.dask import ray_dask_get

        return list(dask.compute(*tasks, scheduler=ray_dask_get, ray_remote_args={"max_retries": 2}))

    return compute


def publish_shards(
    plans: Sequence[ShardPlan],
    options: ShardOptions,
    scheduler: str,
    n_workers: int,
    progress: Callable[[int], None],
) -> dict[str, int]:
    """Run the shard tasks on Dask until all are published; inputs by status.

    A shard whose worker crashes is tried again; after three times each of its sequences is tried alone, and the one
    that crashes becomes a failed row.
    """
    import dask

    compute = compute_with(scheduler, n_workers)
    task = dask.delayed(shard_task, pure=False)
    counts: dict[str, int] = {}

    def run(plan: ShardPlan, crashing: tuple[str, ...] = ()) -> None:
        (found,) = compute([task(plan, options, crashing)])
        add(found, plan)

    def add(found: dict[str, int], plan: ShardPlan) -> None:
        for status, count in found.items():
            counts[status] = counts.get(status, 0) + count
        progress(len(plan.sequences))

    wave = 2 * n_workers
    for start in range(0, len(plans), wave):
        chosen = list(plans[start : start + wave])
        try:
            for plan, found in zip(chosen, compute([task(plan, options) for plan in chosen]), strict=True):
                add(found, plan)
            continue
        except Exception as error:
            if not _worker_died(error):
                raise
        for plan in chosen:
            for _ in range(ATTEMPTS):
                try:
                    run(plan)
                    break
                except Exception as error:
                    if not _worker_died(error):
                        raise
            else:
                run(plan, _crashing(plan, options, compute))
    return counts


def _worker_died(error: Exception) -> bool:
    return type(error).__name__ in ("WorkerCrashedError", "OutOfMemoryError", "LocalRayletDiedError", "NodeDiedError")


def probe_sequence(plan: ShardPlan, sequence_id: str, options: ShardOptions) -> None:
    """Analyse one sequence and throw the result away: does it crash?"""
    store = Store(options.output)
    again = shard_marker(store, plan.shard) is not None
    commits = [] if again else commits_of(store, plan)
    for _, data in _shard_sequences(store, plan, options, commits, again):
        if data is not None and data.sequence["sequence_id"] == sequence_id:
            analyse(data, options.analysis)


def _crashing(plan: ShardPlan, options: ShardOptions, compute: Callable[[list[Any]], list[Any]]) -> tuple[str, ...]:
    import dask

    crashing = []
    for sequence_id in plan.sequences:
        try:
            compute([dask.delayed(probe_sequence, pure=False)(plan, sequence_id, options)])
        except Exception as error:
            if _worker_died(error):
                crashing.append(sequence_id)
    return tuple(crashing)
