"""Rows of one sequence: stages, missing frames, runs without a face, stills."""

import numpy as np
import pytest

from fer_batch.pipeline.analysis.sequence import analyse


def analysed(world, commit):
    ((_, data),) = world.staged(commit)
    return analyse(data, world.options().analysis)


def test_stages_are_the_story_with_frames(world, golden):
    tables = analysed(world, world.stage("a", *golden.make(np.random.default_rng(0))))
    stages = tables["stages"].to_pylist()
    assert " -> ".join(row["text"] for row in stages) == golden.story
    assert [row["n_frames"] for row in stages] == [1, 2, 2, 4, 3, 2, 2, 2]
    assert [row["first_frame"] for row in stages] == [0, 1, 3, 5, 9, 12, 14, 16]


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
