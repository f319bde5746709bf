"""Phase 2 on Dask: one task a shard reads what phase 1 staged and publishes one file per table, its marker last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.models.heads import active
from fer_batch.pipeline.analysis.accumulators import seen_in
from fer_batch.pipeline.analysis.published_data import published_shard
from fer_batch.pipeline.analysis.sequence import analyse
from fer_batch.pipeline.analysis.sequence_data import SequenceData
from fer_batch.pipeline.analysis.sequence_tables import AnalysisOptions
from fer_batch.pipeline.analysis.staged_data import staged_unit
from fer_batch.pipeline.analysis.sums import SumsWriter, take_sums
from fer_batch.sources.fetch import StoreFault
from fer_batch.sources.truth import annotations_of
from fer_batch.storage.manifest import COMMITS, SHARD_TABLES, STAGE, load_all, shard_marker
from fer_batch.storage.markers import Commit, ShardMarker, ShardPlan
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.published import FileState
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS
from fer_batch.storage.writing import TableWriter
from fer_batch.types import READ, MediaError

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
        _delete_stage(store, plan)  # its worker died after the marker
        return published.counts
    if published:
        store.put(published.path, published.rewriting(_rewritten(again), REWRITING).to_json())
    counts, files = _publish_tables(store, plan, options, again, crashing)
    if plan.annotations and not again:
        files["annotations"] = _publish_annotations(store, plan, options)
    known = published.files if published else {}
    marker = ShardMarker(
        shard=shard,
        partition=plan.partition,
        analysis_id=options.analysis.analysis_id,
        units=tuple(unit.unit_id for unit in plan.units),
        counts=counts,
        keep_relevance=published.keep_relevance if published else options.keep_relevance,
        files={**known, **files} if known or not again else {},
    )
    store.put(marker.path, marker.to_json())
    if not again:
        _delete_stage(store, plan)
    return counts


def _rewritten(again: bool) -> list[str]:
    """Tables of which a shard task writes files."""
    return [name for name in SHARD_TABLES if not (again and name in ("frames", "relevance"))]


def _publish_tables(
    store: Store, plan: ShardPlan, options: ShardOptions, again: bool, crashing: tuple[str, ...]
) -> tuple[dict[str, int], dict[str, FileState | None]]:
    """Write the tables of the shard, one file each; inputs by status, and what the files are."""
    names = _rewritten(again)
    counts: dict[str, int] = {}
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
        for row, data in _shard_sequences(store, plan, options, again):
            tables = _analysed(row, data, options.analysis, crashing)
            counts[row["status"]] = counts.get(row["status"], 0) + 1
            writers["sequences"].write(rows_of("sequences", [{k: row.get(k) for k in SCHEMAS["sequences"].names}]))
            for name, table in tables.items():
                writers[name].write(table)
            if data is not None and sums is not None:
                writers["frames"].write(data.frames)
                if row["status"] in READ:
                    _publish_maps(data, tables["prototypes"], options, writers["relevance"], sums)
    return counts, {name: writer.state for name, writer in writers.items()}


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


def _delete_stage(store: Store, plan: ShardPlan) -> None:
    for unit in plan.units:
        store.delete(f"{STAGE}/{unit.unit_id}")


def _commits(store: Store, plan: ShardPlan) -> list[Commit]:
    """Commits of the shard's units, with the inputs that the plan takes of them."""
    commits = load_all(store, Commit, COMMITS, [unit.unit_id for unit in plan.units])
    return [commits[unit.unit_id].taking(set(unit.members)) for unit in plan.units]


def _shard_sequences(
    store: Store, plan: ShardPlan, options: ShardOptions, again: bool
) -> Iterator[tuple[dict[str, Any], SequenceData | None]]:
    """Row of table `sequences` and data of each input; None where it has no frames."""
    targets = options.analysis.targets
    if again:
        for row, data in published_shard(store, options.partition, plan.shard, targets):
            yield dict(row), data
        return
    for commit in _commits(store, plan):
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


def _publish_annotations(store: Store, plan: ShardPlan, options: ShardOptions) -> FileState:
    path = f"{options.partition.folder('annotations')}/{plan.shard}.parquet"
    with TableWriter(store, path, "annotations", options.metadata) as writer:
        for commit in _commits(store, plan):
            lengths = {row["input"]: row.get("length") for row in commit.sequences}
            for source in commit.sources:
                if source["sequence_id"] not in plan.annotations:
                    continue
                try:
                    table = annotations_of(source, n_frames=lengths.get(source["sequence_id"]))
                except MediaError as error:
                    log.warning("%s has no annotations: %s", source["sequence_id"], error)
                    continue
                table = table.append_column(
                    "sequence_id", pa.array([source["sequence_id"]] * table.num_rows, pa.string())
                )
                writer.write(table.select(SCHEMAS["annotations"].names))
    return writer.state


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
    for _, data in _shard_sequences(store, plan, options, shard_marker(store, plan.shard) is not None):
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
