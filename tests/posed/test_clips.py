"""Clips and stills as files: frames, ground truth and landmarks as promised, the same bytes from the same seed."""

import csv
import hashlib

import av
import cv2
import numpy as np
import pytest

from fer_batch.facs import EXPRESSIONS
from fer_batch.posed import clips as posed
from fer_batch.posed.plans import TARGETS, plan_clips


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    return root, posed.write_clips(root, n_clips=4, seed=1, n_frames=(10, 14), size=160)


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_clips_decode_to_the_annotated_number_of_frames(clips):
    root, paths = clips
    plans = plan_clips(4, 1, (10, 14))
    assert [row["path"] for row in read(root / "sequences.csv")] == [p.relative_to(root).as_posix() for p in paths]
    assert [row["subject_id"] for row in read(root / "sequences.csv")] == ["P001"] * 3 + ["P002"]
    for path, plan in zip(paths, plans, strict=True):
        with av.open(str(path)) as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        annotations = read(path.with_suffix(".annotations.csv"))
        landmarks = read(path.with_suffix(".landmarks.csv"))
        assert len(frames) == len(plan.intensities) == len(landmarks)
        assert len(annotations) == len(frames) * len(TARGETS)
        assert list(landmarks[0]) == ["frame_index", *(f"x{i}" for i in range(68)), *(f"y{i}" for i in range(68))]
        expected, points = next(iter(posed.clip_frames(plan, 160)))
        assert np.abs(frames[0].astype(int) - expected).mean() < 6  # the codec's loss, not another frame
        assert float(landmarks[0]["y8"]) == pytest.approx(points[8, 1], abs=0.01)


def test_annotation_cells_follow_the_occurrence_rule(clips):
    seen = set()
    for path in clips[1]:
        for row in read(path.with_suffix(".annotations.csv")):
            intensity = float(row["intensity"])
            expected = "1" if intensity >= 2 else "0" if intensity == 0 else ""
            assert row["occurrence"] == expected
            seen.add(expected)
    assert seen == {"1", "0", ""}


def test_the_same_seed_writes_the_same_bytes(clips, tmp_path):
    def digests(root):
        return {p.relative_to(root): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*.*")}

    posed.write_clips(tmp_path, n_clips=4, seed=1, n_frames=(10, 14), size=160)
    assert digests(tmp_path) == digests(clips[0])
    assert [p.noise_seed for p in plan_clips(4, 2)] != [p.noise_seed for p in plan_clips(4, 1)]


def test_stills_come_with_a_manifest(tmp_path):
    paths = posed.write_stills(tmp_path, n=9, seed=0, size=160)
    rows = read(tmp_path / "manifest.csv")
    assert [row["emotion"] for row in rows[:7]] == list(EXPRESSIONS)
    assert {row["subject_id"] for row in rows} == {"P001", "P002"}
    for path, row in zip(paths, rows, strict=True):
        image = cv2.imread(str(path))
        assert image.shape == (160, 160, 3)
        assert (tmp_path / row["path"]) == path
        assert 0 < float(row["x30"]) < 160
    happy = rows[1]
    assert float(happy["AU12"]) >= 2 > float(happy["AU15"]) == 0
    assert not any(float(rows[0][target]) for target in TARGETS)


def test_a_size_that_the_codec_cannot_take_is_refused(tmp_path):
    with pytest.raises(ValueError, match="even frame size"):
        posed.write_clips(tmp_path, n_clips=1, size=161)
