"""Inputs that are gone from the source leave every table and all that says they are done, wherever it is killed."""

import datetime as dt
import json
import shutil
import time

import numpy as np
import pytest

from fer_batch.output.status import status
from fer_batch.output.verify import repair, verify
from fer_batch.pipeline import prune as module
from fer_batch.pipeline.analysis.plans import drop_replaced
from fer_batch.pipeline.analysis.pruning import plan_pruning
from fer_batch.pipeline.analysis.shard import shard_task
from fer_batch.pipeline.partition.episodes import publish_episodes
from fer_batch.pipeline.partition.looks import publish_looks
from fer_batch.pipeline.partition.stage import PublishedStages
from fer_batch.pipeline.prune import Gone, check_share, find_gone, gone_text, is_begun, prune
from fer_batch.storage import packed
from fer_batch.storage.heartbeat import RUNNING, Work, beating, read_signs
from fer_batch.storage.manifest import COMMITS, PLANS, SHARDS, Ledger
from fer_batch.storage.markers import ShardPlan
from fer_batch.storage.packed import pack
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table
from fer_batch.types import InputError

NAMES = [f"{letter}.mp4" for letter in "abcd"]
GONE = ("b.mp4", "d.mp4")
STAGED = ("cluster_looks", "look_prototypes", "episodes")


class Killed(BaseException):
    """In the place of a kill."""


def filled(golden, root, names, partition=None, staged=True):
    """Published shards of two inputs each with all that is made of them, and the source that they are from."""
    world = golden.world(golden.store(str(root / "out")), **({"partition": partition} if partition else {}))
    (root / "source").mkdir(exist_ok=True)
    for name in names:
        (root / "source" / name).write_bytes(b"0")
        failed = name == "d.mp4"
        world.stage(
            name,
            *golden.make(np.random.default_rng(ord(name[0]))),
            status="failed" if failed else "done",
            annotations="" if failed else "truth",
            identity=f"{world.partition.model}-{name}",
        )
    world.publish()
    if staged:
        stages(world)
    config = {"source": {"format": "videos", "uri": str(root / "source"), "sampling": {"stride": 1}, "later_key": 1}}
    row = {"run_id": "r", "started_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "counts": "{}"}
    put_table(
        world.store,
        f"{world.partition.folder('runs')}/r.parquet",
        rows_of("runs", [row | {"config": json.dumps(config)}]),
    )
    return world


def stages(world, looks="keep"):
    """What the next run makes again over all shards."""
    publish_looks(world.work(looks=looks))
    publish_episodes(world.work())


def everything(world):
    """All rows, with looks found anew: kept ones may stay, of which a sequence that is gone was the first."""
    stages(world, "refit")
    rows = {name: [{k: v for k, v in row.items() if k != "generation"} for row in world.rows(name)] for name in STAGED}
    return world.tables() | rows


def without_shards(tables):
    """Sums by what they are of, whatever shards they are kept with."""
    sums = {}
    for _, accumulator, *key, n, total in tables["sums"]:
        if n:
            old_n, old = sums.get((accumulator, *map(str, key)), (0, 0.0))
            sums[accumulator, *map(str, key)] = old_n + n, old + np.frombuffer(total)
    return {k: v for k, v in tables.items() if k != "sums"}, sums


def assert_same(one, other):
    (tables, sums), (wanted, wanted_sums) = without_shards(one), without_shards(other)
    assert tables == wanted
    assert sums.keys() == wanted_sums.keys()
    for key, (n, total) in sums.items():
        assert n == wanted_sums[key][0]
        np.testing.assert_allclose(total, wanted_sums[key][1], rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def made(tmp_path_factory, golden):
    """An output whose source then loses inputs, and what is published of the others alone."""
    root = tmp_path_factory.mktemp("made")
    filled(golden, root, NAMES)
    left = filled(golden, tmp_path_factory.mktemp("left"), [name for name in NAMES if name not in GONE])
    return root, everything(left)


@pytest.fixture
def copied(made, tmp_path, golden):
    shutil.copytree(made[0] / "out", tmp_path / "out")
    for name in GONE:
        (made[0] / "source" / name).unlink(missing_ok=True)
    return golden.world(golden.store(str(tmp_path / "out")))


def test_what_is_gone_leaves_and_all_else_stays(copied, made):
    store = copied.store
    assert status(store)["partitions"][0]["failed"] == 1
    (gone,) = find_gone(store)
    assert gone.inputs == GONE and gone.n_inputs == len(NAMES) and not gone.there
    assert "nothing was changed" in gone_text([gone], False, "out")
    prune(store, [gone], at_most=0.5)
    assert status(store)["partitions"][0]["failed"] == 0
    assert verify(store).findings == []
    assert_same(everything(copied), made[1])
    assert verify(store).findings == []
    assert not find_gone(store)[0].inputs
    ledger = Ledger(store)
    assert not any(name in plan.sequences for plan in ledger.plans.values() for name in GONE)
    assert not [unit for unit in ledger.committed if unit.endswith(GONE)], "what comes back is new"
    before = sorted(one.path for one in store.walk())
    prune(store, find_gone(store))
    assert sorted(one.path for one in store.walk()) == before


def test_what_is_over_all_inputs_is_made_again_by_the_next_run(copied):
    published = PublishedStages(copied.store, copied.partition)
    copied.store.put(published.path, b'{"stages": {}}')
    prune(copied.store, find_gone(copied.store), at_most=1)
    assert not copied.store.exists(published.path)


def killed_at(monkeypatch, n):
    """Let the n-th change of the output, counted from 0, be the one before which the process is killed."""
    left = [n]
    for name in ("put", "put_once", "delete", "move"):
        method = getattr(Store, name)

        def change(self, *args, _method=method):
            if not args[0].startswith(RUNNING):  # signs of life are of a thread, and nobody relies on them
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
            return _method(self, *args)

        monkeypatch.setattr(Store, name, change)


def test_killed_anywhere_the_next_prune_or_run_ends_it(made, tmp_path, golden, monkeypatch):
    for name in GONE:
        (made[0] / "source" / name).unlink(missing_ok=True)
    wanted = {name: made[1][name] for name in ("sequences", "detections", "prototypes", "annotations")}
    n, after = 0, {"run": 0, "prune": 0}
    while True:
        folder = tmp_path / str(n)
        shutil.copytree(made[0] / "out", folder)
        world = golden.world(golden.store(str(folder)))
        gone = find_gone(world.store)
        with monkeypatch.context() as patch:
            killed_at(patch, n)
            try:
                prune(world.store, gone, at_most=1)
                break
            except Killed:
                pass
        if n % 2 and is_begun(world.store):
            after["run"] += 1
            world.publish()
            stages(world)
        else:
            after["prune"] += 1
            prune(world.store, find_gone(world.store), at_most=1)
            assert not is_begun(world.store)
        assert verify(world.store).findings == [], n
        assert {name: world.rows(name) for name in wanted} == wanted, n
        shutil.rmtree(folder)
        n += 1 + n // 2
    assert min(after.values()) > 1


def test_no_marker_or_copy_of_one_has_the_names_of_what_is_gone(copied, golden, monkeypatch):
    monkeypatch.setattr(packed, "FEWEST", 1)
    monkeypatch.setattr(packed, "SETTLE_S", 0)
    store = copied.store
    changed = golden.make(np.random.default_rng(7))
    copied.stage("b.mp4", *changed, status="partial", annotations="new", identity="new-b")
    copied.publish()
    copied.stage("d.mp4", *changed)
    for folder in (PLANS, SHARDS, COMMITS):
        pack(store, folder)
    prune(store, find_gone(store), at_most=1)
    told = {one.path: store.read_bytes(one.path) for one in store.walk() if one.path.startswith("_")}
    assert not [path for path, text in told.items() if any(f'"{name}"'.encode() in text for name in GONE)]
    assert not store.names("_packed") and copied.rows("sequences")
    assert verify(store).findings == []


def test_a_shard_that_a_run_of_an_earlier_version_published_of_a_prune_goes(copied, made):
    store = copied.store
    find = find_gone(store)
    plan = plan_pruning(Ledger(store), copied.partition, GONE, GONE)
    drop_replaced(store, copied.partition, [plan])
    shard_task(plan, copied.options())
    assert is_begun(store) and any(plan.shard in one.path for one in store.walk("tables"))
    for _ in range(2):
        prune(store, find if is_begun(store) else find_gone(store), at_most=1)
        assert not any(plan.shard in one.path for one in store.walk()) and not is_begun(store)
        assert not any(name in own.sequences for own in Ledger(store).plans.values() for name in GONE)
        assert verify(store).findings == []
    assert_same(everything(copied), made[1])


def test_repair_leaves_a_begun_prune_to_be_ended(copied, made):
    plan = plan_pruning(Ledger(copied.store), copied.partition, GONE, GONE)
    assert repair(copied.store)[1] is None and is_begun(copied.store)
    drop_replaced(copied.store, copied.partition, [plan])
    copied.publish()
    assert not is_begun(copied.store) and verify(copied.store).findings == []
    assert_same(everything(copied), made[1])


def test_a_prune_shows_that_it_goes_on_and_hides_no_end_of_a_run(copied, monkeypatch):
    store, seen, carry_out = copied.store, [], module.carry_out
    with pytest.raises(RuntimeError), beating(store, ["r"], Work, str):
        raise RuntimeError("x")
    monkeypatch.setattr(module, "carry_out", lambda *args: (seen.extend(read_signs(store)), carry_out(*args)))
    prune(store, find_gone(store), at_most=1)
    assert {(sign.prunes, sign.state) for sign in seen} == {(True, "running"), (False, "ended")}
    assert [sign.run_ids for sign in read_signs(store)] == [("r",)]


def test_an_input_that_comes_back_is_explained_again(copied, golden, made):
    prune(copied.store, find_gone(copied.store), at_most=1)
    copied.stage("b.mp4", *golden.make(np.random.default_rng(ord("b"))), annotations="truth", identity="m-1-b.mp4")
    copied.publish()
    assert [row["status"] for row in copied.rows("sequences") if row["sequence_id"] == "b.mp4"] == ["done"]
    assert {row["sequence_id"] for row in copied.rows("annotations")} >= {"b.mp4"}
    assert verify(copied.store).findings == []


def test_annotations_stay_where_another_model_has_the_input(tmp_path, golden):
    one = filled(golden, tmp_path, NAMES[:2], staged=False)
    other = filled(golden, tmp_path, NAMES[:2], Partition("d", "m-2", "e-1"), staged=False)
    (tmp_path / "source" / "b.mp4").unlink()
    gone = find_gone(one.store)
    prune(one.store, gone[:1], at_most=1)
    assert {row["sequence_id"] for row in one.rows("sequences")} == {"a.mp4"}
    assert {row["sequence_id"] for row in one.rows("annotations")} == {"a.mp4", "b.mp4"}
    prune(one.store, find_gone(one.store), at_most=1)
    assert {row["sequence_id"] for row in one.rows("annotations")} == {"a.mp4"}
    assert {row["sequence_id"] for row in other.rows("detections")} == {"a.mp4"}
    assert verify(one.store).findings == []


def test_another_data_set_with_an_input_of_that_name_keeps_its_annotations(tmp_path, golden):
    one = filled(golden, tmp_path, NAMES[:2], staged=False)
    other = filled(golden, tmp_path, NAMES[:2], Partition("other", "m-2", "e-1"), staged=False)
    before = {name: plan for name, plan in Ledger(one.store).plans.items() if plan.partition == other.partition}
    (tmp_path / "source" / "b.mp4").unlink()
    prune(one.store, [gone for gone in find_gone(one.store) if gone.partition == one.partition], at_most=1)
    assert {row["sequence_id"] for row in one.rows("annotations")} == {"a.mp4"}
    assert {name: Ledger(one.store).plans[name] for name in before} == before
    assert verify(one.store).findings == []


def test_the_share_that_is_advised_is_enough():
    for n_gone, n_inputs in ((254, 1000), (29, 100), (1, 3), (1, 1000), (7, 7)):
        gone = [Gone(Partition("d", "m-1", "e-1"), "in", n_inputs, tuple(map(str, range(n_gone))))]
        with pytest.raises(InputError) as refused:
            check_share(gone, 0)
        advised = float(str(refused.value).split("--at-most ")[1].split()[0])
        assert n_gone / n_inputs <= advised < n_gone / n_inputs + 0.01 and not check_share(gone, advised)


def test_a_source_that_may_not_be_whole_removes_nothing(copied, made, tmp_path):
    store, before = copied.store, sorted(one.path for one in copied.store.walk())
    with pytest.raises(InputError, match=r"2 of the 4 inputs of 'd' are gone .*more than 20%: is all of it mounted"):
        prune(store, find_gone(store))
    (tmp_path / "empty").mkdir()
    for elsewhere, said in (("empty", "no videos in"), ("nowhere", "exist")):
        with pytest.raises(InputError, match=said):
            find_gone(store, str(tmp_path / elsewhere))
    assert sorted(one.path for one in store.walk()) == before


def test_while_a_run_goes_on_nothing_is_taken_out(copied):
    gone = find_gone(copied.store)
    with beating(copied.store, ["r"], Work, str):
        while not read_signs(copied.store):
            time.sleep(0.01)
        with pytest.raises(InputError, match="a run goes on in this output"):
            prune(copied.store, gone, at_most=1)


def test_units_that_wait_for_their_tables_are_forgotten(copied, golden):
    copied.stage("z.mp4", *golden.make(np.random.default_rng(1)))
    (gone,) = find_gone(copied.store)
    assert "z.mp4" in gone.inputs
    prune(copied.store, [gone], at_most=1)
    assert not copied.store.exists(f"{COMMITS}/id-z.mp4.json") and not copied.store.exists("_stage/id-z.mp4")


def test_files_that_the_job_no_longer_lists_are_named(copied, tmp_path, golden):
    (tmp_path / "b.mp4").write_bytes(b"0")
    rows = copied.rows("sequences")
    assert not find_gone(copied.store)[0].there
    path = next(one.path for one in copied.store.walk(copied.partition.folder("sequences")))
    assert path and rows
    put_table(
        copied.store,
        f"{copied.partition.folder('sequences')}/more.parquet",
        rows_of(
            "sequences", [{"sequence_id": "b.mp4", "uri": str(tmp_path / "b.mp4"), "status": "done", "run_id": "r"}]
        ),
    )
    (gone,) = find_gone(copied.store)
    assert gone.there == ("b.mp4",)
    assert "files that the job no longer lists: 1 of them, such as b.mp4" in gone_text([gone], False, "out")


def test_files_of_the_first_that_are_gone_alone_are_looked_for(copied, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOKED_AT", 1)
    rows = []
    for name in GONE:
        (tmp_path / name).write_bytes(b"0")
        rows.append({"sequence_id": name, "uri": str(tmp_path / name), "status": "done", "run_id": "r"})
    put_table(copied.store, f"{copied.partition.folder('sequences')}/more.parquet", rows_of("sequences", rows))
    (gone,) = find_gone(copied.store)
    assert gone.there == GONE[:1]
    assert "no longer lists: 1 of the first 1, such as b.mp4" in gone_text([gone], False, "out")


def test_a_plan_says_that_it_prunes(copied):
    """Plans of earlier versions do not say it."""
    store = copied.store
    plan = next(iter(Ledger(store).plans.values()))
    values = json.loads(plan.to_json())
    del values["pruned"]
    assert not ShardPlan.from_json(json.dumps(values).encode(), PLANS).pruned
