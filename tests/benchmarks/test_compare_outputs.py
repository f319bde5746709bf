"""Two outputs that differ in one thing are told apart by just that."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store

SOURCE = Path(__file__).parents[2] / "benchmarks" / "compare_outputs.py"
spec = importlib.util.spec_from_file_location("compare_outputs", SOURCE)
compare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compare)

FRAMES = [
    {"sequence_id": name, "frame_index": i, "status": "ok", "track_id": 0, "landmarks": [1.0, 2.0 + i]}
    for name in "ab"
    for i in range(3)
]


def write(output, rows, shards=1, run_id="r"):
    store = Store(str(output))
    folder = Partition("d", f"m-{run_id}", "e").folder("frames")
    for index in range(shards):
        store.put(f"{folder}/{index}.parquet", encode(rows_of("frames", rows[index::shards])))
    return output


@pytest.fixture
def before(tmp_path):
    return write(tmp_path / "before", FRAMES)


def said(before, after, *arguments, capsys):
    code = compare.main([str(before), str(after), *arguments])
    return code, capsys.readouterr().out.strip().splitlines()


def test_order_shards_and_digests_in_paths_do_not_matter(before, tmp_path, capsys):
    after = write(tmp_path / "after", FRAMES[::-1], shards=2, run_id="other")
    assert said(before, after, capsys=capsys) == (0, ["the same"])
    assert said(before, after, "--partitions", capsys=capsys) == (1, ["frames.model: 6 of 6 values differ"])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"track_id": 1}, "frames.track_id: 1 of 6 values differ"),
        ({"track_id": None}, "frames.track_id: 0 and 1 NULL, or at other places"),
        ({"landmarks": [1.0]}, "frames.landmarks: lists of other lengths"),
        ({"landmarks": [1.0, 2.5]}, "frames.landmarks: up to 0.5 apart"),
        ({"status": "no_face"}, "frames.status: 1 of 6 values differ"),
    ],
)
def test_a_value_that_changed_is_named(before, tmp_path, capsys, change, line):
    after = write(tmp_path / "after", [{**FRAMES[0], **change}, *FRAMES[1:]])
    assert said(before, after, capsys=capsys) == (1, [line])


def test_a_tolerance_is_for_floats(before, tmp_path, capsys):
    after = write(tmp_path / "after", [{**FRAMES[0], "landmarks": [1.0, 2.5]}, *FRAMES[1:]])
    assert said(before, after, "--atol", "0.5", capsys=capsys)[0] == 0


def test_rows_and_tables_that_are_missing_are_named(before, tmp_path, capsys):
    after = write(tmp_path / "after", FRAMES[1:])
    assert said(before, after, capsys=capsys) == (1, ["frames: 6 rows and 5"])
    shutil.move(after / "tables" / "frames", after / "tables" / "stages")
    assert [line.split(":")[0] for line in said(before, after, capsys=capsys)[1]] == ["frames", "stages"]
