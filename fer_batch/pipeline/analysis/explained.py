"""What phase 1 left of the units of a shard, commits and stage files, and when they go.

What a commit says is in the tables, the plan and the marker of its shard once these are there. So it goes as its stage
files do, and a start lists only commits that wait for their tables.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Container, Mapping, Sequence

import pyarrow as pa

from fer_batch.sources.fetch import StoreFault
from fer_batch.sources.truth import annotations_of
from fer_batch.storage.manifest import COMMITS, STAGE, load_all, shard_marker
from fer_batch.storage.markers import Commit, ExplainCost, ShardMarker, ShardPlan
from fer_batch.storage.published import FileState
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS
from fer_batch.storage.writing import TableWriter
from fer_batch.types import MediaError

log = logging.getLogger(__name__)


def commits_of(store: Store, plan: ShardPlan) -> list[Commit]:
    """Commits of the units of a shard, with the inputs that the plan takes of them.

    Raises
    ------
    StoreFault
        If one is gone: another run has published the shard meanwhile, or somebody withdrew the unit.
    """
    try:
        commits = load_all(store, Commit, COMMITS, [unit.unit_id for unit in plan.units])
    except FileNotFoundError as error:
        raise StoreFault(_why_gone(store, plan)) from error
    return [commits[unit.unit_id].taking(set(unit.members)) for unit in plan.units]


def _why_gone(store: Store, plan: ShardPlan) -> str:
    """What to say of a shard that lacks a commit."""
    if shard_marker(store, plan.shard):
        return f"another run has published shard {plan.shard} meanwhile; run the job again"
    return (
        f"a commit of shard {plan.shard} is gone from {store.url(COMMITS)}: `fer-batch retry` or somebody withdrew its "
        "unit; run the job again, and it is explained again"
    )


def cost_of(commits: Sequence[Commit]) -> ExplainCost | None:
    """What the maps of units took; None where an earlier version explained one of them."""
    costs = [commit.explain_cost for commit in commits]
    return None if None in costs else sum((cost for cost in costs if cost), ExplainCost())


def delete_explained(
    store: Store,
    plan: ShardPlan,
    marker: ShardMarker,
    staged: Container[str] | None = None,
    committed: Container[str] | None = None,
) -> None:
    """Remove stage files and commits of a published shard.

    Commits stay where the marker does not say what their maps took: an earlier version wrote it.

    Parameters
    ----------
    store
        The output.
    plan, marker
        Of the shard.
    staged, committed
        Units that have stage files, and a commit marker; None where it is not known.
    """
    units = [unit.unit_id for unit in plan.units]
    for unit_id in units:
        if staged is None or unit_id in staged:
            store.delete(f"{STAGE}/{unit_id}")
    if marker.explain_cost:
        gone = [unit_id for unit_id in units if committed is None or unit_id in committed]
        _delete_files(store, [f"{COMMITS}/{unit_id}.json" for unit_id in gone])


def _delete_files(store: Store, paths: Sequence[str]) -> None:
    """Remove files, with one request where an object store takes many; what is left is swept by the next run."""
    if store.local:
        for path in paths:
            store.delete(path)
    elif paths:
        with contextlib.suppress(FileNotFoundError):
            store.fs.rm([store.path(path) for path in paths])


def publish_annotations(
    store: Store, plan: ShardPlan, commits: Sequence[Commit], metadata: Mapping[str, object]
) -> FileState:
    """Write the ground truth that a shard publishes; what the file is.

    Parameters
    ----------
    store, plan
        The output and the shard.
    commits
        From `commits_of`.
    metadata
        Of the file.
    """
    path = f"{plan.partition.folder('annotations')}/{plan.shard}.parquet"
    with TableWriter(store, path, "annotations", metadata) as writer:
        for commit in commits:
            lengths = {row["input"]: row.get("length") for row in commit.sequences}
            for source in commit.sources:
                name = source["sequence_id"]
                if name not in plan.annotations:
                    continue
                try:
                    table = annotations_of(source, n_frames=lengths.get(name))
                except MediaError as error:
                    log.warning("%s has no annotations: %s", name, error)
                    continue
                table = table.append_column("sequence_id", pa.array([name] * table.num_rows, pa.string()))
                writer.write(table.select(SCHEMAS["annotations"].names))
    return writer.state
