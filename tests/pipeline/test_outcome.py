"""Inputs by status, from the published table and from commits that wait for theirs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from fer_batch.pipeline.analysis.plans import plan_shards, unplanned
from fer_batch.pipeline.outcome import Outcome, count, published_rows
from fer_batch.storage.manifest import Ledger


def plan_of(world, names):
    refs = [SimpleNamespace(sequence_id=name) for name in names]
    return SimpleNamespace(refs=refs, units=[], partition=world.partition, listed={f"id-{name}" for name in names})


def test_every_input_is_counted_once_published_or_committed(world, golden, capsys):
    shown = golden.make(np.random.default_rng(0))
    none = np.zeros((0, 3), bool), {}
    world.stage("published", *shown)
    world.stage("broken", *none, status="failed")
    world.publish()
    world.stage("committed", *shown, status="partial")
    plan = plan_of(world, ["published", "broken", "committed", "new"])
    outcome = Outcome.of([plan])
    count(outcome, world.store, [plan])
    assert outcome.counts() | {"found": 3} == outcome.counts()
    assert (outcome.done, outcome.partial, outcome.failed, outcome.skipped) == (1, 1, 1, 0)
    assert outcome.failures == [("broken", "broken")]
    assert outcome.partials == [("committed", "broken")]
    assert outcome.exit_code == 3
    assert "1 inputs wait for a run whose phases include explain" in capsys.readouterr().err


def rows_by_shard(world, plan):
    ledger = Ledger(world.store)
    found = {name: (row["status"], row["reason"]) for name, row in published_rows(*plan, ledger).items()}
    shards = {name: one.model_copy(update={"notable": None}) for name, one in ledger.shards.items()}
    ledger.shards = shards  # as an earlier version left them: the table is read
    return found, {name: (row["status"], row["reason"]) for name, row in published_rows(*plan, ledger).items()}


def test_markers_say_of_every_row_what_the_table_says_and_no_table_is_opened(world, golden):
    none = np.zeros((0, 3), bool), {}
    for number, status in enumerate(("done", "failed", "partial", "skipped", "done")):
        shown = golden.make(np.random.default_rng(number)) if status in ("done", "partial") else none
        world.stage(f"{number}", *shown, status=status)
    ledger = Ledger(world.store)
    plan_shards(ledger, world.partition, unplanned(ledger, world.partition, {f"id-{n}" for n in range(5)}), 2)
    Ledger(world.store).withdraw({"id-1": None})  # planned, and withdrawn before its shard is published
    world.publish()
    where = world.store, world.partition
    by_marker, by_table = rows_by_shard(world, where)
    assert by_marker == by_table and sorted(by_table) == ["0", "2", "3", "4"]
    world.stage("0", *none, identity="new-0", status="failed")
    world.publish(listed={"new-0", *(f"id-{n}" for n in range(2, 5))})
    by_marker, by_table = rows_by_shard(world, where)
    assert by_marker == by_table and by_table["0"] == ("failed", "broken")
    world.analysis_id = "again"
    world.publish()
    assert rows_by_shard(world, where) == (by_table, by_table)
    ledger = Ledger(world.store)
    world.store.delete("tables")
    assert len(published_rows(*where, ledger)) == 4


def test_an_input_has_failed_where_one_of_its_people_has(world):
    none = np.zeros((0, 3), bool), {}
    world.stage("a.jpg", *none)
    world.stage("a.jpg#face2", *none, status="failed")
    plan = plan_of(world, ["a.jpg"])
    plan.listed.add("id-a.jpg#face2")
    outcome = Outcome.of([plan])
    count(outcome, world.store, [plan])
    assert (outcome.done, outcome.failed) == (0, 1)


def test_of_several_explanations_an_input_has_the_worst_status_and_waits_for_the_last(world, capsys):
    none = np.zeros((0, 3), bool), {}
    other = replace(world.partition, explain="other-1")
    world.stage("good", *none)
    world.stage("bad", *none)
    world.stage("early", *none)
    first, world.partition = world.partition, other
    world.stage("good", *none, identity="good-2")
    world.stage("bad", *none, identity="bad-2", status="failed")
    plans = [plan_of(world, ["good", "bad", "early", "new"]) for _ in range(2)]
    plans[0].partition, plans[1].listed = first, {"good-2", "bad-2"}
    outcome = Outcome.of(plans)
    own = count(outcome, world.store, plans)
    assert (outcome.found, outcome.done, outcome.failed, outcome.exit_code) == (2, 1, 1, 3)
    assert [(one.found, one.done, one.failed) for one in own] == [(3, 3, 0), (2, 1, 1)]
    assert capsys.readouterr().err.count("2 inputs wait for a run whose phases include explain") == 1
