"""Sums over all maps: the same whatever is kept of them, however the work is cut, and whatever was replaced."""

import dataclasses
import json
import os

import numpy as np
import pytest

from fer_batch.pipeline.analysis import accumulators
from fer_batch.pipeline.analysis import sums as shard_sums
from fer_batch.pipeline.analysis.accumulators import ACCUMULATORS, CROP, STANDARD, STILLS, Accumulator, Key
from fer_batch.pipeline.analysis.shard import compute_with
from fer_batch.pipeline.analysis.sums import drop_sequences, has_current, kept_sums, sums_path
from fer_batch.pipeline.partition.class_prototypes import publish_class_prototypes
from fer_batch.pipeline.partition.heatmaps import publish_heatmaps
from fer_batch.regions import standard_face
from fer_batch.storage.manifest import SHARDS, Ledger, dump
from fer_batch.storage.parquet import pack_maps
from fer_batch.storage.store import Store

KEEP = ("all", "exemplars", "prototypes")
TABLES = ("heatmaps", "class_prototypes")
FRAMES = (0, 2, 4, 6, 12)


@pytest.fixture(autouse=True)
def no_power_cuts(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def clip(golden, seed):
    active, maps = golden.make(np.random.default_rng(seed))
    return active[list(FRAMES)], {
        (i, a): maps[f, a] * 10.0**a for i, f in enumerate(FRAMES) for a in range(3) if (f, a) in maps
    }


def still(golden, seed):
    rng = np.random.default_rng(seed)
    blob = golden.blobs["left" if seed % 2 else "right"] + 0.02 * rng.standard_normal((28, 28))
    return np.array([[False, True, seed % 3 == 0]]), {(0, 1): blob, (0, 2): rng.standard_normal((28, 28))}


def face(seed):
    """Landmarks of a face in the crop: the standard one, moved and turned a little."""
    points, (height, width) = standard_face()
    turn = 0.1 * np.sin(seed)
    moved = (points / (width, height) - 0.5) @ [[1, turn], [-turn, 1]] * 0.8 + 0.5
    return (moved * 28).ravel().tolist()


def stage(world, golden, *names, version=1):
    """Inputs by name: a clip, or a still where the name ends so."""
    for name in names:
        seed = sum(name.encode()) * version
        make, kind = (still, "still") if name.endswith(".jpg") else (clip, "video")
        world.stage(name, *make(golden, seed), identity=f"{name}-{version}", kind=kind, landmarks=face(seed))


def publish(world, **job):
    work = world.work(**job)
    publish_heatmaps(work)
    publish_class_prototypes(work)


def tables(world):
    """Rows of both tables with their maps as arrays."""
    found = {}
    for table in TABLES:
        rows = world.rows(table)
        maps = [np.asarray(row.pop("relevance")) * row.pop("scale") for row in rows]
        found[table] = [{k: v for k, v in row.items() if k != "analysis_id"} for row in rows], maps
    return found


def assert_same(one, other, tolerance=0.0):
    for table in TABLES:
        assert one[table][0] == other[table][0]
        for left, right in zip(one[table][1], other[table][1], strict=True):
            np.testing.assert_allclose(left, right, rtol=0, atol=tolerance * np.abs(right).max())


NAMES = ("a", "b", "c", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg", "7.jpg")


def test_the_tables_are_those_of_all_maps_whatever_is_kept(tmp_path, golden):
    worlds = {}
    for keep in KEEP:
        world = golden.world(Store(str(tmp_path / keep)), keep_relevance=keep)
        stage(world, golden, *NAMES)
        active, maps = clip(golden, 1)
        maps[1, 1], maps[2, 1] = np.zeros((28, 28)), np.full((28, 28), np.nan)
        world.stage("odd", active, maps, missing={3})
        world.stage("broken", np.zeros((0, 3), bool), {}, status="failed")
        world.publish(size=3)
        publish(world)
        worlds[keep] = world
    assert [len(worlds[keep].rows("relevance")) for keep in KEEP] == sorted(
        (len(worlds[keep].rows("relevance")) for keep in KEEP), reverse=True
    )
    assert worlds["prototypes"].rows("relevance") == []
    expected = tables(worlds["all"])
    for keep in KEEP[1:]:
        assert_same(tables(worlds[keep]), expected)

    # Methods H-3 and RV-5: the sum of the maps over their number, each as it is.
    relevance = worlds["all"].rows("relevance")
    rows, means = expected["heatmaps"]
    on_crop = [(row, mean) for row, mean in zip(rows, means, strict=True) if row["face"] == "crop"]
    assert [row["group"] for row, _ in on_crop] == list(golden.targets)
    for row, mean in on_crop:
        own = [one for one in relevance if one["target"] == row["group"] and (one["scale"] or 0) > 0]
        total = np.mean([np.asarray(one["relevance"], np.float64) * one["scale"] for one in own], axis=0)
        np.testing.assert_allclose(mean, total, atol=1e-3 * np.abs(total).max())
        assert (row["n"], row["normalisation"], row["complete"]) == (len(own), "none", True)
    assert {row["n"] for row in rows} != {1}
    stills = [one for one in relevance if one["sequence_id"].endswith(".jpg")]
    assert sum(row["n_frames"] for row in expected["class_prototypes"][0]) == len(stills) == 9


@pytest.mark.parametrize("keep", ["all", "prototypes"])
def test_nights_and_shards_change_nothing(tmp_path, golden, keep):
    found = []
    names = NAMES[1:8]
    for cuts in ((7,), (3, 7), (1, 2, 3, 4, 5, 6, 7)):
        world = golden.world(Store(str(tmp_path / str(cuts))), keep_relevance=keep)
        for start, stop in zip((0, *cuts), cuts, strict=False):
            stage(world, golden, *names[start:stop])
            world.publish(size=4)
            if len(cuts) < 7:
                publish(world)
        publish(world)
        found.append(tables(world))
    for other in found[1:]:  # float64 sums in another order differ by 1e-15, far below what the tables round to
        assert_same(other, found[0], 1e-6)


@pytest.mark.parametrize("keep", KEEP)
def test_a_replaced_input_leaves_the_sums(tmp_path, golden, keep):
    world = golden.world(Store(str(tmp_path / "replaced")), keep_relevance=keep)
    stage(world, golden, *NAMES)
    world.publish(size=16)
    publish(world)
    before = tables(world)
    stage(world, golden, "b", "4.jpg", version=2)
    listed = {f"{name}-{2 if name in ('b', '4.jpg') else 1}" for name in NAMES}
    world.publish(listed, size=16)
    publish(world)

    never = golden.world(Store(str(tmp_path / "never")), keep_relevance=keep)
    stage(never, golden, *(name for name in NAMES if name not in ("b", "4.jpg")))
    stage(never, golden, "b", "4.jpg", version=2)
    never.publish(size=16)
    publish(never)
    assert_same(tables(world), tables(never), 1e-6)
    moved = np.abs(tables(world)["heatmaps"][1][1] - before["heatmaps"][1][1]).max()
    assert moved > 1e-3 * np.abs(before["heatmaps"][1][1]).max(), "there was something to leave"
    for name in sorted(Ledger(world.store).shards):
        sums = kept_sums(world.store.uri, name, world.partition, golden.targets, CROP.name)
        drop_sequences(world.store, name, {"nobody"})
        again = kept_sums(world.store.uri, name, world.partition, golden.targets, CROP.name)
        assert [(key, one.n, one.total.tobytes()) for key, one in again.items()] == [
            (key, one.n, one.total.tobytes()) for key, one in sums.items()
        ], "to the last bit"


def shards_of(world):
    return sorted(Ledger(world.store).shards)


def older(world, *shards):
    """As an earlier version left them."""
    for shard in shards:
        world.store.delete(sums_path(shard))


def test_what_an_earlier_version_published_is_summed_from_its_maps(world, golden):
    stage(world, golden, *NAMES)
    world.publish(size=4)
    publish(world)
    expected = tables(world)
    older(world, *shards_of(world))
    folder = shard_sums.digest(vars(world.partition))
    world.store.put(f"{shard_sums.SUMS}/{folder}/x.npz", b"of an earlier version")
    work = world.work(compute=compute_with("threads", 2))
    publish_heatmaps(work)
    publish_class_prototypes(work)
    assert_same(tables(world), expected)
    assert world.store.names(shard_sums.SUMS) == [f"{shard}.parquet" for shard in shards_of(world)]


def test_where_an_earlier_version_kept_too_few_maps_the_tables_say_so(world, golden, capsys):
    world.keep_relevance = "prototypes"
    stage(world, golden, "a", "1.jpg")
    world.publish()
    world.stage("nobody", np.zeros((3, 3), bool), {}, missing={0, 1, 2})
    world.publish()
    old, faceless = shards_of(world)
    stage(world, golden, "b", "2.jpg")
    world.publish()
    older(world, faceless)
    publish(world)
    rows = tables(world)["heatmaps"][0]
    assert {row["complete"] for row in rows} == {True}, "no map is missing where there was no face"
    assert "not complete" not in capsys.readouterr().err
    whole = {row["group"]: row["n"] for row in rows}
    older(world, old)
    publish(world)
    (rows, _), (classes, _) = tables(world).values()
    told = capsys.readouterr().err
    assert "heatmaps is not complete: of 1 of 3 shards" in told
    assert "class_prototypes is not complete: of 1 of 3 shards" in told
    assert {row["complete"] for row in (*rows, *classes)} == {False}
    assert {row["group"]: row["n"] for row in rows} != whole
    assert classes[0]["exemplars"] == ["2.jpg#0"]


def test_stills_of_an_earlier_version_are_summed_where_each_is_its_own_exemplar(world, golden, capsys):
    world.keep_relevance = "exemplars"
    world.metadata = {"explain_key": {"explain": {"targets": "active"}}}
    stage(world, golden, *NAMES[3:])
    world.publish(size=16)
    publish(world)
    expected = tables(world)
    older(world, *shards_of(world))
    publish(world)
    assert_same(tables(world), expected)
    assert "not complete" not in capsys.readouterr().err
    stage(world, golden, "a")
    world.publish(size=16)
    older(world, *shards_of(world))
    publish(world)
    assert "heatmaps is not complete: of 1 of 2 shards" in capsys.readouterr().err, "a clip has frames beside exemplars"


def test_another_sum_is_one_more_entry(world, golden, monkeypatch):
    """On another grid, by emotion, with landmarks at hand; the shards that lack it are told from those that have it."""
    monkeypatch.setattr(accumulators, "ACCUMULATORS", ACCUMULATORS)
    points = np.linspace(0, 27, 136).tolist()

    def around_the_first_landmark(seen):
        if np.isnan(seen.landmarks).any():
            return None
        x, y = seen.landmarks[0].astype(int)
        return seen.values[y : y + 2, x : x + 2]

    corner = Accumulator("corner", 1, around_the_first_landmark, group=lambda seen: seen.data.sequence["run_id"])
    world.stage("a", *clip(golden, 4))
    world.publish()
    (first,) = shards_of(world)
    monkeypatch.setattr(shard_sums, "ACCUMULATORS", (*ACCUMULATORS, corner))
    active, maps = clip(golden, 5)
    world.stage("b", active, maps, landmarks=points, missing={1})
    world.stage("c", active, maps)
    world.publish(size=4)
    second = next(name for name in shards_of(world) if name != first)
    sums = kept_sums(world.store.uri, second, world.partition, golden.targets, "corner")
    frames = [i for i in range(5) if active[i, 1] and i != 1]
    values, scale = pack_maps(np.stack([maps[i, 1] for i in frames]))
    expected = (values * scale[:, None, None])[:, :2, :2].sum(0)
    found = sums[Key("AU02", "video", "r")]
    assert found.n == len(frames)
    np.testing.assert_allclose(found.total, expected, rtol=1e-6)
    # The older shard keeps all maps: its sums are made again. One that keeps fewer has none of them.
    assert kept_sums(world.store.uri, first, world.partition, golden.targets, "corner") == {}
    marker = json.loads(world.store.read_bytes(f"{SHARDS}/{second}.json"))
    world.store.put(f"{SHARDS}/{second}.json", dump({**marker, "keep_relevance": "prototypes"}))
    monkeypatch.setattr(shard_sums, "ACCUMULATORS", (*ACCUMULATORS, dataclasses.replace(corner, version=2)))
    assert kept_sums(world.store.uri, second, world.partition, golden.targets, "corner") is None
    assert kept_sums(world.store.uri, second, world.partition, golden.targets, CROP.name)


def test_sums_of_an_earlier_version_stay_of_that_version_when_an_input_leaves(world, golden, monkeypatch):
    world.keep_relevance = "prototypes"
    older_ones = tuple(one for one in ACCUMULATORS if one.name != STANDARD.name)
    with monkeypatch.context() as before:
        for module in (shard_sums, accumulators):
            before.setattr(module, "ACCUMULATORS", older_ones)
        stage(world, golden, "a", "b")
        world.publish(size=4)
    (shard,) = shards_of(world)
    drop_sequences(world.store, shard, {"b"})
    assert not has_current(world.store, shard, STANDARD.name) and has_current(world.store, shard, CROP.name)
    assert kept_sums(world.store.uri, shard, world.partition, golden.targets, STANDARD.name) is None


def test_tables_are_read_by_globs_that_see_no_sums(world, golden):
    stage(world, golden, "a", "1.jpg")
    world.publish()
    publish(world)
    assert not [entry.path for entry in world.store.walk("tables") if "sums" in entry.path]
    sums = kept_sums(world.store.uri, shards_of(world)[0], world.partition, golden.targets, STILLS.name)
    assert Key("AU02", "still") in sums
    assert {key.kind for key in sums} == {"still"}


def test_shards_are_in_order_with_and_without_dask(world):
    def name(output, shard, suffix):
        return shard + suffix

    for compute in (None, compute_with("threads", 2)):
        assert list(world.work(compute).over_shards(name, ["b", "a", "c"], "!")) == ["b!", "a!", "c!"]
