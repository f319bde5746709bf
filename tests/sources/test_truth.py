"""Ground truth is joined on the frame, whatever form it comes in."""

import json

import numpy as np
import pytest

from fer_batch.sources.label_files import annotation_table, frame_rows, number_table
from fer_batch.sources.labels import CODES, EXPRESSIONS, expression_named, occurrence_of
from fer_batch.sources.truth import annotations_of, read_truth, truth_record
from fer_batch.types import MediaError, SequenceRef

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


def test_labels_of_frames_that_do_not_exist_are_left_out_and_told(caplog):
    rows = [(7, "AU01", 2.0, True, None), (9, "AU01", 2.0, True, None), (8, "AU01", 0.0, False, None)]
    kept = list(frame_rows(rows, {7: 0, 8: 1}, "labels.txt"))
    assert [row[0] for row in kept] == [0, 1]
    assert "labels.txt: labels of 1 frames that do not exist, such as 9" in caplog.text


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


def test_numbers_as_datasets_write_them():
    np.testing.assert_array_equal(number_table(b" 1.2000000e+01   3.0e+00\n\n", "a"), [[12, 3]])
    np.testing.assert_array_equal(number_table(b"1,2\r\n3\t4", "a"), [[1, 2], [3, 4]])
    assert number_table(b"\n", "a", 4).shape == (0, 4)
    with pytest.raises(MediaError, match=r"x\.txt: expected rows of numbers"):
        number_table(b"1 two", "x.txt")
    with pytest.raises(MediaError, match="expected 4 numbers in a row, got 2"):
        number_table(b"1 2", "x.txt", 4)


def test_no_rows_are_a_table():
    assert annotation_table([]).num_rows == 0


def test_the_same_number_is_another_face_in_every_dataset():
    """Datasets 6.11, row by row."""
    table = {
        "neutral": (0, 0, 7, 6, 0, 0),
        "happiness": (5, 1, 4, 3, 1, 1),
        "sadness": (6, 2, 5, 4, 3, 6),
        "surprise": (7, 3, 1, 5, 2, 2),
        "fear": (4, 4, 2, 2, 6, 3),
        "disgust": (3, 5, 3, 1, 5, 5),
        "anger": (1, 6, 6, 0, 4, 4),
        "contempt": (2, 7, None, None, 7, None),
    }
    assert set(table) == set(EXPRESSIONS)
    for name, codes in table.items():
        for dataset, code in zip(
            ("ck_plus", "affectnet", "raf_db", "fer2013", "fer_plus", "belharbi"), codes, strict=True
        ):
            assert code is None or CODES[dataset].expression(code) == name
    assert CODES["affectnet"].names[8:] == ("none", "uncertain", "non_face")
    with pytest.raises(ValueError, match="expected an expression code of raf_db, 1 to 7, got 0"):
        CODES["raf_db"].expression(0)


def test_names_of_expressions():
    assert [expression_named(name) for name in ("Happy", " sad", "FEAR", "Boredom")] == [
        "happiness",
        "sadness",
        "fear",
        "Boredom",
    ]


def test_what_one_number_says():
    assert occurrence_of("AU01", 1.0) == (1.0, None)
    assert occurrence_of("AU01", 0.0) == (0.0, False)
    assert occurrence_of("PSPI", 12.0) == (12.0, None)
    assert occurrence_of("fear", 1.0) == (None, True)
