"""What the maps of a partition took to make, over all runs that made them."""

from __future__ import annotations

from fer_batch.storage.manifest import Ledger
from fer_batch.storage.markers import ExplainCost
from fer_batch.storage.parquet import Partition


def explain_cost(ledger: Ledger, partition: Partition) -> ExplainCost | None:
    """What the explainer took over the inputs of a partition; None where only earlier versions made its maps.

    It is recorded with each unit that is committed, and with the shard of the unit once that is published, so that a
    kill loses the time of what it loses, and nothing else.

    Parameters
    ----------
    ledger
        Of the output.
    partition
        Of the explanation.

    Returns
    -------
    ExplainCost or None
        `seconds` and `n_images` are without the first call in each process; `seconds_per_image` is their quotient.
    """
    published = [marker for marker in ledger.shards.values() if marker.partition == partition]
    costs = [marker.explain_cost for marker in published if marker.explain_cost]
    earlier = {unit for marker in published if not marker.explain_cost for unit in marker.units} & ledger.left
    for _, commit in ledger.each_commit(ledger.waiting | earlier):
        if commit.partition == partition and commit.explain_cost:
            costs.append(commit.explain_cost)
    return sum(costs, ExplainCost()) if costs else None
