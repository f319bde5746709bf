"""Taking inputs out of an output: their rows, their ground truth, their sums, and what says that they are done.

A plan of kind `pruned` names them first. It has no units, and replaces their rows in all older shards, as the plan of a
changed input does. Killed anywhere, the next prune or run goes on where it was, before it plans anything; no shard is
ever published of it, as earlier versions did, and one that they published goes. When all is done, the older plans no
longer name the inputs, and the plan goes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fer_batch.pipeline.analysis.plans import drop_replaced, filter_file
from fer_batch.pipeline.analysis.sums import SUMS
from fer_batch.storage.manifest import COMMITS, PLANS, SHARDS, Ledger
from fer_batch.storage.markers import ShardPlan
from fer_batch.storage.packed import forget_packed
from fer_batch.storage.parquet import Partition
from fer_batch.storage.published import shard_prefix, withdraw_file
from fer_batch.storage.tables import PARTITIONS, SCHEMAS
from fer_batch.types import InputError

OF_STAGES = ("cluster_looks", "look_prototypes", "episodes")  # files of a shard that stages over the partition write


def held_inputs(ledger: Ledger, partition: Partition) -> dict[str, set[str]]:
    """Inputs that plans of a partition hold, each with its sequences: itself, and people beside the first."""
    found: dict[str, set[str]] = {}
    for plan in ledger.plans.values():
        if plan.partition == partition and not plan.pruned:
            for sequence in plan.sequences:
                found.setdefault(plan.faces.get(sequence, sequence), set()).add(sequence)
    return found


def waiting_units(ledger: Ledger, partition: Partition) -> dict[str, set[str]]:
    """Units of a partition that are explained and in no plan yet, with their inputs."""
    commits = ledger.commits(ledger.committed - ledger.planned_units())
    return {
        unit_id: {row["input"] for row in commit.sequences}
        for unit_id, commit in commits.items()
        if commit.partition == partition
    }


def plan_pruning(ledger: Ledger, partition: Partition, gone: Collection[str], truth: Collection[str]) -> ShardPlan:
    """Write the plan that names inputs to be taken out.

    Parameters
    ----------
    ledger
        Its plans are extended.
    partition
        Whose rows go.
    gone
        Inputs.
    truth
        Those of them whose annotations go: no other partition of the data set has them.

    Raises
    ------
    InputError
        If another process plans at this moment.
    """
    held = held_inputs(ledger, partition)
    sequences = {sequence for name in gone for sequence in held.get(name, ())}
    number = max((plan.number for plan in ledger.plans.values()), default=-1) + 1
    of_rows = {name: plan.sequences for name, plan in ledger.plans.items() if plan.partition == partition}
    of_truth = {
        name: plan.annotations for name, plan in ledger.plans.items() if plan.partition.dataset == partition.dataset
    }
    plan = ShardPlan(
        shard=f"{shard_prefix(partition.key)}-{number:05d}",
        partition=partition,
        units=(),
        sequences=tuple(sorted(sequences)),
        annotations={},
        replaces=_holding(of_rows, sequences),
        replaces_annotations=_holding(of_truth, set(truth)),
        pruned=True,
    )
    if not ledger.store.put_once(f"{PLANS}/{plan.shard}.json", plan.to_json()):
        raise InputError(f"a run plans shards in {ledger.store.uri!r} at this moment; let it end, then prune again")
    ledger.plans[plan.shard] = plan
    return plan


def _holding(plans: Mapping[str, Collection[str]], wanted: set[str]) -> dict[str, tuple[str, ...]]:
    """What each plan holds of some sequences."""
    found = {name: tuple(sorted(wanted.intersection(own))) for name, own in plans.items()}
    return {name: own for name, own in found.items() if own}


def begun_pruning(ledger: Ledger) -> list[ShardPlan]:
    """Plans of a prune that was killed, also where a run of an earlier version published a shard of them."""
    return [plan for plan in ledger.plans.values() if plan.pruned]


def carry_out(ledger: Ledger, plan: ShardPlan) -> None:
    """Do what the plan of a prune says, and remove it; done twice it changes nothing.

    Parameters
    ----------
    ledger
        Its older plans forget the inputs.
    plan
        From `plan_pruning` or `begun_pruning`.
    """
    store, partition, gone = ledger.store, plan.partition, set(plan.sequences)
    for shard, names in plan.replaces.items():  # before the rows that they refer to
        for table in OF_STAGES:
            filter_file(store, partition, table, shard, set(names), record=True)
    drop_replaced(store, partition, [plan])
    older = [own for own in ledger.plans.values() if own.number < plan.number and not own.pruned]
    ledger.withdraw(
        {
            unit.unit_id: members
            for own in older
            if own.partition == partition
            for unit in own.units
            if (members := {identity for identity, name in unit.members.items() if name in gone})
        }
    )
    truth = {name for names in plan.replaces_annotations.values() for name in names}
    for name in [own.shard for own in older]:
        own = ledger.plans[name]
        same_data = own.partition.dataset == partition.dataset  # another may have an input of that name
        left = own.less(gone if own.partition == partition else set(), truth if same_data else set())
        if left != own:
            ledger.plans[name] = left
            store.put(f"{PLANS}/{name}.json", left.to_json())
    for folder in (PLANS, SHARDS, COMMITS):  # copies of what they were keep the names
        forget_packed(store, folder)
    _remove_shard(ledger, plan)


def _remove_shard(ledger: Ledger, plan: ShardPlan) -> None:
    """Remove a plan, with the empty shard that an earlier version published of it: marker, then files, then plan."""
    store, key = ledger.store, plan.partition.key
    store.delete(f"{SHARDS}/{plan.shard}.json")
    ledger.shards.pop(plan.shard, None)
    tables = [name for name in SCHEMAS if set(PARTITIONS[name]) <= key.keys()]
    for folder in (*map(plan.partition.folder, tables), SUMS):
        withdraw_file(store, f"{folder}/{plan.shard}.parquet")
    store.delete(f"{PLANS}/{plan.shard}.json")
    del ledger.plans[plan.shard]


def withdraw_waiting(ledger: Ledger, partition: Partition, gone: Collection[str]) -> None:
    """Forget units that wait for their tables and have no other inputs than these."""
    known = set(gone)
    units = {unit: None for unit, inputs in waiting_units(ledger, partition).items() if inputs <= known}
    if units:
        forget_packed(ledger.store, COMMITS)  # first: killed in between, they are still known
    ledger.withdraw(units)
