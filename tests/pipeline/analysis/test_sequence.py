"""From staged maps to stories, the same from stage files and from published tables."""

import dataclasses
import json

import numpy as np
import pyarrow.compute as pc
import pytest

from fer_batch import spray
from fer_batch.output import table_file
from fer_batch.pipeline.analysis.published_data import published_shard
from fer_batch.pipeline.analysis.sequence import analyse
from fer_batch.regions import standard_face
from fer_batch.storage import parquet


def analysed(world, commit):
    ((_, data),) = world.staged(commit)
    return analyse(data, world.options().analysis)


@pytest.mark.parametrize("seed", range(6))
def test_g22_gives_the_story_of_g01(world, golden, seed):
    tables = analysed(world, world.stage("a", *golden.make(np.random.default_rng(seed))))
    (story,) = tables["temporal_prototypes"].to_pylist()
    assert story["text"] == golden.story
    assert (story["n_stages"], story["n_distinct_stages"], story["n_frames"]) == (8, 6, 18)
    assert story["reduction"] == pytest.approx(1 - 8 / 18)
    found = [(row["target"], row["cluster"], row["n_clusters"]) for row in tables["prototypes"].to_pylist()]
    assert found == [("AU01", "A", 1), ("AU02", "A", 2), ("AU02", "B", 2), ("AU04", "A", 1)]


def test_stages_are_the_story_with_frames(world, golden):
    tables = analysed(world, world.stage("a", *golden.make(np.random.default_rng(0))))
    stages = tables["stages"].to_pylist()
    assert " -> ".join(row["text"] for row in stages) == golden.story
    assert [row["n_frames"] for row in stages] == [1, 2, 2, 4, 3, 2, 2, 2]
    assert [row["first_frame"] for row in stages] == [0, 1, 3, 5, 9, 12, 14, 16]


def test_runs_that_are_too_short_take_the_stage_before_them_where_the_job_asks(world, golden):
    ((_, data),) = world.staged(world.stage("a", *golden.make(np.random.default_rng(0))))
    raw, calm = (
        analyse(data, dataclasses.replace(world.options().analysis, min_run=frames)) for frames in (1, 3)
    )  # fmt: skip
    (story,) = calm["temporal_prototypes"].to_pylist()
    assert story["text"] == "(AU01_A, AU02_A, AU04_A) -> (AU01_A, AU02_A)"
    assert [row["n_frames"] for row in calm["stages"].to_pylist()] == [9, 9]
    swapped = {"A": "B", "B": "A"}  # the story begins on the right, the frames on the left
    renamed = [
        row | {"cluster": swapped[row["cluster"]]} if row["target"] == "AU02" and row["cluster"] else row
        for row in raw["detections"].to_pylist()
    ]
    assert calm["detections"].to_pylist() == renamed, "only the story is smoothed"


SIDES = {"L": "left", "R": "right"}


def one_unit(world, golden, name, sides, min_run):
    """Tables of a sequence in which AU02 is shown on the left (L) or the right (R) of each frame, or not at all (.)."""
    rng = np.random.default_rng(0)
    active = np.zeros((len(sides), 3), bool)
    maps = {}
    for i, side in enumerate(sides):
        if side in SIDES:
            active[i, 1] = True
            maps[i, 1] = (golden.blobs[SIDES[side]] + 0.02 * rng.standard_normal((28, 28))).astype(np.float32)
    ((_, data),) = world.staged(world.stage(name, active, maps))
    return analyse(data, dataclasses.replace(world.options().analysis, min_run=min_run))


def test_a_frame_of_flicker_renames_nothing_in_a_story_that_leaves_it_out(world, golden):
    flickers, calm = (one_unit(world, golden, name, name, 3) for name in ("RLLLLLLRRRRRR", "LLLLLLLRRRRRR"))
    stories = [tables["temporal_prototypes"].to_pylist()[0] for tables in (flickers, calm)]
    assert [story["text"] for story in stories] == ["(AU02_A) -> (AU02_B)"] * 2
    assert stories[0]["prototype_id"] == stories[1]["prototype_id"]
    assert "".join(row["cluster"] for row in flickers["detections"].to_pylist() if row["active"]) == "BAAAAAABBBBBB"
    left, right = flickers["prototypes"].to_pylist()
    for row, letter, n_frames, first, side in ((left, "A", 6, 1, "left"), (right, "B", 7, 0, "right")):
        assert (row["cluster"], row["n_frames"], row["first_frame"]) == (letter, n_frames, first)
        shown = np.array(row["relevance"]).reshape(28, 28)
        assert np.corrcoef(shown.ravel(), golden.blobs[side].ravel())[0, 1] > 0.99
        cells = flickers["detections"].filter(pc.field("frame_index") == row["exemplar_frame"])
        assert cells["cluster"].to_pylist() == [None, letter, None]
    raw = one_unit(world, golden, "raw", "RLLLLLLRRRRRR", 1)
    assert raw["temporal_prototypes"]["text"].to_pylist() == ["(AU02_A) -> (AU02_B) -> (AU02_A)"]


def test_clusters_that_the_story_leaves_out_come_last(world, golden):
    tables = one_unit(world, golden, "a", "RLLLLRLLLLRLLLLRLLLLRLLLL", 3)
    assert tables["temporal_prototypes"]["text"].to_pylist() == ["(AU02_A)"]
    assert tables["prototypes"]["n_frames"].to_pylist() == [20, 5]


def test_where_every_run_is_short_the_letters_stay(world, golden):
    tables = one_unit(world, golden, "a", "L.L.L.L.L.R.R.R.R", 9)
    assert tables["temporal_prototypes"]["text"][0].as_py().startswith("(AU02_A) -> (NONE) -> (AU02_A)")
    assert tables["prototypes"]["first_frame"].to_pylist() == [0, 10]


def test_frames_that_are_missing_are_counted_and_never_invented(world, golden):
    tables = analysed(world, world.stage("a", *golden.make(np.random.default_rng(0)), missing={0, 6, 7}))
    (story,) = tables["temporal_prototypes"].to_pylist()
    assert story["text"] == golden.story.removeprefix("(NONE) -> ")
    assert (story["n_frames"], story["n_missing_frames"]) == (15, 3)
    assert {6, 7}.isdisjoint(tables["detections"]["frame_index"].to_pylist())
    stage = next(row for row in tables["stages"].to_pylist() if row["first_frame"] == 5)
    assert (stage["n_frames"], stage["n_missing_frames"]) == (2, 2)


@pytest.mark.parametrize("missing", [{8, 9, 10}, {0, 1, 8, 9, 17}, set(range(3, 18))])
def test_every_missing_frame_counts_in_one_stage(world, golden, missing):
    tables = analysed(world, world.stage("a", *golden.make(np.random.default_rng(0)), missing=missing))
    stages, (story,) = tables["stages"].to_pylist(), tables["temporal_prototypes"].to_pylist()
    assert sum(row["n_missing_frames"] for row in stages) == story["n_missing_frames"] == len(missing)
    assert sum(row["n_frames"] for row in stages) == story["n_frames"] == 18 - len(missing)
    assert missing.isdisjoint(row[bound] for row in stages for bound in ("first_frame", "last_frame"))


@pytest.mark.parametrize("max_frames", [24, 1000])
def test_a_cap_tells_the_same_story_of_a_long_easy_sequence(world, golden, max_frames):
    world.max_frames = max_frames
    active, maps = golden.make(np.random.default_rng(1), scale=6)
    tables = analysed(world, world.stage("a", active, maps))
    assert tables["temporal_prototypes"]["text"].to_pylist() == [golden.story]
    detections = tables["detections"].to_pylist()
    counts = {(row["target"], row["cluster"]): row["n_frames"] for row in tables["prototypes"].to_pylist()}
    assert counts == {("AU01", "A"): 66, ("AU02", "A"): 48, ("AU02", "B"): 42, ("AU04", "A"): 36}
    n_active = {"AU01": 66, "AU02": 90, "AU04": 36}
    for row in tables["prototypes"].to_pylist():
        assert row["n_clustered"] == min(max_frames, n_active[row["target"]])
        members = [
            maps[d["frame_index"], golden.targets.index(d["target"])]
            for d in detections
            if (d["target"], d["cluster"]) == (row["target"], row["cluster"])
        ]
        mean = np.mean(members, axis=0).ravel()
        np.testing.assert_allclose(np.array(row["relevance"]) * row["scale"], mean, atol=1e-3)


def drift(n):
    """Maps of a blob that wanders, in which sections are cut somewhere and some maps lie nearer to another's mean."""
    rows, columns = np.mgrid[:28, :28]
    blobs = (np.exp(-((rows - 10) ** 2 + (columns - x) ** 2) / 12.5) for x in 14 + 8 * np.sin(np.linspace(0, 9, n)))
    rng = np.random.default_rng(0)
    return {(i, 1): (blob + 0.02 * rng.standard_normal((28, 28))).astype(np.float32) for i, blob in enumerate(blobs)}


def test_under_a_cap_the_clustered_frames_keep_their_clusters_and_the_others_join_the_nearest_mean(world):
    n, n_sampled = 300, 100
    maps = drift(n)
    maps[0, 1][:] = maps[7, 1][:] = 0  # the first is clustered, the other not; neither has a cluster
    active = np.zeros((n, 3), bool)
    active[:, 1] = True
    ((_, data),) = world.staged(world.stage("a", active, maps))
    tables = analyse(data, dataclasses.replace(world.options().analysis, max_frames=n_sampled))
    letters = np.array([row["cluster"] for row in tables["detections"].to_pylist() if row["target"] == "AU02"])
    stored = np.concatenate(list(data.maps(np.arange(n)))).astype(np.float64)
    sampled = np.unique(np.linspace(0, n - 1, n_sampled).round().astype(int))
    found = spray.cluster(stored[sampled].astype(np.float32), **world.spray)
    names = dict(zip(found.labels, letters[sampled], strict=True))
    assert [names[k] for k in found.labels] == letters[sampled].tolist()
    assert len(set(names.values())) == len(names) > 2
    assert names.pop(-1) is None
    assert letters[7] is None

    unit = stored / np.maximum(np.abs(stored).sum((1, 2), keepdims=True), 1e-9)
    means = np.stack([stored[sampled][found.labels == k].mean(0) for k in sorted(names)])
    means /= np.abs(means).sum((1, 2), keepdims=True)
    nearest = np.square(unit[:, None] - means).sum((2, 3)).argmin(1)
    for i in np.setdiff1d(np.arange(n), [*sampled, 7]):
        assert letters[i] == names[nearest[i]]
    assert (nearest[sampled] != found.labels)[1:].any(), "the example does not tell the two apart"

    rows = tables["prototypes"].to_pylist()
    assert {row["n_clustered"] for row in rows} == {n_sampled - 1}
    assert sum(row["n_frames"] for row in rows) == n - 2
    assert sorted(row["first_frame"] for row in rows) == [row["first_frame"] for row in rows], "letters in order"
    for row in rows:
        mean = stored[letters == row["cluster"]].mean(0).ravel()
        np.testing.assert_allclose(np.array(row["relevance"]) * row["scale"], mean, atol=1e-3)
        assert letters[row["exemplar_frame"]] == row["cluster"]
        assert (row["spectrum"], row["eigengap"]) == (found.eigenvalues.tolist(), found.eigengap)


def test_maps_of_different_sizes_in_one_target_fail_their_sequence_with_the_sizes(world, golden):
    active, maps = golden.make(np.random.default_rng(0))
    world.stage("good", active, maps)
    world.stage("odd", active, {place: m[:14, :14] if place[0] >= 8 else m for place, m in maps.items()})
    assert world.publish() == [{"done": 1, "failed": 1}]
    reasons = {row["sequence_id"]: row["reason"] for row in world.rows("sequences")}
    assert reasons["good"] is None
    assert "one size" in reasons["odd"]
    assert "(14, 14), (28, 28)" in reasons["odd"]


def test_an_undefined_map_keeps_the_name_without_a_letter(world, golden):
    active, maps = golden.make(np.random.default_rng(0))
    maps[4, 0] = np.full_like(maps[4, 0], np.nan)
    maps[5, 0] = np.zeros_like(maps[5, 0])
    tables = analysed(world, world.stage("a", active, maps))
    cells = {row["frame_index"]: row for row in tables["detections"].to_pylist() if row["target"] == "AU01"}
    for frame in (4, 5):
        assert cells[frame]["active"]
        assert cells[frame]["cluster"] is None
    assert cells[3]["cluster"] == "A"
    assert "(AU01, AU02_A, AU04_A)" in tables["temporal_prototypes"]["text"][0].as_py()


def test_explained_and_inactive_has_a_map_and_no_cluster(world, golden):
    active, maps = golden.make(np.random.default_rng(0))
    commit = world.stage("a", active, maps)
    ((_, data),) = world.staged(commit)
    probability = data.probability.copy()
    probability[:, 2] = 0.1  # AU04 was asked for and is not active
    tables = analyse(dataclasses.replace(data, probability=probability), world.options().analysis)
    assert "AU04" not in tables["temporal_prototypes"]["text"][0].as_py()
    assert set(tables["prototypes"]["target"].to_pylist()) == {"AU01", "AU02"}


def test_mu_needs_landmarks(world, golden):
    example = golden.make(np.random.default_rng(0))
    without = analysed(world, world.stage("a", *example))["detections"].to_pylist()
    assert {row["mu"] for row in without} == {None}
    assert {row["regions_version"] for row in without} == {None}
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([14 + 9 * np.cos(angle), 14 + 9 * np.sin(angle)], 1).ravel().tolist()
    measured = analysed(world, world.stage("b", *example, landmarks=points))["detections"].to_pylist()
    explained = [row for row in measured if row["active"]]
    assert any(row["mu"] is not None for row in explained)
    assert all(0 <= row["mu"] <= 1 for row in explained if row["mu"] is not None)
    assert all(row["mu"] is None for row in measured if not row["active"])


def test_mu_is_null_only_where_landmarks_are_missing(world, golden):
    points = (standard_face()[0] * 28 / 275).ravel().tolist()
    commit = world.stage("a", *golden.make(np.random.default_rng(0)), landmarks=points)
    ((_, data),) = world.staged(commit)
    rows = data.frames.to_pylist()
    for lost in (5, 6):
        rows[lost]["landmarks"] = None
    tables = analyse(dataclasses.replace(data, frames=parquet.rows_of("frames", rows)), world.options().analysis)
    explained = [row for row in tables["detections"].to_pylist() if row["active"]]
    assert {row["frame_index"] for row in explained if row["mu"] is None} == {5, 6}
    assert {row["regions_version"] for row in explained if row["mu"] is None} == {None}
    everywhere = analyse(data, world.options().analysis)["detections"].to_pylist()
    assert [row for row in everywhere if row["active"] and row["frame_index"] not in (5, 6)] == [
        row for row in explained if row["mu"] is not None
    ]


def test_no_frame_with_a_face_is_an_empty_story(world, golden):
    active, maps = golden.make(np.random.default_rng(0))
    tables = analysed(world, world.stage("a", active, maps, missing=set(range(18))))
    (story,) = tables["temporal_prototypes"].to_pylist()
    assert (story["text"], story["n_frames"], story["n_missing_frames"], story["reduction"]) == ("", 0, 18, None)
    assert tables["detections"].num_rows == 0


def test_a_still_has_detections_and_no_story(world, golden):
    active, maps = golden.make(np.random.default_rng(0))
    tables = analysed(world, world.stage("a.jpg", active[4:5], {(0, a): maps[4, a] for a in range(3)}, kind="still"))
    assert set(tables) == {"detections", "prototypes"}
    assert tables["detections"]["cluster"].to_pylist() == ["A", "A", "A"]


@pytest.mark.parametrize("keep_bytes", [1, 1 << 30])
def test_published_tables_hold_all_that_stage_files_did(world, golden, keep_bytes, monkeypatch):
    monkeypatch.setattr(table_file, "KEEP_BYTES", keep_bytes)
    monkeypatch.setattr(parquet, "ROW_GROUP", 10)
    for index, name in enumerate(("a", "b", "it's #1 ü%")):
        active, maps = golden.make(np.random.default_rng(index))
        if index == 1:
            maps[4, 0] = np.full_like(maps[4, 0], np.nan)
        world.stage(name, active, maps, missing={2, 9} if index == 1 else ())
    fresh = {}
    for path in world.store.names("_commits"):
        commit = json.loads(world.store.read_bytes(f"_commits/{path}"))
        ((row, data),) = world.staged(commit)
        maps = np.concatenate(list(data.maps(np.arange(len(data.pairs)))))
        fresh[row["sequence_id"]] = (data, maps, analyse(data, world.options().analysis))
    world.publish(size=16)
    (undefined,) = [row for row in world.rows("relevance") if row["scale"] is None]
    assert (undefined["sequence_id"], undefined["frame_index"], undefined["relevance"]) == ("b", 4, None)
    (shard,) = (name.removesuffix(".json") for name in world.store.names("_shards"))
    again = {
        row["sequence_id"]: data for row, data in published_shard(world.store, world.partition, shard, golden.targets)
    }
    assert set(again) == set(fresh)
    for name, (data, maps, tables) in fresh.items():
        other = again[name]
        for field in ("ok", "logits", "probability", "pairs", "conservation", "frame_index"):
            np.testing.assert_array_equal(getattr(other, field), getattr(data, field), err_msg=field)
        np.testing.assert_array_equal(np.concatenate(list(other.maps(np.arange(len(other.pairs))))), maps)
        for table, rows in analyse(other, world.options().analysis).items():
            assert rows.equals(tables[table]), f"{name}: {table}"


def test_maps_are_read_in_any_choice(world, golden):
    active, maps = golden.make(np.random.default_rng(0))
    commit = world.stage("a", active, maps, missing={3})
    ((_, data),) = world.staged(commit)
    everything = np.concatenate(list(data.maps(np.arange(len(data.pairs)))))
    chosen = np.array([0, 5, 6, 20, len(data.pairs) - 1])
    np.testing.assert_array_equal(np.concatenate(list(data.maps(chosen))), everything[chosen])
    for pair in chosen:
        row, output = data.pairs[pair]
        frame = int(data.frame_index[row])
        np.testing.assert_allclose(everything[pair], maps[frame, output], atol=1e-3)
        assert data.reader.crop(int(row)) == b"\xff\xd8" + bytes([frame])
