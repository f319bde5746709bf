"""Ground truth in CSV, as people and their tools write it."""

import numpy as np
import pytest

from fer_batch.sources.sidecar import LANDMARK_COLUMNS, read_annotations, read_landmarks
from fer_batch.sources.truth import still_annotations
from fer_batch.types import MediaError

HEADER = "frame_index,target,intensity,occurrence\n"


@pytest.mark.parametrize("yes", ["1", "true", "True", "TRUE", "1.0"])
def test_occurrence_as_people_and_pandas_write_it(yes):
    no = {"1": "0", "1.0": "0.0", "true": "false", "True": "False", "TRUE": "FALSE"}[yes]
    table = read_annotations(f"{HEADER}0,AU01,2.5,{yes}\n1,AU01,,{no}\n2,AU01,0,\n".encode(), "a.csv")
    assert table["occurrence"].to_pylist() == [True, False, None]
    assert table["intensity"].to_pylist() == [2.5, None, 0.0]


def test_action_units_are_spelled_as_in_the_tables():
    table = read_annotations(f"{HEADER}0,AU1,,1\n0,AU012,,1\n0,pain,,1\n".encode(), "a.csv")
    assert table["target"].to_pylist() == ["AU01", "AU12", "pain"]


def test_columns_in_any_order_and_more_of_them():
    table = read_annotations(b"note,occurrence,target,frame_index,intensity\nx,1,AU01,7,\n", "a.csv")
    assert table.select(["frame_index", "target"]).to_pylist() == [{"frame_index": 7, "target": "AU01"}]
    assert read_annotations(HEADER.encode(), "a.csv").num_rows == 0


@pytest.mark.parametrize(
    "text",
    ["", "frame_index,target\n0,AU01\n", HEADER + "zero,AU01,,1\n", HEADER + ",,,\n", HEADER + "0,AU01,,perhaps\n"],
    ids=["empty", "columns", "type", "no frame", "occurrence"],
)
def test_a_file_that_is_none_is_a_media_error_that_names_it(text):
    with pytest.raises(MediaError, match=r"clip\.annotations\.csv"):
        read_annotations(text.encode(), "clip.annotations.csv")


def landmark_csv(*rows):
    lines = [",".join(["frame_index", *LANDMARK_COLUMNS])]
    return "\n".join(lines + [",".join(map(str, row)) for row in rows]).encode()


def test_a_file_of_intensities_or_of_occurrences_alone_needs_no_other_column():
    graded = read_annotations(b"frame_index,target,intensity\n0,AU1,2\n1,AU1,0\n", "a.csv")
    stated = read_annotations(b"\xef\xbb\xbftarget,frame_index,occurrence\nAU1,0,true\nAU1,1,0\n", "a.csv")
    assert graded.select(["intensity", "occurrence"]).to_pydict() == {"intensity": [2, 0], "occurrence": [None, None]}
    assert stated.select(["intensity", "occurrence"]).to_pydict() == {
        "intensity": [None] * 2,
        "occurrence": [True, False],
    }
    assert graded.schema == stated.select(graded.column_names).schema
    with pytest.raises(
        MediaError, match=r"a\.csv: expected the columns .*: the file has no intensity and no occurrence"
    ):
        read_annotations(b"frame_index,target\n0,AU1\n", "a.csv")
    with pytest.raises(MediaError, match="the file has no target"):
        read_annotations(b"frame_index,intensity\n0,1\n", "a.csv")


def test_landmarks_by_frame():
    xs, ys = np.arange(68), 100 + np.arange(68)
    gap = ["" if index == 3 else index for index in range(68)]
    track = read_landmarks(landmark_csv([5, *xs, *ys], [9, *gap, *ys]), "a.csv").by_frame()
    assert list(track) == [5], "a frame without all its points has none"
    np.testing.assert_array_equal(track[5], np.stack([xs, ys], 1))


def test_landmarks_without_columns_or_frame_are_refused():
    with pytest.raises(MediaError, match=r"a\.csv: expected the columns frame_index"):
        read_landmarks(b"frame_index,x0\n0,1\n", "a.csv")
    with pytest.raises(MediaError, match="1 rows have no frame_index"):
        read_landmarks(landmark_csv(["", *range(136)]), "a.csv")


def test_labels_of_a_still():
    table = still_annotations((("happiness", 1.0), ("AU01", 0.0), ("AU02", 1.0), ("AU04", 2.0)))
    assert table["occurrence"].to_pylist() == [True, False, None, True]
    assert table["intensity"].to_pylist() == [None, 0.0, 1.0, 2.0]
    assert set(table["frame_index"].to_pylist()) == {0}
    assert still_annotations(()).num_rows == 0


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("3,AU04,2,1\n3,AU4,0,0\n", "frame 3 has 2 rows of AU04"),
        ("0,AU01,9,1\n", "expected intensities of 0 to 5, got 9"),
        ("0,AU01,-1,0\n", "expected intensities of 0 to 5, got -1"),
        ("-2,AU01,,1\n", "numbered from 0, got -2"),
    ],
)
def test_values_that_cannot_be_are_refused_with_their_place(rows, words):
    with pytest.raises(MediaError, match=words) as refused:
        read_annotations((HEADER + rows).encode(), "clip.annotations.csv")
    assert "clip.annotations.csv" in str(refused.value)


@pytest.mark.parametrize("spelled", ["AU12", "AU012", "au12", "12", " Au12"])
def test_action_units_as_people_spell_them(spelled):
    assert read_annotations(f"{HEADER}0,{spelled},,1\n".encode(), "a.csv")["target"].to_pylist() == ["AU12"]
