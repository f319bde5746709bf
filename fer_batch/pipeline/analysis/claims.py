"""Ground truth that two shards publish, because jobs of two models worked at once: only the newer shard keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fer_batch.pipeline.analysis.plans import drop_from_shard
from fer_batch.storage.manifest import PLANS, Ledger, load_all, shard_marker
from fer_batch.storage.marker_files import marker_names
from fer_batch.storage.markers import ShardPlan
from fer_batch.storage.store import Store


def settle_claims(ledger: Ledger, dataset: str) -> None:
    """Of ground truth that several published shards hold, leave only what is in the newest; nothing is opened else.

    At each start: whoever was to do it after its last shard (`drop_claimed_twice`) may have been killed before.

    Parameters
    ----------
    ledger
        Its older plans forget what they published.
    dataset
        Whose ground truth.
    """
    published = [plan for name, plan in ledger.plans.items() if name in ledger.shards]
    ledger.plans |= _leave_newest(ledger.store, [plan for plan in published if plan.partition.dataset == dataset])


def drop_claimed_twice(store: Store, ledger: Ledger, plans: Sequence[ShardPlan]) -> None:
    """The same of what another job published while this one did.

    A job takes up the ground truth of a shard that is planned and has no marker, because it may have been given up; it
    may as well be about to be published. Whoever ends last sees the markers of both.

    Parameters
    ----------
    store
        The output.
    ledger
        What was there when the plans were made, and they.
    plans
        Whose shards have their markers now.
    """
    unsure = {name for plan in plans for name in plan.replaces_annotations} - ledger.shards.keys()
    unsure |= set(marker_names(store, PLANS)) - ledger.plans.keys()
    claimed = {sequence for plan in plans for sequence in plan.annotations}
    others = [
        other
        for other in (load_all(store, ShardPlan, PLANS, unsure).values() if claimed else ())
        if other.partition.dataset == plans[0].partition.dataset
        and not claimed.isdisjoint(other.annotations)
        and shard_marker(store, other.shard)
    ]
    if others:
        _leave_newest(store, [*plans, *others])


def _leave_newest(store: Store, plans: Iterable[ShardPlan]) -> dict[str, ShardPlan]:
    """Take the ground truth that a newer of these plans holds from the older ones; what these say then, by shard.

    A plan forgets it after its file: killed in between, it is done again.
    """
    changed = {}
    for shard, names in _held_by_newer(plans).items():
        plan = load_all(store, ShardPlan, PLANS, [shard])[shard]
        drop_from_shard(store, plan.partition, shard, ("annotations",), names)
        changed[shard] = plan.less(set(), names)
        store.put(f"{PLANS}/{shard}.json", changed[shard].to_json())
    return changed


def _held_by_newer(plans: Iterable[ShardPlan]) -> Mapping[str, set[str]]:
    """Sequences whose ground truth a newer plan holds, by shard."""
    owner: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    for plan in sorted(plans, key=lambda plan: (plan.number, plan.shard)):
        for sequence, version in plan.annotations.items():
            if not version:  # `verify --repair` took it out
                continue
            if sequence in owner and owner[sequence] != plan.shard:
                found.setdefault(owner[sequence], set()).add(sequence)
            owner[sequence] = plan.shard
    return found
