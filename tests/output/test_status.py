"""What an output holds: inputs by status, failures with reasons, runs, and what is still to come."""

import datetime
import json

import pytest

from fer_batch.output.status import SHOWN_FAILURES, status, status_text
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError

HERE = Partition("d", "m", "e")
BEGUN = datetime.datetime(2026, 3, 1, 20, tzinfo=datetime.UTC)


def published(tmp_path, inputs, finished=True):
    store = Store(str(tmp_path))
    rows = [{"kind": "video", "run_id": "r", "n_frames": 3, **row} for row in inputs]
    run = {"run_id": "r", "started_at": BEGUN, "finished_at": BEGUN if finished else None}
    run["counts"] = json.dumps({"found": len(rows)}) if finished else None
    for table, own in (("sequences", rows), ("runs", [run])):
        store.put(f"{HERE.folder(table)}/a.parquet", encode(rows_of(table, own)))
    return store


def test_people_of_an_input_are_one_input_that_failed_where_one_of_them_did(tmp_path):
    names = [("a.mp4", "done"), ("a.mp4#face2", "failed"), ("b.mp4", "done"), ("c.mp4", "partial")]
    found = status(
        published(tmp_path, [{"sequence_id": name, "status": state, "reason": state} for name, state in names])
    )
    (part,) = found["partitions"]
    assert {name: part[name] for name in ("done", "partial", "failed", "skipped")} == {
        "done": 1,
        "partial": 1,
        "failed": 1,
        "skipped": 0,
    }
    assert (part["n_sequences"], part["n_frames"]) == (4, 12)
    assert (part["failures"], part["partials"]) == ({"a.mp4#face2": "failed"}, {"c.mp4": "partial"})
    assert part["last_run"]["counts"] == {"found": 4}


def test_the_text_lists_so_many_failures_and_says_how_many_more(tmp_path):
    inputs = [{"sequence_id": f"{i:03d}.mp4", "status": "failed", "reason": "torn"} for i in range(SHOWN_FAILURES + 2)]
    lines = status_text(status(published(tmp_path, inputs, finished=False))).splitlines()
    assert lines[1] == "  dataset=d model=m explain=e"
    assert sum(line.startswith("    failed") for line in lines) == SHOWN_FAILURES
    assert "    ... and 2 more (fer-batch query OUT failed)" in lines
    assert lines[-1].endswith("did not finish")


def test_units_that_were_begun_are_counted(tmp_path):
    store = published(tmp_path, [])
    store.put("_stage/unit-1/0.arrow", b"x")
    found = status(store)
    assert (found["units_begun"], found["units_committed_not_published"]) == (1, 0)
    assert "1 units were begun and not finished" in status_text(found)


def test_a_folder_that_is_no_output_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no output of fer-batch"):
        status(Store(str(tmp_path)))
