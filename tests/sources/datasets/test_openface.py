"""OpenFace's output as a source."""

import pytest

from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.types import InputError, MediaError


def openface(success=(1, 0, 1)):
    names = ["frame", " face_id", " timestamp", " confidence", " success"]
    names += [f" {axis}_{i}" for axis in "xy" for i in range(68)] + [" AU01_r", " AU12_r", " AU12_c", " AU45_c"]
    lines = [",".join(names)]
    for frame, ok in enumerate(success, 1):
        points = [*range(68), *range(100, 168)] if ok else [0] * 136
        lines.append(", ".join(map(str, [frame, 0, 0.04 * frame, 0.98, ok, *points, 1.5, 0, 1, 0])))
    return "\n".join(lines) + "\n"


def test_openface_landmarks_and_predictions_only_when_asked(tree, columns):
    uri = tree({"in/a.mp4": b"video", "processed/a.csv": openface(), "in/b.avi": b"video"})
    ref, bare = list_source("openface", uri)
    truth = read_truth(ref)
    assert sorted(truth.points) == [0, 2], "it counts from 1, and lost the second frame"
    assert truth.points[0][3].tolist() == [3, 103]
    assert truth.annotations.num_rows == 0, "predictions are no ground truth"
    assert bare.landmarks_uri is None
    ref, _ = list_source("openface", uri, (), {"annotations": True})
    rows = columns(read_truth(ref).annotations, "frame_index", "target", "intensity", "occurrence", "raw")
    assert rows[:2] == [(0, "AU01", 1.5, None, "OpenFace"), (2, "AU01", 1.5, None, "OpenFace")]
    assert (2, "AU45", None, False, "OpenFace") in rows
    assert len(rows) == 6


def test_openface_files_that_are_none(tree):
    (ref,) = list_source("openface", tree({"a.mp4": b"video", "a.csv": "time,x\n1,2\n"}))
    with pytest.raises(MediaError, match="expected the column 'frame'"):
        read_truth(ref)


def test_openface_files_that_could_be_any_videos(tree):
    with pytest.raises(InputError, match="which CSV is its own"):
        list_source("openface", tree({"a.mp4": b"video", "x/a.csv": openface(), "y/a.csv": openface()}), ("a.mp4",))
