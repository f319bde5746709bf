"""`fer-batch status`: inputs by what became of them, and red on a terminal alone."""

import json

import pytest
from click.testing import CliRunner

from fer_batch.cli import cli
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store

HERE = Partition("d", "m-1", "e-1")
ROWS = {
    "whole.mp4": ("done", None),
    "partial of a name.mp4": ("done", None),
    "cut.mp4": ("partial", "ended after 5 frames, 9 declared"),
    "noise.mp4": ("failed", "no frame could be read"),
    "other.mp4": ("skipped", "is not of the study"),
}
RED = "\x1b[31m"


@pytest.fixture
def out(tmp_path):
    rows = [
        {"sequence_id": name, "kind": "video", "status": status, "reason": reason, "n_frames": 5, "run_id": "r"}
        for name, (status, reason) in ROWS.items()
    ]
    Store(str(tmp_path)).put(f"{HERE.folder('sequences')}/s.parquet", encode(rows_of("sequences", rows)))
    return str(tmp_path)


def test_every_status_is_counted_and_failed_and_partial_inputs_are_named(out):
    found = json.loads(CliRunner().invoke(cli, ["status", out, "--json"]).output)["partitions"][0]
    assert [found[status] for status in ("done", "partial", "failed", "skipped")] == [2, 1, 1, 1]
    assert found["failures"] == {"noise.mp4": "no frame could be read"}
    assert found["partials"] == {"cut.mp4": "ended after 5 frames, 9 declared"}


def test_they_are_red_on_a_terminal_and_plain_elsewhere(out):
    plain = CliRunner().invoke(cli, ["status", out]).output
    assert "\x1b" not in plain
    coloured = CliRunner().invoke(cli, ["status", out], color=True).output
    red = [line for line in coloured.splitlines() if RED in line]
    assert ["noise.mp4" in red[0], "cut.mp4" in red[1], len(red)] == [True, True, 2]
    assert coloured.replace(RED, "").replace("\x1b[0m", "") == plain


def test_the_query_failed_names_all_that_are_not_done(out):
    rows = json.loads(CliRunner().invoke(cli, ["query", out, "failed", "--format", "json"]).output)
    assert [(row["sequence_id"], row["status"]) for row in rows] == [
        ("cut.mp4", "partial"),
        ("noise.mp4", "failed"),
        ("other.mp4", "skipped"),
    ]
