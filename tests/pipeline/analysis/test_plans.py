"""Rows are there once: whatever changed, came back, was killed, or is shared."""

import dataclasses
import io
import json
import posixpath
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from fer_batch.output.query import connect
from fer_batch.output.reader import PartitionReader
from fer_batch.output.retry import forget_failed
from fer_batch.output.status import status, status_text
from fer_batch.output.verify import verify
from fer_batch.pipeline import phases
from fer_batch.pipeline.analysis import plans as plans_module
from fer_batch.pipeline.analysis.claims import drop_claimed_twice, settle_claims
from fer_batch.pipeline.analysis.plans import (
    drop_replaced,
    plan_shards,
    superseded,
    sweep_stage,
    unplanned,
    without_replaced,
)
from fer_batch.pipeline.analysis.shard import shard_task
from fer_batch.storage.manifest import COMMITS, PLANS, SHARDS, STAGE, Ledger, dump, stage_file
from fer_batch.storage.parquet import Partition, encode
from fer_batch.types import STATUSES, InputError, face_id, input_id


@pytest.fixture
def small(golden):
    """Activity and maps of four frames; `n` makes them differ."""

    def make(n=0):
        active, maps = golden.make(np.random.default_rng(n))
        frames = [2, 4, 6, 12]
        return active[frames], {(i, a): maps[f, a] for i, f in enumerate(frames) for a in range(3) if (f, a) in maps}

    return make


def sequences(world):
    return [(row["sequence_id"], row["unit_id"]) for row in world.rows("sequences")]


def only_once(world):
    keys = [(row["sequence_id"], row["frame_index"]) for row in world.rows("frames")]
    assert len(keys) == len(set(keys)), "no frame twice"
    ids = [row["sequence_id"] for row in world.rows("sequences")]
    assert len(ids) == len(set(ids)), "no sequence twice"
    with_rows = {row["sequence_id"] for row in world.rows("detections")}
    assert with_rows <= set(ids)


def test_plans_hold_units_in_the_order_of_their_inputs(world, small):
    for name in "cabde":
        world.stage(name, *small())
    ledger = Ledger(world.store)
    commits = unplanned(ledger, world.partition, {f"id-{name}" for name in "abcd"})
    names = plan_shards(ledger, world.partition, commits, 3)
    plans = [json.loads(world.store.read_bytes(f"{PLANS}/{name}.json")) for name in names]
    assert [plan["sequences"] for plan in plans] == [["a", "b", "c"], ["d"]]
    assert unplanned(Ledger(world.store), world.partition, {"id-a", "id-e"})[0].unit_id == "id-e"


def test_two_runs_that_plan_at_once_do_not_publish_twice(world, small):
    world.stage("a", *small())
    mine, theirs = Ledger(world.store), Ledger(world.store)
    plan_shards(theirs, world.partition, unplanned(theirs, world.partition, {"id-a"}), 2)
    with pytest.raises(InputError, match="another run"):
        plan_shards(mine, world.partition, unplanned(mine, world.partition, {"id-a"}), 2)


def test_a_changed_input_replaces_its_rows_and_no_others(world, small):
    world.stage("a", *small())
    world.stage("b", *small())
    world.publish()
    before = [row for row in world.rows("relevance") if row["sequence_id"] == "b"]
    world.stage("a", *small(1), identity="a2")
    world.publish(listed={"a2", "id-b"})
    assert sequences(world) == [("a", "a2"), ("b", "id-b")]
    assert [row for row in world.rows("relevance") if row["sequence_id"] == "b"] == before
    only_once(world)


def test_a_file_of_a_version_with_fewer_columns_is_read_and_filtered(world, small):
    for name in "ab":
        world.stage(name, *small())
    world.publish()
    (file,) = (entry.path for entry in world.store.walk("tables/prototypes"))
    path = f"tables/prototypes/{file}"
    old = pq.read_table(io.BytesIO(world.store.read_bytes(path))).drop_columns("n_clustered")
    world.store.put(path, encode(old))
    reader = PartitionReader(world.store, world.partition).shard(posixpath.basename(file)).of("a")
    assert reader("prototypes", ["cluster", "n_clustered"]).to_pylist() == [{"cluster": "A", "n_clustered": None}] * 3
    for listed in ({"id-a", "id-b", "id-c"}, {"a2", "id-b", "id-c"}):
        world.stage("c", *small())
        world.publish(listed)
        known = connect(world.store).execute("SELECT sequence_id, n_clustered FROM prototypes ORDER BY ALL").fetchall()
        found = {name: [n for own, n in known if own == name] for name in "abc"}
        assert found == {"a": [2, 3, 4] if "a2" in listed else [None] * 3, "b": [None] * 3, "c": [2, 3, 4]}
        world.stage("a", *small(1), identity="a2")


def stage_people(world, name, identity, *people):
    """One unit that holds an input and its further people."""
    commits = []
    for number, (active, maps) in enumerate(people, 1):
        own = name if number == 1 else f"{name}#face{number}"
        commits.append(world.stage(own, active, maps, identity=identity, unit_id=f"{identity}-{number}"))
    rows, n_files = [], 0
    for commit in commits:
        for index in range(commit["n_files"]):
            data = world.store.read_bytes(stage_file(commit["unit_id"], index))
            world.store.put(stage_file(identity, n_files), data)
            n_files += 1
        rows += [{**row, "input": name, "unit_id": identity} for row in commit["sequences"]]
        world.store.delete(f"{COMMITS}/{commit['unit_id']}.json")
    whole = {**commits[0], "unit_id": identity, "n_files": n_files, "sequences": rows}
    world.store.put(f"{COMMITS}/{identity}.json", dump(whole))


def test_people_of_an_input_come_and_go_with_it(world, small):
    stage_people(world, "a", "a1", small(0), small(1), small(2))
    world.stage("b", *small(3))
    world.publish()
    assert [row["sequence_id"] for row in world.rows("sequences")] == ["a", "a#face2", "a#face3", "b"]
    (found,) = status(world.store)["partitions"]
    assert (found["done"], found["failed"], found["n_sequences"]) == (2, 0, 4)  # two inputs
    only_once(world)
    stage_people(world, "a", "a2", small(4), small(5))
    world.publish(listed={"a2", "id-b"})
    assert sequences(world) == [("a", "a2"), ("a#face2", "a2"), ("b", "id-b")]
    assert {row["sequence_id"] for row in world.rows("relevance")} == {"a", "a#face2", "b"}
    only_once(world)
    world.stage("a", *small(6), identity="a3")
    world.publish(listed={"a3", "id-b"})
    assert sequences(world) == [("a", "a3"), ("b", "id-b")]
    only_once(world)


def test_people_of_an_input_that_changed_before_its_tables_were_written_are_never_seen(world, small):
    stage_people(world, "a", "a1", small(0), small(1))
    ledger = Ledger(world.store)
    plan_shards(ledger, world.partition, unplanned(ledger, world.partition, {"a1"}), 2)
    world.stage("a", *small(4), identity="a2")
    world.publish(listed={"a2"})
    assert sequences(world) == [("a", "a2")]
    only_once(world)


def test_a_sequence_is_of_the_input_before_its_face():
    known = {"a.mp4", "odd#face2"}
    assert input_id("a.mp4#face3", known) == "a.mp4"
    assert input_id("a.mp4", known) == "a.mp4"
    assert input_id("odd#face2", known) == "odd#face2"  # its own name, and no input is called odd
    assert input_id("odd#face2#face4", known) == "odd#face2"
    assert face_id("a.mp4", 0) == "a.mp4"
    assert input_id(face_id("a.mp4", 1), known) == "a.mp4"


def test_a_change_between_plan_and_tables_leaves_the_new_rows_alone(world, small):
    """The old version is planned and its run is killed; the next run publishes both shards, and old rows must not."""
    for name in "ab":
        world.stage(name, *small(), annotations="old")
    ledger = Ledger(world.store)
    plan_shards(ledger, world.partition, unplanned(ledger, world.partition, {"id-a", "id-b"}), 2)
    world.stage("a", *small(1), identity="a2", annotations="newer")
    world.publish(listed={"a2", "id-b"})
    assert sequences(world) == [("a", "a2"), ("b", "id-b")]
    only_once(world)
    assert [(row["sequence_id"], row["intensity"]) for row in world.rows("annotations")] == [("a", 5.0), ("b", 3.0)]


def test_an_input_that_is_again_what_it_was_is_new(world, small):
    world.stage("a", *small())
    world.publish()
    world.stage("a", *small(1), identity="a2")
    world.publish(listed={"a2"})
    ledger = Ledger(world.store)
    assert superseded(ledger, world.partition) == {"id-a": {"id-a"}}
    ledger.withdraw({"id-a": {"id-a"}})
    assert "id-a" not in Ledger(world.store).committed
    assert superseded(Ledger(world.store), world.partition) == {}
    world.stage("a", *small())
    world.publish(listed={"id-a"})
    assert sequences(world) == [("a", "id-a")]
    assert superseded(Ledger(world.store), world.partition) == {"a2": {"a2"}}
    only_once(world)


def test_a_unit_whose_withdrawal_was_killed_is_new(world, small, monkeypatch):
    world.stage("a", *small(), cost=None)  # an earlier version explained it: its commit stays
    world.publish()
    ledger = Ledger(world.store)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(world.store), "delete", die)
        with pytest.raises(KeyboardInterrupt):
            ledger.withdraw({"id-a": None})
    assert world.store.names(COMMITS) == ["id-a.json"], "the marker is still there"
    ledger = Ledger(world.store)
    assert ledger.committed == set()
    assert unplanned(ledger, world.partition, {"id-a"}) == [], "and is not believed, for its stage files are gone"


def test_retry_takes_up_what_failed_in_decoding_and_in_analysis(world, small):
    world.stage("a", *small())
    world.stage("b", *small(), status="failed")
    world.spray = {"rule": "nonsense"}
    world.publish()
    status = {row["sequence_id"]: row["status"] for row in world.rows("sequences")}
    assert status == {"a": "failed", "b": "failed"}
    assert "nonsense" in world.rows("sequences")[0]["reason"]
    assert forget_failed(world.store) == 2
    assert Ledger(world.store).committed == set()
    world.spray = {}
    world.stage("a", *small())
    world.stage("b", *small())
    world.publish()
    assert {row["status"] for row in world.rows("sequences")} == {"done"}
    only_once(world)
    with pytest.raises(InputError, match="no output"):
        forget_failed(type(world.store)(world.store.uri + "/nothing"))


def test_partial_inputs_have_rows_in_every_table_are_counted_and_are_taken_up_by_retry(world, small):
    world.stage("a", *small())
    world.publish()
    expected = world.tables()
    del expected["sums"]  # of another shard, by its name
    world.stage("a", *small(), identity="id-cut", status="partial")
    world.publish(listed={"id-cut"})
    told = [{**row, "status": "partial", "reason": "broken", "unit_id": "id-cut"} for row in expected.pop("sequences")]
    assert world.rows("sequences") == told
    assert {name: rows for name, rows in world.tables().items() if name in expected} == expected
    assert expected["stages"]
    assert expected["relevance"]
    (found,) = status(world.store)["partitions"]
    assert [found[name] for name in STATUSES] == [0, 1, 0, 0]
    assert found["partials"] == {"a": "broken"}
    assert "0 done, 1 partial, 0 failed, 0 skipped" in status_text(status(world.store))
    world.analysis_id = "another"  # from the published tables, without stage files
    world.publish(listed={"id-cut"})
    assert len(world.rows("stages")) == len(expected["stages"])
    assert forget_failed(world.store) == 1
    assert "id-cut" not in Ledger(world.store).committed


def test_models_share_annotations_and_keep_their_own_rows(world, small):
    other = dataclasses.replace(world, partition=Partition("d", "m-2", "e-1"))
    world.stage("a", *small(), annotations="v1")
    world.publish()
    other.stage("a", *small(1), identity="other-a", annotations="v1")
    other.publish(listed={"other-a"})
    assert len(world.rows("annotations")) == 1
    assert sequences(world) == [("a", "id-a")]
    assert sequences(other) == [("a", "other-a")]
    other.stage("a", *small(1), identity="other-a2", annotations="v22")
    other.publish(listed={"other-a2"})
    assert [row["intensity"] for row in world.rows("annotations")] == [3.0], "the newer ground truth replaces"
    assert sequences(world) == [("a", "id-a")]


def test_annotations_of_a_run_that_was_given_up_are_not_lost(world, small):
    world.stage("a", *small(), annotations="v1")
    ledger = Ledger(world.store)
    plan_shards(ledger, world.partition, unplanned(ledger, world.partition, {"id-a"}), 2)
    other = dataclasses.replace(world, partition=Partition("d", "m-2", "e-1"))
    other.stage("a", *small(1), identity="other-a", annotations="v1")
    other.publish(listed={"other-a"})
    assert len(world.rows("annotations")) == 1
    world.publish()
    assert len(world.rows("annotations")) == 1, "and are there once when it is taken up again"


class Job:
    """A job of one clip with ground truth, a step at a time: it looks, plans, publishes, and looks again."""

    def __init__(self, world, name, small, n):
        self.world = dataclasses.replace(world, partition=Partition("d", name, "e-1"))
        self.world.stage("a", *small(n), identity=f"{name}-a", annotations="v1")
        self.listed = {f"{name}-a"}

    def look(self):
        self.ledger = Ledger(self.world.store)

    def plan(self, size=2):
        waiting = unplanned(self.ledger, self.world.partition, self.listed)
        names = plan_shards(self.ledger, self.world.partition, waiting, size)
        self.plans = without_replaced(self.ledger, [self.ledger.plans[name] for name in names])
        drop_replaced(self.world.store, self.world.partition, self.plans)

    def publish(self):
        for plan in self.plans:
            shard_task(plan, self.world.options())

    def settle(self):
        drop_claimed_twice(self.world.store, self.ledger, self.plans)


STEPS = {"l": Job.look, "p": Job.plan, "d": Job.publish, "s": Job.settle}  # of the first job; of the other in capitals


@pytest.mark.parametrize("order", ["lpLPDSds", "lpLPdsDS", "lpLPDdsS", "lLpPdsDS", "lLPpDdSs", "LlPpdDsS"])
def test_two_jobs_at_once_publish_the_ground_truth_of_both_once(world, small, order):
    jobs = Job(world, "m-1", small, 0), Job(world, "m-2", small, 1)
    for step in order:
        STEPS[step.lower()](jobs[step.isupper()])
    assert len(world.rows("annotations")) == 1
    assert verify(world.store).findings == []
    newer = Job(world, "m-3", small, 2)
    newer.world.stage("a", *small(2), identity="m-3-a", annotations="v22")
    for step in "lpds":
        STEPS[step](newer)
    assert [row["intensity"] for row in world.rows("annotations")] == [3.0], "the newer ground truth replaces"


def annotated(world):
    return sorted(row["sequence_id"] for row in world.rows("annotations"))


@pytest.fixture
def stopped(world, small):
    """Two jobs that planned the ground truth of two clips at once; the second was stopped between its two shards."""
    first, second = Job(world, "m-1", small, 0), Job(world, "m-2", small, 1)
    for n, job in enumerate((first, second)):
        job.world.stage("b", *small(n), identity=f"m-{n + 1}-b", annotations="v1")
        job.listed.add(f"m-{n + 1}-b")
        job.look()
        job.plan(size=1)
    first.publish()
    first.settle()
    second.plans = second.plans[:1]
    second.publish()
    return world, second.world


def run_again(world, monkeypatch):
    """Phase 2 of a job as it is, with what it takes from a whole job given."""
    monkeypatch.setattr(phases, "stale_shards", lambda ledger, *_: sorted(ledger.plans.keys() - ledger.shards.keys()))
    monkeypatch.setattr(phases, "shard_options", lambda job: world.options())
    config = SimpleNamespace(resources=SimpleNamespace(shard_units=2, scheduler="threads"))
    plan = SimpleNamespace(partition=world.partition, listed=set())
    phases.publish_prototypes(SimpleNamespace(config=config, store=world.store, plan=plan), 1)


def test_a_job_that_was_stopped_before_it_settled_ground_truth_does_so_when_it_starts_again(stopped, monkeypatch):
    world, second = stopped
    assert annotated(world) == ["a", "a", "b"]
    (found,) = verify(world.store).findings
    assert "annotations" in found.path and "still has those of a, which a newer shard has" in found.what
    run_again(second, monkeypatch)
    assert annotated(world) == ["a", "b"] and verify(world.store).findings == []


def test_a_job_that_was_stopped_between_its_last_shard_and_settling_does_so_though_nothing_waits(stopped, monkeypatch):
    world, second = stopped
    second.publish()  # without what phase 2 does after it
    run_again(second, monkeypatch)
    assert annotated(world) == ["a", "b"] and verify(world.store).findings == []


@pytest.mark.parametrize("at", ["filter_file", "put"])
def test_ground_truth_is_settled_though_settling_was_killed_and_only_once(stopped, monkeypatch, at):
    world, second = stopped
    second.publish()

    def killed(*args):
        if at == "filter_file" or args[1].startswith(PLANS):
            raise KeyboardInterrupt
        return put(*args)

    put = type(world.store).put
    ledger = Ledger(world.store)
    with monkeypatch.context() as patch:
        patch.setattr(plans_module if at == "filter_file" else type(world.store), at, killed)
        with pytest.raises(KeyboardInterrupt):
            settle_claims(ledger, "d")
    settle_claims(Ledger(world.store), "d")
    assert annotated(world) == ["a", "b"] and verify(world.store).findings == []
    assert all(all(marker.files.values()) for marker in Ledger(world.store).shards.values())
    monkeypatch.setattr(plans_module, "filter_file", lambda *args: pytest.fail("a file was opened"))
    monkeypatch.setattr(type(world.store), "put", lambda *args: pytest.fail("something was written"))
    settle_claims(Ledger(world.store), "d")


def test_datasets_keep_apart(world, small):
    world.stage("a", *small(), annotations="v1")
    world.publish()
    other = dataclasses.replace(world, partition=Partition("e", "m-1", "e-1"))
    other.stage("a", *small(), identity="e-a", annotations="v1")
    other.publish(listed={"e-a"})
    paths = sorted(entry.path.split("/")[0] for entry in world.store.walk("tables/annotations"))
    assert paths == ["dataset=d", "dataset=e"]
    assert sequences(world) == [("a", "id-a")]


def test_stage_files_of_published_shards_are_swept_and_no_others(world, small):
    commit = world.stage("a", *small())
    world.publish()
    assert world.store.names(STAGE) == []
    world.stage("b", *small())
    world.store.put(f"{STAGE}/{commit['unit_id']}/00000.parquet", b"left by a killed run")
    sweep_stage(Ledger(world.store))
    assert world.store.names(STAGE) == ["id-b"]


def test_a_pack_loses_only_the_input_that_came_back(world, small):
    active, maps = small()
    world.stage("a.jpg", active[:1], {k: v for k, v in maps.items() if k[0] == 0}, kind="still", unit_id="pack-1")
    path = f"{COMMITS}/pack-1.json"
    commit = json.loads(world.store.read_bytes(path))
    skipped = {**commit["sequences"][0], "sequence_id": "b.jpg", "identity": "id-b", "status": "skipped"}
    commit["sequences"].append(skipped)
    world.store.put(path, json.dumps(commit).encode())
    world.publish()
    ledger = Ledger(world.store)
    assert ledger.pack_members() == {"id-a.jpg", "id-b"}
    ledger.withdraw({"pack-1": {"id-b"}})
    assert Ledger(world.store).pack_members() == {"id-a.jpg"}
    assert world.store.names(SHARDS) == world.store.names(PLANS)


def test_what_the_message_on_a_broken_plan_advises_makes_the_shard_again(world, small):
    for name in "abc":
        world.stage(name, *small())
    world.publish(size=1)
    before = {table: world.rows(table) for table in ("sequences", "detections", "relevance")}
    first = min(Ledger(world.store).plans)
    world.store.put(f"{PLANS}/{first}.json", b'{"shard": ')
    with pytest.raises(InputError, match="is no shard plan"):
        Ledger(world.store)
    world.store.delete(f"{PLANS}/{first}.json")
    world.store.delete(f"{SHARDS}/{first}.json")
    for entry in list(world.store.walk("tables")):
        if entry.path.endswith(f"{first}.parquet"):
            world.store.delete(f"tables/{entry.path}")
    assert Ledger(world.store).committed == {"id-b", "id-c"}, "its input is new"
    world.stage("a", *small())
    world.publish(size=1)
    assert {table: world.rows(table) for table in before} == before
    assert sorted(plan.number for plan in Ledger(world.store).plans.values()) == [1, 2, 3]
