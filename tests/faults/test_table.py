"""The bench counts what it should, and its table survives being written again."""

import pyarrow as pa
import pytest

from .compare import Difference, digests_of
from .table import BEGIN, END, Row, read_rows, scenario_of, write_rows

ROWS = pa.table({"name": ["a", "b", "b"], "map": pa.array([[1.0, 2.0], None, [1.0]], pa.list_(pa.float32()))})


def test_rows_that_are_lost_doubled_or_others_are_counted():
    expected = {"t": digests_of(ROWS)}
    assert not Difference.between(expected, {"t": digests_of(pa.concat_tables([ROWS.slice(1), ROWS.slice(0, 1)]))})
    assert Difference.between(expected, {"t": digests_of(ROWS.slice(1))}) == Difference({"t": 1}, {})
    doubled = pa.concat_tables([ROWS, ROWS.slice(2)])
    assert Difference.between(expected, {"t": digests_of(doubled)}) == Difference({}, {"t": 1})
    other = pa.table({"name": ["a", "b", "b"], "map": pa.array([[1.0, 2.0], None, [1.5]], pa.list_(pa.float32()))})
    assert Difference.between(expected, {"t": digests_of(other)}) == Difference({"t": 1}, {"t": 1})
    assert Difference.between(expected, {}) == Difference({"t": 3}, {})


@pytest.mark.parametrize(
    ("nodeid", "words"),
    [
        ("tests/faults/test_x.py::test_a_disk[is full-in explain-try 2]", "a disk: is full in explain"),
        ("tests/faults/test_x.py::test_a_disk[try 11-is full-in explain]", "a disk: is full in explain"),
        ("tests/faults/test_x.py::test_a_disk[is-try 1-full]", "a disk: is full"),
        ("tests/faults/test_x.py::test_a_disk[try 1]", "a disk"),
        ("tests/faults/test_x.py::test_a_disk", "a disk"),
    ],
)
def test_tries_of_a_scenario_have_one_name(nodeid, words):
    assert scenario_of(nodeid) == words


def test_a_table_is_written_read_and_written_again(tmp_path):
    page = tmp_path / "faults.md"
    page.write_text(f"# Faults\n\n{BEGIN}\n{END}\nmore\n")
    row = Row()
    row.add(True, 0, 0, False)
    row.add(False, 2, 1, False)
    row.add(False, None, None, True)
    rows = {"one": row, "says nothing of rows": Row(1, 1)}
    write_rows(page, rows, whole=True)
    assert "| one | 3 | 1 | 2 | 1 | 1 |" in page.read_text().splitlines()
    assert read_rows(page.read_text()) == rows
    before = page.read_text()
    write_rows(page, {"one": row}, whole=False)
    assert page.read_text() == before, "scenarios that were not run stay"
    write_rows(page, {"one": row}, whole=True)
    assert list(read_rows(page.read_text())) == ["one"]
    assert page.read_text().startswith("# Faults\n") and page.read_text().endswith(f"{END}\nmore\n")
