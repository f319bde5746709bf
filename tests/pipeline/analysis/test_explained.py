"""Commits go with the stage files of their units when the marker of their shard is there, and nothing is lost by it."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from fer_batch.output.explain_cost import explain_cost
from fer_batch.output.retry import forget_failed
from fer_batch.output.status import status
from fer_batch.output.verify import verify
from fer_batch.pipeline.analysis.explained import commits_of, cost_of
from fer_batch.pipeline.analysis.plans import plan_shards, sweep_stage, unplanned
from fer_batch.pipeline.outcome import Outcome, count
from fer_batch.sources.fetch import StoreFault
from fer_batch.sources.listing import list_source
from fer_batch.storage.manifest import COMMITS, STAGE, Ledger
from fer_batch.storage.parquet import Partition
from fer_batch.types import InputError

NONE = np.zeros((0, 3), bool), {}


@pytest.fixture
def published(world, golden):
    """One input that is done, one that failed and one that was skipped, in one shard."""
    world.stage("a", *golden.make(np.random.default_rng(0)))
    world.stage("b", *NONE, status="failed")
    world.stage("c", *NONE, status="skipped")
    before = explain_cost(Ledger(world.store), world.partition)
    world.publish(size=16)
    return world, before


def test_what_a_commit_says_is_known_without_it(published):
    world, cost = published
    assert world.store.names(COMMITS) == world.store.names(STAGE) == []
    ledger = Ledger(world.store)
    assert ledger.committed == {"id-a", "id-b", "id-c"} and ledger.waiting == ledger.left == set()
    assert explain_cost(ledger, world.partition) == cost and cost.seconds == 1.5
    assert status(world.store)["units_committed_not_published"] == 0
    (marker,) = ledger.shards.values()
    assert marker.notable == {"b": ("failed", "broken"), "c": ("skipped", None)}
    assert forget_failed(world.store) == 1
    assert Ledger(world.store).committed == {"id-a", "id-c"}, "the failed input is new"
    world.stage("b", *NONE, status="skipped")
    world.publish()
    assert {row["sequence_id"]: row["status"] for row in world.rows("sequences")}["b"] == "skipped"
    assert world.store.names(COMMITS) == []


@pytest.mark.parametrize(
    ("sequence", "said"),
    [("a", ("failed", "broken")), ("b", ("failed", "torn")), ("c", ("done", None)), ("a", ("", None))],
)
def test_verify_names_a_marker_that_counts_a_sequence_otherwise_than_its_row(published, sequence, said):
    world, _ = published
    assert verify(world.store).findings == []
    (marker,) = Ledger(world.store).shards.values()
    notable = {**marker.notable, sequence: said}
    world.store.put(marker.path, marker.model_copy(update={"notable": notable}).to_json())
    (found,) = verify(world.store).findings
    assert found.shard == marker.shard and f"status or reason of {sequence} than {marker.path} says" in found.what


def test_commits_that_a_killed_run_left_are_swept_and_those_of_an_earlier_version_stay(published):
    world, _ = published
    world.stage("a", *NONE)
    assert Ledger(world.store).left == {"id-a"} and unplanned(Ledger(world.store), world.partition, {"id-a"}) == []
    sweep_stage(Ledger(world.store))
    assert world.store.names(COMMITS) == world.store.names(STAGE) == []
    world.stage("d", *NONE, status="skipped", cost=None)
    world.publish()
    sweep_stage(Ledger(world.store))
    assert world.store.names(COMMITS) == ["id-d.json"], "its marker does not say what its maps took"
    assert Ledger(world.store).left == {"id-d"} and explain_cost(Ledger(world.store), world.partition).seconds == 1.5


def test_a_shard_whose_commits_are_gone_is_no_fault_of_its_inputs_and_says_who_took_them(world):
    world.stage("a", *NONE)
    ledger = Ledger(world.store)
    (name,) = plan_shards(ledger, world.partition, unplanned(ledger, world.partition, {"id-a"}), 16)
    commit = world.store.read_bytes(f"{COMMITS}/id-a.json")
    world.store.delete(f"{COMMITS}/id-a.json")
    with pytest.raises(StoreFault, match=f"a commit of shard {name} is gone .* `fer-batch retry`"):
        commits_of(world.store, ledger.plans[name])
    world.store.put(f"{COMMITS}/id-a.json", commit)
    world.publish()
    with pytest.raises(StoreFault, match=f"another run has published shard {name}"):
        commits_of(world.store, ledger.plans[name])


def test_whoever_reads_passes_over_commits_that_another_run_published_meanwhile(world):
    other = dataclasses.replace(world, partition=Partition("d", "m-2", "e-1"))
    world.stage("a", *NONE)
    other.stage("a", *NONE, identity="other-a")
    ledger = Ledger(world.store)
    other.publish(listed={"other-a"})
    assert ledger.waiting == {"id-a", "other-a"}
    assert list(ledger.commits(ledger.waiting)) == ["id-a"]
    plan = SimpleNamespace(
        refs=[SimpleNamespace(sequence_id="a")], units=[], partition=world.partition, listed={"id-a"}
    )
    outcome = Outcome.of([plan])
    count(outcome, world.store, [plan], ledger)
    assert (outcome.found, outcome.done) == (1, 1)
    assert explain_cost(ledger, world.partition).seconds == 0.5
    assert [unit.unit_id for unit in unplanned(ledger, world.partition, {"id-a", "other-a"})] == ["id-a"]


def test_status_passes_over_what_another_run_plans_and_publishes_between_its_listings(world, monkeypatch):
    world.stage("a", *NONE)
    world.stage("b", *NONE)
    world.store.put("tables/.keep", b"")
    names, done = type(world.store).names, []

    def publishing(store, folder):
        if folder == STAGE and not done:
            done.append(folder)
            world.publish(listed={"id-a"})
        return names(store, folder)

    monkeypatch.setattr(type(world.store), "names", publishing)
    found = status(world.store)
    assert done and found["units_committed_not_published"] == 1


def test_the_cost_of_units_is_unknown_where_that_of_one_is(world):
    world.stage("a", *NONE)
    world.stage("b", *NONE, cost=None)
    commits = Ledger(world.store).commits({"id-a", "id-b"})
    assert cost_of(list(commits.values())) is None
    assert cost_of([commits["id-a"]]).seconds == 0.5 and cost_of([]).seconds == 0


def test_an_output_without_commits_below_a_source_is_still_known_as_one(published, tmp_path):
    world, _ = published
    world.store.put("report/face.jpg", b"x")
    with pytest.raises(InputError, match="no images in"):
        list_source("images", str(tmp_path), (), {})
