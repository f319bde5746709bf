"""Make failed inputs new again."""

from __future__ import annotations

from fer_batch.storage.manifest import COMMITS, PLANS, STAGE, Ledger, dump
from fer_batch.storage.store import Store
from fer_batch.types import InputError


def forget_failed(store: Store) -> int:
    """Withdraw the commits of units with failed inputs; how many there were.

    Their rows stay until the next run replaces them. A pack of stills is done again whole.
    """
    if not store.exists(COMMITS):
        raise InputError(f"{store.uri!r} is no output of fer-batch: it has no folder {COMMITS!r}")
    ledger = Ledger(store)
    failed = {
        unit_id
        for unit_id, commit in ledger.commits(ledger.committed).items()
        if any(row["status"] == "failed" for row in commit["sequences"])
    }
    # The plan lets the unit go before its commit does: killed in between, the unit is published again, not lost.
    for name, plan in ledger.plans.items():
        kept = [unit for unit in plan["units"] if unit["unit_id"] not in failed]
        if len(kept) < len(plan["units"]):
            store.put(f"{PLANS}/{name}.json", dump({**plan, "units": kept}))
    for unit_id in failed:
        store.delete(f"{STAGE}/{unit_id}")
        store.delete(f"{COMMITS}/{unit_id}.json")
    return len(failed)
