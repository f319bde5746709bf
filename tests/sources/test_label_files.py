"""Rows, numbers and files of single frames."""

import numpy as np
import pytest

from fer_batch.sources.label_files import annotation_table, frame_rows, number_table
from fer_batch.types import MediaError


def test_labels_of_frames_that_do_not_exist_are_left_out_and_told(caplog):
    rows = [(7, "AU01", 2.0, True, None), (9, "AU01", 2.0, True, None), (8, "AU01", 0.0, False, None)]
    kept = list(frame_rows(rows, {7: 0, 8: 1}, "labels.txt"))
    assert [row[0] for row in kept] == [0, 1]
    assert "labels.txt: labels of 1 frames that do not exist, such as 9" in caplog.text


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
