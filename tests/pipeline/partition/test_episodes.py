"""Table `episodes`: from what the shards publish, a file for each, made again where that changes and only there."""

import numpy as np
import pytest

from fer_batch.pipeline.partition.episodes import publish_episodes, recording_of
from fer_batch.storage.parquet import encode, rows_of
from fer_batch.storage.published import RECORDS, records_below

RULE = {"enter": 0.0, "leave": 0.0, "min_run": 1, "min_stage": 1, "smooth": 1}


@pytest.fixture
def clip(world, golden):
    """A clip of G-22 with a frame that shows no face, and a still."""
    active, maps = golden.make(np.random.default_rng(0))
    world.stage("a", active, maps, missing=(8,))
    world.stage("b", active, maps, unit_id="other")
    world.stage("still", active[4:5], {(0, a): maps[4, a] for a in range(3)}, kind="still")
    world.publish(size=1)
    return world


def published(world, **rule):
    publish_episodes(world.work(episodes={**RULE, **rule}))
    return world.rows("episodes")


def files(world):
    return world.store.files(world.partition.folder("episodes"))


def test_an_episode_is_what_lies_between_the_rests(clip, golden):
    first, second = published(clip)
    assert second["text"] == golden.story.removeprefix("(NONE) -> ").removesuffix(" -> (NONE)")
    assert second | {"text": ""} == {
        "sequence_id": "b",
        "episode_index": 0,
        "subject_id": None,
        "emotion": None,
        "first_frame": 1,
        "last_frame": 15,
        "start_s": None,
        "end_s": None,
        "duration_s": None,
        "n_frames": 15,
        "n_missing_frames": 0,
        "n_stages": 6,
        "text": "",
        "cooccurrence_text": "(AU02) -> (AU01, AU02, AU04) -> (AU01, AU02) -> (AU02)",
        "looks_text": None,
        "prototype_id": second["prototype_id"],
        "cooccurrence_id": second["cooccurrence_id"],
        "stages": second["text"].split(" -> "),
        "stage_first_frames": [1, 3, 5, 9, 12, 14],
        "stage_n_frames": [2, 2, 4, 3, 2, 2],
        "targets": ["AU01", "AU02", "AU04"],
        "target_frames": [11, 15, 6],
        "target_peaks": [3, 1, 3],
        "target_evidence": [1.0, 1.0, 1.0],
        "lasting": [],
        "peak_frame": 3,
        "begins": "rest",
        "ends": "rest",
        **vars(clip.partition),
    }
    assert (first["n_frames"], first["n_missing_frames"]) == (14, 1)
    assert {row["sequence_id"] for row in (first, second)} == {"a", "b"}, "a still has none"


def test_more_missing_frames_than_allowed_part_an_episode(clip):
    spans = [(row["sequence_id"], row["first_frame"], row["last_frame"], row["begins"], row["ends"])
             for row in published(clip, max_missing=0)]  # fmt: skip
    assert spans == [("a", 1, 7, "rest", "gap"), ("a", 9, 15, "gap", "rest"), ("b", 1, 15, "rest", "rest")]


def test_other_options_need_no_map_and_leave_no_episode_of_before(clip):
    clip.keep_relevance = "prototypes"
    assert len(published(clip)) == 2
    assert published(clip, min_run=16) == []
    assert len(published(clip)) == 2


def test_a_shard_is_read_again_only_where_it_changed(clip, golden):
    published(clip)
    before = files(clip)
    assert len(before) == 2, "the shard of the still has no file"
    published(clip)
    assert files(clip) == before
    active, maps = golden.make(np.random.default_rng(1))
    active[:] = False
    clip.stage("b", active, maps, identity="changed")
    clip.publish(size=1)
    found = published(clip)
    assert [row["sequence_id"] for row in found] == ["a"]
    after = files(clip)
    kept = [name for name in before if after.get(name) == before[name]]
    assert len(kept) == 1


def test_a_file_whose_run_was_killed_before_its_record_gets_one(clip):
    published(clip)
    before = records_below(clip.store, "tables/episodes")
    assert before
    clip.store.delete(f"{RECORDS}/tables/episodes")
    published(clip)
    assert records_below(clip.store, "tables/episodes") == before


def test_files_of_shards_that_are_gone_go(clip):
    published(clip)
    stray = f"{clip.partition.folder('episodes')}/elsewhere-00000.parquet"
    clip.store.put(stray, encode(rows_of("episodes", [])))
    published(clip)
    assert not clip.store.exists(stray)


def reader(frames, n_targets=1):
    """Tables of one sequence whose frames are given as rows of table `frames`."""
    names = [f"AU0{a + 1}" for a in range(n_targets)]
    detections = [
        {"sequence_id": "a", "frame_index": row["frame_index"], "target": name, "logit": 1.5, "active": True}
        for row in frames
        if row["status"] == "ok"
        for name in names
    ]
    tables = {
        "frames": rows_of("frames", [{"sequence_id": "a", **row} for row in frames]),
        "detections": rows_of("detections", detections),
    }
    return lambda table, columns: tables[table].select(list(columns))


def test_places_are_seconds_by_the_clock_else_numbers_of_pictures_else_their_order():
    frames = [{"frame_index": i, "status": "ok"} for i in range(3)]
    recording, seconds = recording_of(reader(frames), "multilabel", 0.5)
    assert (recording.place.tolist(), seconds) == ([0, 1, 2], False)
    for row, number in zip(frames, (4, 5, 9), strict=True):
        row["source_frame"] = number
    recording, seconds = recording_of(reader(frames), "multilabel", 0.5)
    assert (recording.place.tolist(), seconds) == ([4, 5, 9], False)
    for row in frames:
        row["timestamp_ns"] = row["frame_index"] * 40_000_000
    recording, seconds = recording_of(reader(frames), "multilabel", 0.5)
    assert (recording.place.tolist(), seconds) == ([0, 0.04, 0.08], True)
    assert recording.evidence.tolist() == [[1.5]] * 3
    assert recording.letters == {"AU01": [""] * 3}
    none, _ = recording_of(reader([{"frame_index": 0, "status": "no_face"}]), "multilabel", 0.5)
    assert none.evidence.shape == (0, 0)
