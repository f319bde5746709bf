"""Ground truth is joined on the frame, whatever form it comes in."""

import json

import numpy as np
import pytest

from fer_batch.sources.truth import annotations_of, read_truth, truth_record
from fer_batch.types import SequenceRef

COLUMNS = [f"{axis}{i}" for axis in "xy" for i in range(68)]


def test_a_still_has_what_its_listing_knows():
    ref = SequenceRef(
        "a.jpg",
        "still",
        "/in/a.jpg",
        1,
        "1",
        labels=(("happiness", 1.0), ("AU12", 3.0), ("valence", -0.4)),
        raw_labels=(("happiness", "1"),),
        landmarks=tuple(range(136)),
    )
    truth = read_truth(ref)
    assert truth.annotations.to_pylist() == [
        {"frame_index": 0, "target": "happiness", "intensity": None, "occurrence": True, "raw": "1"},
        {"frame_index": 0, "target": "AU12", "intensity": 3.0, "occurrence": True, "raw": None},
        {"frame_index": 0, "target": "valence", "intensity": pytest.approx(-0.4), "occurrence": None, "raw": None},
    ]
    assert truth.emotion == "happiness"
    assert truth.present() == {0: ["happiness", "AU12"]}
    np.testing.assert_array_equal(truth.points[0], np.arange(136).reshape(68, 2))


def test_phase_2_reads_the_same_annotations_from_what_the_commit_keeps(tmp_path):
    path = tmp_path / "a.annotations.csv"
    path.write_text("frame_index,target,intensity,occurrence\n3,AU1,2,1\n5,fear,,1\n6,neutral,,1\n")
    ref = SequenceRef("a.mp4", "video", "/in/a.mp4", 1, "1", annotation_uris=(str(path),))
    truth = read_truth(ref)
    assert truth.emotion == "fear", "neutral frames go before an expression"
    assert annotations_of(json.loads(json.dumps(truth_record(ref)))).equals(truth.annotations)


def test_an_incomplete_face_still_says_where_it_is(tmp_path):
    path = tmp_path / "a.landmarks.csv"
    path.write_text("\n".join([",".join(["frame_index", *COLUMNS]), "0," + ",".join(map(str, range(136)))]))
    ref = SequenceRef("a.mp4", "video", "/in/a.mp4", 1, "1", landmarks_uri=str(path))
    assert list(read_truth(ref).points) == [0]
    half = SequenceRef("a.jpg", "still", "/in/a.jpg", 1, "1", landmarks=[*range(20), *[np.nan] * 116])
    assert read_truth(half).points == {}
    assert read_truth(half).boxes == {0: (0.0, 1.0, 18.0, 19.0)}
    boxed = SequenceRef("a.jpg", "still", "/in/a.jpg", 1, "1", face_box=(1, 2, 3, 4))
    assert read_truth(boxed).boxes == {0: (1.0, 2.0, 3.0, 4.0)}


def test_labels_behind_the_end_of_a_clip_are_left_out_and_told(tmp_path, caplog):
    """Of a folder of images its length is known, of a video once it was decoded to its end."""
    path = tmp_path / "a.annotations.csv"
    path.write_text("frame_index,target,intensity,occurrence\n0,AU1,2,1\n2,AU1,2,1\n7,AU1,2,1\n7,AU2,2,1\n")
    ref = SequenceRef("a.mp4", "video", "/in/a.mp4", 1, "1", annotation_uris=(str(path),))
    record = json.loads(json.dumps(truth_record(ref)))
    assert annotations_of(record)["frame_index"].to_pylist() == [0, 2, 7, 7]
    assert annotations_of(record, n_frames=8)["frame_index"].to_pylist() == [0, 2, 7, 7]
    assert not caplog.text
    assert annotations_of(record, n_frames=7)["frame_index"].to_pylist() == [0, 2]
    assert "a.annotations.csv: labels of 1 frames that do not exist, such as 7, are left out" in caplog.text
    images = SequenceRef("a", "image_sequence", "/in/a", 1, "1", files=("1.png", "2.png"), annotation_uris=(str(path),))
    assert read_truth(images).annotations["frame_index"].to_pylist() == [0]
    assert annotations_of(json.loads(json.dumps(truth_record(images))))["frame_index"].to_pylist() == [0]
    assert "labels of 2 frames that do not exist, such as 2" in caplog.text
