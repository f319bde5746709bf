"""The main job on real faces and on damaged files, where the media are at hand."""

import importlib.util
import json
from pathlib import Path

import pytest

from .conftest import called

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("engine"),
    pytest.mark.skipif(
        importlib.util.find_spec("dlib") is None or importlib.util.find_spec("face_recognition_models") is None,
        reason="needs the extra fer_batch[landmarks]",
    ),
]
REPOSITORY = Path(__file__).parents[2]


def run_clips(source, output, *settings):
    """`jobs/clips.yaml` on a folder; outcome and exit code."""
    command = ["run", str(REPOSITORY / "jobs" / "clips.yaml"), "--output", str(output), "--json"]
    for setting in (f"source.uri={source}", *settings):
        command += ["--set", setting]
    return called(command)


@pytest.mark.timeout(900)
def test_every_real_clip_is_a_row_and_every_person_in_it(shared_data, tmp_path, helpers):
    sampling = ("source.sampling.fps=1", "source.sampling.stop_s=8")
    finished = run_clips(shared_data / "videos", tmp_path / "out", *sampling, "faces.choose=tracked")
    assert finished.returncode == 0, finished.stderr[-3000:]
    sequences = helpers.rows(tmp_path / "out", "sequences").to_pylist()
    videos = sorted(path.name for path in (shared_data / "videos").iterdir())
    outcome = json.loads(finished.stdout.strip().splitlines()[-1])
    assert (outcome["found"], outcome["done"]) == (len(videos), len(videos))
    ids = [row["sequence_id"] for row in sequences]
    assert len(ids) == len(set(ids))
    assert sorted(name for name in ids if "#face" not in name) == videos
    assert {name for name in ids if name.startswith("openface_multi_face.avi")} >= {
        "openface_multi_face.avi",
        "openface_multi_face.avi#face2",
        "openface_multi_face.avi#face3",
    }
    assert {row["status"] for row in sequences} == {"done"}
    frames = helpers.rows(tmp_path / "out", "frames").to_pylist()
    own = {name: [row["frame_index"] for row in frames if row["sequence_id"] == name] for name in ids}
    assert all(indices == sorted(set(indices)) for indices in own.values())
    assert {row["sequence_id"]: row["n_frames"] for row in sequences} == {name: len(rows) for name, rows in own.items()}
    seen = {(row["sequence_id"], row["track_id"]) for row in frames if row["status"] == "ok"}
    assert all(track == int(name.partition("#face")[2] or 1) - 1 for name, track in seen)
    faceless = {row["status"] for row in frames if row["sequence_id"] == "pyfeat_no_face.mp4"}
    assert faceless == {"no_face"}
    story = helpers.rows(tmp_path / "out", "temporal_prototypes").to_pylist()
    empty = next(row for row in story if row["sequence_id"] == "pyfeat_no_face.mp4")
    assert (empty["text"], empty["n_frames"], empty["reduction"]) == ("", 0, None)
    assert empty["n_missing_frames"] > 0
    with_face = {row["sequence_id"] for row in frames if row["status"] == "ok"}
    assert len(with_face) >= 15


@pytest.mark.timeout(900)
def test_damaged_files_are_rows_with_a_sentence(shared_data, tmp_path, helpers):
    finished = run_clips(shared_data / "nasty", tmp_path / "out", "source.sampling.fps=1")
    assert finished.returncode == 3, finished.stderr[-3000:]
    outcome = json.loads(finished.stdout.strip().splitlines()[-1])
    assert outcome["found"] == sum(outcome[status] for status in ("done", "partial", "failed", "skipped"))
    rows = {row["sequence_id"]: row for row in helpers.rows(tmp_path / "out", "sequences").to_pylist()}
    suffixes = (".mp4", ".mov", ".mkv", ".webm")
    videos = {path.name for path in (shared_data / "nasty").iterdir() if path.suffix in suffixes}
    assert len(videos) == 14
    assert videos <= set(rows)
    for row in rows.values():
        if row["status"] == "failed":
            assert row["reason"]
            assert "\n" not in row["reason"]
    assert rows["decord_corrupted.mp4"]["status"] == "partial"
    assert "ended after" in rows["decord_corrupted.mp4"]["reason"]
    assert rows["mp4parse_zero_empty_stsc.mp4"]["status"] == "failed"
    assert rows["decord_video_90.mov"]["status"] == "done"
