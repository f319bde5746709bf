"""What maps took is summed over the units of a partition, planned or not, and over nothing else."""

from fer_batch.output.explain_cost import explain_cost
from fer_batch.storage.manifest import COMMITS, PLANS, Ledger
from fer_batch.storage.markers import Commit, ExplainCost, PlannedUnit, ShardPlan
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store

MINE, OTHER = Partition("d", "m", "e-1"), Partition("d", "m", "e-2")


def commit(store, unit_id, partition, cost):
    row = {"sequence_id": unit_id, "identity": unit_id, "status": "done"}
    found = Commit(unit_id=unit_id, partition=partition, n_files=0, sequences=(row,), explain_cost=cost)
    store.put(f"{COMMITS}/{unit_id}.json", found.to_json())


def test_costs_are_summed_over_all_runs_of_a_partition(tmp_path):
    store = Store(str(tmp_path))
    assert explain_cost(Ledger(store), MINE) is None
    commit(store, "earlier", MINE, None)
    assert explain_cost(Ledger(store), MINE) is None, "a version that measured nothing"
    commit(store, "planned", MINE, ExplainCost(seconds=1.0, n_images=2, n_maps=2, first_seconds=4.0, n_first_images=1))
    commit(store, "waiting", MINE, ExplainCost(seconds=0.5, n_images=4, n_maps=8))
    commit(store, "another", OTHER, ExplainCost(seconds=9.0, n_images=9))
    plan = ShardPlan(
        shard="s-00000",
        partition=MINE,
        units=(PlannedUnit(unit_id="planned", members={"planned": "planned"}),),
        sequences=("planned",),
        annotations={},
        replaces={},
        replaces_annotations={},
    )
    store.put(f"{PLANS}/s-00000.json", plan.to_json())
    found = explain_cost(Ledger(store), MINE)
    assert (found.seconds, found.n_images, found.n_maps) == (1.5, 6, 10)
    assert (found.first_seconds, found.n_first_images, found.seconds_per_image) == (4.0, 1, 0.25)
    assert explain_cost(Ledger(store), OTHER).n_images == 9
