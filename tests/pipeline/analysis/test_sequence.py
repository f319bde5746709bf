"""From staged maps to stories, the same from stage files and from published tables."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fer_batch import spray
from fer_batch.pipeline.analysis.sequence import analyse
from fer_batch.regions import face_maps, standard_face
from fer_batch.storage import parquet


def analysed(world, commit):
    ((_, data),) = world.staged(commit)
    return analyse(data, world.options().analysis)


@pytest.mark.parametrize("rule", ["steps", "paper"])
@pytest.mark.parametrize("seed", range(6))
def test_g22_gives_the_temporal_prototype_of_g01(world, golden, seed, rule):
    world.spray = {"rule": rule}
    tables = analysed(world, world.stage("a", *golden.make(np.random.default_rng(seed))))
    (story,) = tables["temporal_prototypes"].to_pylist()
    assert story["text"] == golden.story
    assert (story["n_stages"], story["n_distinct_stages"], story["n_frames"]) == (8, 6, 18)
    assert story["reduction"] == pytest.approx(1 - 8 / 18)
    found = [(row["target"], row["cluster"], row["n_clusters"]) for row in tables["prototypes"].to_pylist()]
    assert found == [("AU01", "A", 1), ("AU02", "A", 2), ("AU02", "B", 2), ("AU04", "A", 1)]


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


def moving(world, golden, covered):
    """A sequence whose head swings across the crop, the evidence with it; in `covered` frames it is elsewhere."""
    points, (height, width) = standard_face()
    shift = 4 * np.sin(np.arange(40) / 5)

    def landmarks(i):
        return (points * [16 / width, 18 / height] + [6 + shift[i], 5]).ravel()

    rows, columns = np.mgrid[:28, :28]
    maps = {}
    for i in range(40):
        x, y = landmarks(i).reshape(68, 2)[48 if i in covered else 19]
        maps[i, 0] = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8).astype(np.float32)
    active = np.zeros((40, 3), bool)
    active[:, 0] = True
    ((_, data),) = world.staged(world.stage("moving", active, maps, landmarks=landmarks))
    return data


def test_a_moving_head_is_one_way_of_looking_and_a_cover_is_another(world, golden):
    world.spray = {"rule": "steps"}
    options = world.options().analysis
    in_crop = analyse(moving(world, golden, ()), dataclasses.replace(options, align="crop"))["prototypes"]
    assert in_crop.num_rows > 1, "where the evidence goes across the crop"
    still = analyse(moving(world, golden, ()), options)["prototypes"].to_pylist()
    assert [(row["cluster"], row["stability"]) for row in still] == [("A", 1.0)]
    assert 0.05 < still[0]["p_split"] <= 1
    tables = analyse(moving(world, golden, range(16, 24)), options)
    rows = tables["prototypes"].to_pylist()
    assert [(row["cluster"], row["n_frames"], row["rule"]) for row in rows] == [("A", 32, "steps"), ("B", 8, "steps")]
    assert rows[0]["p_split"] == rows[1]["p_split"] < 0.05
    assert min(row["stability"] for row in rows) > 0.8
    assert {(row["height"], row["width"]) for row in rows} == {(28, 28)}, "stored maps stay in crop pixels"


def test_under_the_rules_of_the_graph_nothing_is_tested(world, golden):
    world.spray = {"rule": "paper"}
    rows = analysed(world, world.stage("a", *golden.make(np.random.default_rng(0))))["prototypes"].to_pylist()
    assert {(row["rule"], row["p_split"], row["stability"]) for row in rows} == {("paper", None, None)}


def test_maps_are_compared_on_the_face_where_every_frame_has_one(world, golden):
    """Section 9 on the maps of the standard face, computed apart."""
    data = moving(world, golden, ())
    world.spray = {"rule": "paper"}
    options = dataclasses.replace(world.options().analysis, align="face")
    maps = np.concatenate(list(data.maps(np.arange(40))))
    for align, compared in (("face", face_maps(maps, data.landmarks, (28, 28))), ("crop", maps)):
        (first, *_) = analyse(data, dataclasses.replace(options, align=align))["prototypes"].to_pylist()
        expected = spray.cluster(compared)
        assert first["spectrum"] == expected.eigenvalues.tolist()
        assert first["n_clusters"] == expected.n_clusters
    lost = dataclasses.replace(data, frames=_without_landmarks(data.frames, 7))
    (first, *_) = analyse(lost, options)["prototypes"].to_pylist()
    assert first["spectrum"] == spray.cluster(maps).eigenvalues.tolist(), "one frame without a face: in the crop"


def _without_landmarks(frames, row):
    column = frames["landmarks"].to_pylist()
    column[row] = None
    index = frames.schema.get_field_index("landmarks")
    return frames.set_column(index, frames.schema.field(index), pa.array(column, frames.schema.field(index).type))


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


@pytest.mark.parametrize("max_frames", [24, 1000])
def test_a_cap_gives_a_long_easy_sequence_the_same_temporal_prototype(world, golden, max_frames):
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
