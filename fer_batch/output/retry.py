"""Make inputs that failed, or of which a part was lost, new again."""

from __future__ import annotations

import pyarrow.compute as pc

from fer_batch.storage.manifest import COMMITS, PLANS, Ledger, is_begun
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store
from fer_batch.types import InputError

AGAIN = ["failed", "partial"]


def forget_failed(store: Store) -> int:
    """Withdraw the commits of units with failed or partial inputs, in decoding or in analysis; how many there were.

    Their rows stay until the next run replaces them. A pack of stills is done again whole.
    """
    if not is_begun(store):
        if store.exists("_train"):
            raise InputError(
                f"{store.uri!r} holds a training, and retry is for the outputs of fer-batch run: a failed input is "
                "tried again once its file changed, or by a training into another output"
            )
        raise InputError(f"{store.uri!r} is no output of fer-batch: it has no folder {COMMITS!r} or {PLANS!r}")
    ledger = Ledger(store)
    failed = {
        unit_id
        for unit_id, commit in ledger.each_commit(ledger.waiting)
        if any(row["status"] in AGAIN for row in commit.sequences)
    }
    analysed = read(store, "sequences", columns=["unit_id"], filters=pc.field("status").isin(AGAIN))
    failed |= set(analysed["unit_id"].to_pylist()) & ledger.committed
    ledger.withdraw(dict.fromkeys(failed))
    return len(failed)
