"""What the maps of a partition took to make, over all runs that made them."""

from __future__ import annotations

from fer_batch.storage.manifest import Ledger
from fer_batch.storage.markers import ExplainCost
from fer_batch.storage.parquet import Partition


def explain_cost(ledger: Ledger, partition: Partition) -> ExplainCost | None:
    """What the explainer took over the inputs of a partition; None where only earlier versions made its maps.

    It is recorded with each unit that is committed, so that a kill loses the time of what it loses, and nothing else.

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
    planned = {unit.unit_id for plan in ledger.plans.values() if plan.partition == partition for unit in plan.units}
    unplanned = ledger.committed - ledger.planned_units()
    commits = ledger.commits((planned & ledger.committed) | unplanned).values()
    costs = [commit.explain_cost for commit in commits if commit.partition == partition and commit.explain_cost]
    return sum(costs, ExplainCost()) if costs else None
