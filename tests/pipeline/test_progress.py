"""What is said while it works, where there is no terminal."""

import json
import sys
from types import SimpleNamespace

import pytest

from fer_batch.cli import main
from fer_batch.config import reading
from fer_batch.pipeline.progress import event, log_json, note_error, progress, say, work_now
from fer_batch.types import EnvironmentFault, InputError


@pytest.fixture
def as_json():
    log_json()
    yield
    log_json(False)


def test_the_last_line_is_said_once_however_often_one_asks_afterwards(capsys):
    """A training looks twice a second whether its folds are saved, with nothing new to tell."""
    with progress("train", 6, "epoch") as advance:
        for n in (2, 0, 4, 0, 0, 0):
            advance(n)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(",")[0] or line for line in lines] == ["train: 6 epochs", "train: 6 of 6 epochs"]


def test_frames_are_told_before_the_first_input_is_done(capsys):
    with progress("explain", 3, "input") as advance:
        advance(0, 64)
        assert (work_now().what, work_now().done, work_now().total) == ("explain", 0, 3)
        advance(1, 10)
        assert work_now().done == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "explain: 3 inputs"
    assert lines[1].startswith("explain: 0 of 3 inputs, 64 frames, 0 s"), "the first frames are told at once"
    assert len(lines) == 2, "and the next not before a quarter of a minute is over"


def test_every_line_is_json_where_a_machine_reads(capsys, as_json):
    say("one\ntwo")
    with progress("explain", 1, "input") as advance:
        advance(1, 5)
    event("unit", unit_id="u", statuses={"done": 1})
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in found] == ["message", "message", "progress", "unit"]
    assert (found[2]["done"], found[2]["total"], found[2]["frames"]) == (1, 1, 5)
    assert found[3]["unit_id"] == "u" and all(line["time"] for line in found)


def test_nothing_is_told_to_machines_where_a_person_reads(capsys):
    event("unit", unit_id="u")
    assert not capsys.readouterr().err


def test_the_last_error_of_an_input_is_kept():
    note_error("a.mp4: damaged")
    assert work_now().last_error == "a.mp4: damaged"


@pytest.mark.parametrize(
    ("error", "name", "text", "code"),
    [
        (InputError("no such\nfolder"), "error", "no such\nfolder", 1),
        (EnvironmentFault("the share is gone"), "error", "the share is gone; what was finished", 1),
        (KeyboardInterrupt(), "stopped", "stopped; run the same command again", 130),
    ],
)
def test_the_end_is_json_too(capsys, as_json, monkeypatch, tmp_path, error, name, text, code):
    def fail(job):
        raise error

    monkeypatch.setattr(reading, "kind_of", fail)
    assert main(["run", str(tmp_path / "job.yaml"), "--output", str(tmp_path), "--log-json"]) == code
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (last["event"], last["exit_code"]) == (name, code) and last["text"].startswith(text)


def test_a_line_for_a_machine_is_one_write(as_json, monkeypatch):
    written = []
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=written.append, flush=lambda: None))
    event("unit", unit_id="u")
    (line,) = written
    assert line.endswith("}\n")
