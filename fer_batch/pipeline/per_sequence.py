"""Phase 2 on Dask: one task a shard reads what phase 1 staged and publishes one file per table, its marker last."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from fer_batch.pipeline.analysis import AnalysisOptions, analyse
from fer_batch.pipeline.sequence_data import SequenceData, published_shard, staged_unit
from fer_batch.pipeline.shards import SHARD_TABLES
from fer_batch.sources.fetch import StoreFault
from fer_batch.sources.truth import annotations_of
from fer_batch.storage.manifest import COMMITS, SHARDS, STAGE, dump, load_all
from fer_batch.storage.parquet import Partition, TableWriter, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS
from fer_batch.types import MediaError

ATTEMPTS = 3
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardOptions:
    """What a shard task needs of the job."""

    output: str
    partition: Partition
    analysis: AnalysisOptions
    keep_relevance: str
    metadata: dict[str, object]


def shard_task(plan: dict[str, Any], options: ShardOptions, crashing: tuple[str, ...] = ()) -> dict[str, int]:
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
    store, shard = Store(options.output), plan["shard"]
    # The first publication reads stage files; a new analysis of a published shard reads its tables.
    again = store.exists(f"{SHARDS}/{shard}.json")
    published = json.loads(store.read_bytes(f"{SHARDS}/{shard}.json")) if again else {}
    if published.get("analysis_id") == options.analysis.analysis_id:
        _delete_stage(store, plan)  # its worker died after the marker
        return dict(published["counts"])
    names = [name for name in SHARD_TABLES if not (again and name in ("frames", "relevance"))]
    counts: dict[str, int] = {}
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                TableWriter(store, f"{options.partition.folder(name)}/{shard}.parquet", name, options.metadata)
            )
            for name in names
        }
        for row, data in _shard_sequences(store, plan, options, again):
            tables: dict[str, pa.Table] = {}
            if data is not None and row["sequence_id"] in crashing:
                row.update(status="failed", reason="its analysis crashed the worker three times")
            elif data is not None:
                try:
                    tables = analyse(data, options.analysis)
                except StoreFault:
                    raise
                except Exception as error:  # one odd sequence must not stop the others; its row says what happened
                    log.exception("analysis of %s", row["sequence_id"])
                    row.update(status="failed", reason=f"analysis: {type(error).__name__}: {error}")
            counts[row["status"]] = counts.get(row["status"], 0) + 1
            writers["sequences"].write(rows_of("sequences", [{k: row.get(k) for k in SCHEMAS["sequences"].names}]))
            for name, table in tables.items():
                writers[name].write(table)
            if data is not None and not again:
                writers["frames"].write(data.frames)
                if row["status"] == "done":
                    for piece in _kept_relevance(data, tables["prototypes"], options):
                        writers["relevance"].write(piece)
    if plan["annotations"] and not again:
        _publish_annotations(store, plan, options)
    marker = {
        "shard": shard,
        "partition": plan["partition"],
        "analysis_id": options.analysis.analysis_id,
        "units": [unit["unit_id"] for unit in plan["units"]],
        "counts": counts,
        "keep_relevance": published.get("keep_relevance", options.keep_relevance),
    }
    store.put(f"{SHARDS}/{shard}.json", dump(marker))
    if not again:
        _delete_stage(store, plan)
    return counts


def _delete_stage(store: Store, plan: dict[str, Any]) -> None:
    for unit in plan["units"]:
        store.delete(f"{STAGE}/{unit['unit_id']}")


def _commits(store: Store, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Commits of the shard's units, with the inputs that the plan takes of them."""
    markers = load_all(store, COMMITS, [unit["unit_id"] for unit in plan["units"]])
    commits = []
    for unit in plan["units"]:
        commit, members = markers[unit["unit_id"]], set(unit["members"])
        commits.append({**commit, "sequences": [row for row in commit["sequences"] if row["identity"] in members]})
    return commits


def _shard_sequences(
    store: Store, plan: dict[str, Any], options: ShardOptions, again: bool
) -> Iterator[tuple[dict[str, Any], SequenceData | None]]:
    """Row of table `sequences` and data of each input; None where it has no frames."""
    targets = options.analysis.targets
    if again:
        shard, partition = plan["shard"], options.partition
        for row, data in published_shard(store, partition, shard, targets):
            yield row, data
        return
    for commit in _commits(store, plan):
        for row, staged in staged_unit(store, commit, len(targets)):
            yield dict(row), staged


def _kept_relevance(data: SequenceData, prototypes: pa.Table, options: ShardOptions) -> Iterator[pa.Table]:
    if options.keep_relevance == "prototypes":
        return
    targets = pa.array(options.analysis.targets)
    pairs = np.arange(len(data.pairs))
    if options.keep_relevance == "exemplars":
        exemplars = set(zip(prototypes["exemplar_frame"].to_pylist(), prototypes["target"].to_pylist(), strict=True))
        frames, outputs = data.frame_index[data.pairs[:, 0]], data.pairs[:, 1]
        named = zip(frames.tolist(), (options.analysis.targets[o] for o in outputs), strict=True)
        pairs = np.flatnonzero([pair in exemplars for pair in named])
    for start in range(0, len(pairs), 512):
        for rows in data.relevance_rows(pairs[start : start + 512]):
            names = targets.take(rows["target"].combine_chunks() if rows.num_rows else pa.array([], pa.int32()))
            yield rows.set_column(rows.schema.get_field_index("target"), "target", names)


def _publish_annotations(store: Store, plan: dict[str, Any], options: ShardOptions) -> None:
    path = f"{options.partition.folder('annotations')}/{plan['shard']}.parquet"
    with TableWriter(store, path, "annotations", options.metadata) as writer:
        for commit in _commits(store, plan):
            lengths = {row.get("input", row["sequence_id"]): row.get("length") for row in commit["sequences"]}
            for source in commit["sources"]:
                if source["sequence_id"] not in plan["annotations"]:
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
    plans: Sequence[dict[str, Any]],
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

    def run(plan: dict[str, Any], crashing: tuple[str, ...] = ()) -> None:
        (found,) = compute([task(plan, options, crashing)])
        add(found, plan)

    def add(found: dict[str, int], plan: dict[str, Any]) -> None:
        for status, count in found.items():
            counts[status] = counts.get(status, 0) + count
        progress(len(plan["sequences"]))

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


def probe_sequence(plan: dict[str, Any], sequence_id: str, options: ShardOptions) -> None:
    """Analyse one sequence and throw the result away: does it crash?"""
    store = Store(options.output)
    for _, data in _shard_sequences(store, plan, options, store.exists(f"{SHARDS}/{plan['shard']}.json")):
        if data is not None and data.sequence["sequence_id"] == sequence_id:
            analyse(data, options.analysis)


def _crashing(
    plan: dict[str, Any], options: ShardOptions, compute: Callable[[list[Any]], list[Any]]
) -> tuple[str, ...]:
    import dask

    crashing = []
    for sequence_id in plan["sequences"]:
        try:
            compute([dask.delayed(probe_sequence, pure=False)(plan, sequence_id, options)])
        except Exception as error:
            if _worker_died(error):
                crashing.append(sequence_id)
    return tuple(crashing)
