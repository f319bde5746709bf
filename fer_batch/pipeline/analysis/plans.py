"""Shards: which units share one file per table, decided once and written down before the first file.

A changed input is in a new shard; its rows in the old one go when the new one is made (`replaces`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fer_batch.pipeline.analysis.explained import delete_explained
from fer_batch.pipeline.analysis.sums import drop_sequences
from fer_batch.storage.manifest import PLANS, SHARD_TABLES, STAGE, Ledger, digest, shard_marker
from fer_batch.storage.markers import Commit, PlannedUnit, Row, ShardPlan
from fer_batch.storage.parquet import Partition, table_of, with_defaults
from fer_batch.storage.published import FileState, shard_prefix
from fer_batch.storage.store import Store
from fer_batch.storage.writing import TableWriter
from fer_batch.types import InputError


@dataclass(frozen=True, slots=True)  # there may be a million
class WaitingUnit:
    """What planning takes of a commit.

    Attributes
    ----------
    unit_id
    rows
        Sequence, identity of its input and input of each row.
    truth
        Version of the ground truth of each input; empty where it has none.
    """

    unit_id: str
    rows: tuple[tuple[str, ...], ...]
    truth: dict[str, str]

    @classmethod
    def of(cls, commit: Commit) -> WaitingUnit:
        """Of a commit."""
        same = {text: text for text in (commit.unit_id, *(row["sequence_id"] for row in commit.sequences))}
        keys = ("sequence_id", "identity", "input")
        # Equal texts are one text in memory: a video has its name twice, and its identity is that of its unit.
        rows = tuple(tuple(str(same.get(row[key], row[key])) for key in keys) for row in commit.sequences)
        current = {name for name, _, _ in rows}
        truth = {one["sequence_id"]: _truth_version(one) for one in commit.sources if one["sequence_id"] in current}
        return cls(commit.unit_id, rows, truth)


def unplanned(ledger: Ledger, partition: Partition, listed: set[str]) -> list[WaitingUnit]:
    """Commits of this partition that no plan holds yet, in the order of their inputs.

    Parameters
    ----------
    listed
        Identities of the inputs of the present listing; an input that changed after it was committed is left out.
    """
    waiting = (commit for _, commit in ledger.each_commit(ledger.waiting - ledger.planned_units()))
    found = (WaitingUnit.of(commit.taking(listed)) for commit in waiting if commit.partition == partition)
    return sorted((unit for unit in found if unit.rows), key=lambda unit: unit.rows[0][0])


def plan_shards(ledger: Ledger, partition: Partition, waiting: Sequence[WaitingUnit], size: int) -> list[str]:
    """Write plans for the units of `unplanned`; names of the new shards.

    Parameters
    ----------
    ledger
        Its plans are extended.
    size
        Units of a shard.
    """
    key = shard_prefix(partition.key)
    # Numbers rise over all partitions, so that they tell which plan is newer.
    number = max((plan.number for plan in ledger.plans.values()), default=-1) + 1
    owner = owners(ledger, partition)
    truth_owner = _truth_owners(ledger, partition.dataset)
    names = []
    for start in range(0, len(waiting), size):
        plan = _plan(ledger, f"{key}-{number:05d}", partition, waiting[start : start + size], owner, truth_owner)
        if not ledger.store.put_once(f"{PLANS}/{plan.shard}.json", plan.to_json()):
            raise InputError(
                f"another run is planning shards in {ledger.store.uri!r} at this moment; let it end, then run again"
            )
        number += 1
        ledger.plans[plan.shard] = plan
        owner.update(dict.fromkeys(plan.sequences, plan.shard))
        truth_owner.update({sequence: (plan.shard, version) for sequence, version in plan.annotations.items()})
        names.append(plan.shard)
    return names


def _plan(
    ledger: Ledger,
    name: str,
    partition: Partition,
    waiting: Sequence[WaitingUnit],
    owner: Mapping[str, str],
    truth_owner: Mapping[str, tuple[str, str]],
) -> ShardPlan:
    rows = [row for unit in waiting for row in unit.rows]
    sequences = tuple(sequence for sequence, _, _ in rows)
    annotated = {
        sequence: version
        for unit in waiting
        for sequence, version in unit.truth.items()
        if version and not _has_truth(ledger, partition, truth_owner.get(sequence), version)
    }
    members = [{identity: source for _, identity, source in unit.rows} for unit in waiting]
    return ShardPlan(
        shard=name,
        partition=partition,
        units=tuple(PlannedUnit(unit.unit_id, own) for unit, own in zip(waiting, members, strict=True)),
        sequences=sequences,
        faces={sequence: source for sequence, _, source in rows if sequence != source},
        annotations=annotated,
        replaces=_with_faces(ledger, _by_shard((sequence, owner.get(sequence)) for sequence in sequences)),
        replaces_annotations=_by_shard((sequence, truth_owner.get(sequence, (None,))[0]) for sequence in annotated),
    )


def _truth_version(source: Row) -> str:
    """Whether an input has ground truth, and which."""
    if not source["annotation_uris"] and not source["labels"]:
        return ""
    return digest([source["labels"], source["truth_version"]])


def _has_truth(ledger: Ledger, partition: Partition, owner: tuple[str, str] | None, version: str) -> bool:
    """Whether another shard publishes this ground truth; that of another model may never have been finished."""
    if owner is None or owner[1] != version:
        return False
    return owner[0] in ledger.shards or ledger.plans[owner[0]].partition == partition


def _by_age(ledger: Ledger) -> list[ShardPlan]:
    return sorted(ledger.plans.values(), key=lambda plan: plan.number)


def owners(ledger: Ledger, partition: Partition) -> dict[str, str]:
    """The shard that holds the rows of each sequence now."""
    found: dict[str, str] = {}
    for plan in _by_age(ledger):
        if plan.partition == partition:
            found.update(dict.fromkeys(plan.sequences, plan.shard))
    return found


def _truth_owners(ledger: Ledger, dataset: str) -> dict[str, tuple[str, str]]:
    """The shard that holds the annotations of each sequence now, of any model, and their version."""
    owners: dict[str, tuple[str, str]] = {}
    for plan in _by_age(ledger):
        if plan.partition.dataset == dataset:
            owners.update({sequence: (plan.shard, version) for sequence, version in plan.annotations.items()})
    return owners


def _by_shard(owned: Iterable[tuple[str, str | None]]) -> dict[str, tuple[str, ...]]:
    """Sequences that a shard holds already, by shard."""
    found: dict[str, tuple[str, ...]] = {}
    for sequence, shard in owned:
        if shard is not None:
            found[shard] = (*found.get(shard, ()), sequence)
    return found


def _with_faces(ledger: Ledger, replaced: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The same with all people of a replaced input: the new one may show fewer."""
    found = {}
    for shard, inputs in replaced.items():
        faces, known = ledger.plans[shard].faces, set(inputs)
        found[shard] = (*inputs, *(face for face, of in faces.items() if of in known and face not in known))
    return found


def superseded(ledger: Ledger, partition: Partition) -> dict[str, set[str]]:
    """Planned inputs whose rows a newer plan replaced: identities by unit.

    Such an input is not done: where it comes back as it was then, it is new.
    """
    owner = owners(ledger, partition)
    old: dict[str, set[str]] = {}
    for name, plan in ledger.plans.items():
        for unit in plan.units if plan.partition == partition else ():
            gone = {identity for identity, sequence in unit.members.items() if owner[sequence] != name}
            if gone:
                old[unit.unit_id] = gone
    return old


def without_replaced(ledger: Ledger, plans: Sequence[ShardPlan]) -> list[ShardPlan]:
    """These plans less what newer plans replace: an old plan may be published after a newer one was made."""
    gone: dict[str, set[str]] = {}
    unowned: dict[str, set[str]] = {}
    for newer in ledger.plans.values():
        for replaced, found in ((newer.replaces, gone), (newer.replaces_annotations, unowned)):
            for shard, sequences in replaced.items():
                found.setdefault(shard, set()).update(sequences)
    left = []
    for plan in plans:
        units = tuple(unit.without(gone.get(plan.shard, set())) for unit in plan.units)
        old = unowned.get(plan.shard, set())
        left.append(plan.holding(units, {k: v for k, v in plan.annotations.items() if k not in old}))
    return left


def drop_replaced(store: Store, partition: Partition, plans: Sequence[ShardPlan]) -> None:
    """Remove from older shards the rows that these plans replace; done twice it changes nothing."""
    for replaced, tables in (
        ([plan.replaces for plan in plans], SHARD_TABLES),
        ([plan.replaces_annotations for plan in plans], ("annotations",)),
    ):
        gone: dict[str, set[str]] = {}
        for one in replaced:
            for shard, sequences in one.items():
                gone.setdefault(shard, set()).update(sequences)
        for shard, names in gone.items():
            drop_from_shard(store, partition, shard, tables, names)
            if tables is SHARD_TABLES:
                drop_sequences(store, shard, names)


def drop_from_shard(store: Store, partition: Partition, shard: str, tables: Sequence[str], gone: set[str]) -> None:
    """Remove rows from the files of a shard; its marker says before that they change, and then what they are.

    Parameters
    ----------
    store, partition, shard
        Which; one that is not published stays as it is.
    tables
        Of which files.
    gone
        Sequences whose rows go.
    """
    marker = shard_marker(store, shard)
    if marker is None:
        return  # its files do not count, and another job may be writing them
    if marker.files:
        marker = marker.rewriting(tables).without(gone if tables is SHARD_TABLES else set())
        store.put(marker.path, marker.to_json())
    found = {table: filter_file(store, partition, table, shard, gone) for table in tables}
    if marker.files:
        files = {name: state for name, state in (marker.files | found).items() if name not in found or found[name]}
        store.put(marker.path, marker.model_copy(update={"files": files}).to_json())


def filter_file(
    store: Store, partition: Partition, table: str, shard: str, gone: set[str], record: bool = False
) -> FileState | None:
    """Write a shard's file of a table again without some sequences; what it is then, None where there is none.

    Parameters
    ----------
    store, partition, table, shard
        Which file.
    gone
        Sequences whose rows go.
    record
        Whether it has a record of its own, because no shard marker names it.
    """
    path = f"{partition.folder(table)}/{shard}.parquet"
    if not store.exists(path):
        return None
    with store.fs.open(store.path(path), "rb") as handle:
        file = pq.ParquetFile(handle)
        metadata = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
        value_set = pa.array(sorted(gone))
        with TableWriter(store, path, table, metadata, record) as writer:
            for batch in file.iter_batches(batch_size=1024):
                known = dict(zip(batch.schema.names, batch.columns, strict=True))
                rows = with_defaults(table, table_of(table, known))
                writer.write(rows.filter(pc.invert(pc.is_in(rows["sequence_id"], value_set=value_set))))
    return writer.state


def sweep_stage(ledger: Ledger) -> None:
    """Remove stage files and commits of units whose shard is published (a killed run may have left them)."""
    staged = set(ledger.store.names(STAGE))
    for name, marker in ledger.shards.items():
        delete_explained(ledger.store, ledger.plans[name], marker, staged, ledger.left)
