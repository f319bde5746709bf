"""Kill phase 2 between any two writes and run it again: the same tables."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from fer_batch.pipeline.analysis import shard as per_sequence
from fer_batch.pipeline.analysis.plans import plan_shards, sweep_stage, unplanned
from fer_batch.pipeline.analysis.shard import publish_shards, shard_task
from fer_batch.sources.fetch import StoreFault
from fer_batch.storage.manifest import COMMITS, SHARD_TABLES, STAGE, Ledger
from fer_batch.storage.store import Store

WRITES = ("put", "put_file", "put_once", "delete")


class KilledError(BaseException):
    """Stands for SIGKILL: nobody catches it."""


@pytest.fixture
def dies(monkeypatch):
    """A function that lets the n-th write from now on kill the process instead; None for no more deaths."""
    left = [None]
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # these deaths take no power with them
    for name in WRITES:
        method = getattr(Store, name)

        def counted(self, *args, _method=method, **kwargs):
            if left[0] == 0:
                raise KilledError
            if left[0] is not None:
                left[0] -= 1
            return _method(self, *args, **kwargs)

        monkeypatch.setattr(Store, name, counted)

    def after(n):
        left[0] = n

    return after


def fill(world, golden, seed=0):
    """Three videos, of which one misses a frame and one failed, with annotations."""
    for index, name in enumerate(("a", "b'#1")):
        active, maps = golden.make(np.random.default_rng(seed + index))
        frames = [1, 4, 6, 12]
        maps = {(i, a): maps[f, a] for i, f in enumerate(frames) for a in range(3) if (f, a) in maps}
        world.stage(name, active[frames], maps, missing={3} if index else (), annotations="v1")
    world.stage("c", np.zeros((0, 3), bool), {}, status="failed")


def killed_everywhere(world_of, act, dies):
    """Tables after every possible death in `act` and a second go; `world_of` makes the state before."""
    found = []
    for n in range(200):
        world = world_of(n)
        dies(n)
        try:
            act(world)
            finished = True
        except KilledError:
            finished = False
        dies(None)
        act(world)
        sweep_stage(Ledger(world.store))
        assert world.store.names(STAGE) == world.store.names(COMMITS) == []
        found.append(world.tables())
        if finished:
            return found
    raise AssertionError("it never finished")


def assert_all_equal(found, expected):
    for n, tables in enumerate(found):
        for name, rows in expected.items():
            assert tables[name] == rows, f"killed before write {n}: table {name} differs"


def copies(world, **changes):
    """A function that gives the n-th copy of a world."""

    def make(n):
        folder = f"{world.store.uri}-{n}"
        shutil.copytree(world.store.uri, folder)
        return dataclasses.replace(world, store=Store(folder), **changes)

    return make


def test_killed_anywhere_in_the_first_publication(world, golden, dies):
    fill(world, golden)
    make = copies(world)
    reference = make("reference")
    reference.publish()
    found = killed_everywhere(make, lambda world: world.publish(), dies)
    assert len(found) > 2 * len(SHARD_TABLES), "every table of both shards was a place to die"
    assert_all_equal(found, reference.tables())


def test_killed_anywhere_while_a_changed_input_replaces_its_rows(world, golden, dies):
    listed = {"a2", "id-b'#1", "id-c"}
    world.keep_relevance = "exemplars"  # with all maps kept, sums are made again from them
    fill(world, golden)
    world.publish(size=16)
    active, maps = golden.make(np.random.default_rng(9))
    world.stage("a", active, maps, identity="a2", annotations="newer")
    make = copies(world)
    reference = make("reference")
    reference.publish(listed, size=16)
    assert [row["unit_id"] for row in reference.rows("sequences")] == ["a2", "id-b'#1", "id-c"]
    found = killed_everywhere(make, lambda world: world.publish(listed, size=16), dies)
    assert len(found) > 2 * len(SHARD_TABLES), "old and new files were places to die"
    assert_all_equal(found, reference.tables())


def test_killed_anywhere_in_a_new_analysis(world, golden, dies):
    fill(world, golden)
    analysis = {"analysis_id": "another", "spray": {"rule": "eigengap", "n_neighbors": 2}}
    fresh = copies(world, **analysis)("fresh")
    fresh.publish(size=16)
    world.publish(size=16)
    make = copies(world, **analysis)
    expected = fresh.tables()
    found = killed_everywhere(make, lambda world: world.publish(size=16), dies)
    for tables in [*found, expected]:  # of the crops only earlier exemplars are kept
        for row in tables["prototypes"]:
            row.pop("exemplar_jpeg")
    assert_all_equal(found, expected)


def test_a_shard_that_is_published_is_left_alone(world, golden):
    """A worker that died after its marker is tried again; with few maps kept, a second analysis would be wrong."""
    world.keep_relevance = "prototypes"
    fill(world, golden)
    world.publish()
    before = world.tables()
    (name, plan), *_ = Ledger(world.store).plans.items()
    versions = {entry.path: entry.version for entry in world.store.walk()}
    assert shard_task(plan, world.options()) == Ledger(world.store).shards[name].counts
    assert {entry.path: entry.version for entry in world.store.walk()} == versions
    assert world.tables() == before
    assert Ledger(world.store).shards[name].keep_relevance == "prototypes"


@pytest.mark.parametrize("keep", ["all", "exemplars", "prototypes"])
def test_what_is_kept_of_relevance(world, golden, keep):
    world.keep_relevance = keep
    fill(world, golden)
    world.publish()
    detections, prototypes = world.rows("detections"), world.rows("prototypes")
    expected = {
        "all": {(row["sequence_id"], row["frame_index"], row["target"]) for row in detections if row["active"]},
        "exemplars": {(row["sequence_id"], row["exemplar_frame"], row["target"]) for row in prototypes},
        "prototypes": set(),
    }
    keys = [(row["sequence_id"], row["frame_index"], row["target"]) for row in world.rows("relevance")]
    assert sorted(keys) == sorted(expected[keep])
    assert 0 < len(expected["exemplars"]) < len(expected["all"])


def test_one_odd_sequence_fails_alone_with_its_reason(world, golden, monkeypatch):
    fill(world, golden)
    analyse = per_sequence.analyse

    def odd(data, options):
        if data.sequence["sequence_id"] == "a":
            raise ZeroDivisionError("odd")
        return analyse(data, options)

    monkeypatch.setattr(per_sequence, "analyse", odd)
    world.publish()
    rows = {row["sequence_id"]: (row["status"], row["reason"]) for row in world.rows("sequences")}
    assert rows["a"] == ("failed", "analysis: ZeroDivisionError: odd")
    assert rows["b'#1"][0] == "done"
    assert {row["sequence_id"] for row in world.rows("detections")} == {"b'#1"}


def test_a_store_that_fails_makes_no_failed_rows(world, golden, monkeypatch):
    fill(world, golden)
    ledger = Ledger(world.store)
    commits = unplanned(ledger, world.partition, {"id-a", "id-b'#1", "id-c"})
    names = plan_shards(ledger, world.partition, commits, 5)
    plan = ledger.plans[names[0]]
    read = Store.read_bytes
    failures = 0
    for n in range(100):
        left = [n]

        def flaky(self, relative, left=left):
            left[0] -= 1
            if left[0] == -1:
                raise OSError("the network is down")
            return read(self, relative)

        monkeypatch.setattr(Store, "read_bytes", flaky)
        try:
            counts = shard_task(plan, world.options())
            break
        except (StoreFault, OSError):
            failures += 1
        assert world.store.names("_shards") == []
    assert failures >= 4
    assert counts == {"done": 2, "failed": 1}
    assert [row["status"] for row in world.rows("sequences")] == ["done", "done", "failed"]


class WorkerCrashedError(Exception):
    """As Ray's."""


def test_a_sequence_that_kills_its_worker_is_found_and_said(world, golden, monkeypatch):
    fill(world, golden)
    ledger = Ledger(world.store)
    commits = unplanned(ledger, world.partition, {"id-a", "id-b'#1", "id-c"})
    names = plan_shards(ledger, world.partition, commits, 2)
    task, probe = per_sequence.shard_task, per_sequence.probe_sequence
    attempts = []

    def crashing_task(plan, options, crashing=()):
        attempts.append(plan.shard)
        if "a" in plan.sequences and "a" not in crashing:
            raise WorkerCrashedError
        return task(plan, options, crashing)

    def crashing_probe(plan, sequence_id, options):
        if sequence_id == "a":
            raise WorkerCrashedError
        return probe(plan, sequence_id, options)

    monkeypatch.setattr(per_sequence, "shard_task", crashing_task)
    monkeypatch.setattr(per_sequence, "probe_sequence", crashing_probe)
    advanced = []
    plans = [ledger.plans[name] for name in names]
    counts = publish_shards(plans, world.options(), "threads", 2, advanced.append)
    rows = {row["sequence_id"]: (row["status"], row["reason"]) for row in world.rows("sequences")}
    assert rows["a"] == ("failed", "its analysis crashed the worker three times")
    assert rows["b'#1"] == ("done", None)
    assert counts == {"done": 1, "failed": 2}
    assert sum(advanced) == 3
    assert attempts.count(names[0]) == 1 + per_sequence.ATTEMPTS + 1


def test_shards_on_threads_say_how_far_they_are(world, golden):
    fill(world, golden)
    ledger = Ledger(world.store)
    names = plan_shards(ledger, world.partition, unplanned(ledger, world.partition, {"id-a", "id-b'#1", "id-c"}), 1)
    advanced = []
    counts = publish_shards([ledger.plans[n] for n in names], world.options(), "threads", 1, advanced.append)
    assert counts == {"done": 2, "failed": 1}
    assert advanced == [1, 1, 1]
    markers = [json.loads(world.store.read_bytes(f"_shards/{name}.json")) for name in names]
    assert [marker["counts"] for marker in markers] == [{"done": 1}, {"done": 1}, {"failed": 1}]


def test_an_unexpected_error_is_not_swallowed(world, golden, monkeypatch):
    fill(world, golden)
    ledger = Ledger(world.store)
    names = plan_shards(ledger, world.partition, unplanned(ledger, world.partition, {"id-a"}), 1)

    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(per_sequence, "rows_of", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        publish_shards([ledger.plans[n] for n in names], world.options(), "threads", 1, lambda n: None)
    assert list(world.store.walk("tables")) == []
    assert world.store.names("_shards") == []
