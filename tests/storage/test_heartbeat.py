"""The sign of life of a run: what an output says of a run that goes on, ended, or was killed."""

import datetime as dt
import json
import os
import threading
import time
from dataclasses import asdict, replace

import pytest

from fer_batch.output.status import status, status_text
from fer_batch.storage import heartbeat
from fer_batch.storage.heartbeat import RUNNING, Work, beating, read_signs
from fer_batch.storage.store import Store

WORK = Work("explain", 3, 40, "input", 512, 34.21, 300.0, "b.mp4: damaged")


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "out"))


def test_a_run_that_goes_on_is_seen_from_its_first_moment_and_not_afterwards(store, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.02)
    work = [Work()]
    with beating(store, ["r1", "r2"], lambda: work[0], str):
        for _ in range(500):
            if read_signs(store):
                break
            os.sched_yield()
        text = status_text(status(store))
        assert f"running: starting; process {os.getpid()} on " in text
        work[0] = WORK
        while read_signs(store)[0].work != WORK:
            os.sched_yield()
        text = status_text(status(store))
        assert "running: explain 3 of 40 inputs, 512 frames, 34.2 frames/s, about 5 min left; process" in text
        assert "last error: b.mp4: damaged" in text
        assert json.loads(json.dumps(status(store)))["runs"][0]["state"] == "running"
    assert read_signs(store) == []


def fails(store):
    with beating(store, ["r1"], lambda: WORK, lambda error: f"said: {error}"):
        raise RuntimeError("x")


def test_an_error_stays_until_the_next_run(store):
    with pytest.raises(RuntimeError, match="x"):
        fails(store)
    (sign,) = read_signs(store)
    assert (sign.state, sign.error) == ("ended", "said: x")
    assert "said: x" in status_text(status(store))
    with beating(store, ["r2"], Work, str):
        pass
    assert read_signs(store) == []


@pytest.mark.parametrize(
    "changed",
    [{"seen_at": "2026-01-01T00:00:00+00:00", "host": "elsewhere", "place": "elsewhere"}, {"pid": 2**22 + 1}],
    ids=["no sign for long", "its process is gone"],
)
def test_a_killed_run_is_told_from_one_that_goes_on(store, changed):
    with pytest.raises(RuntimeError, match="x"):
        fails(store)
    (sign,) = read_signs(store)
    sign = replace(sign, ended_at=None, error=None)
    assert sign.state == "running"
    store.put(f"{RUNNING}/r1.json", json.dumps(asdict(replace(sign, **changed))).encode())
    assert read_signs(store)[0].state == "killed"
    assert "was killed: process" in status_text(status(store))


def put_changed(store, **changed):
    """What is said of a sign of this process that is changed."""
    with pytest.raises(RuntimeError, match="x"):
        fails(store)
    (sign,) = read_signs(store)
    sign = replace(sign, **{"ended_at": None, "error": None, **changed})
    store.put(f"{RUNNING}/r1.json", json.dumps(asdict(sign)).encode())
    return read_signs(store)[0].state


LONG_AGO = "2026-01-01T00:00:00+00:00"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="the start of a process is read in /proc")
def test_a_process_that_lives_here_runs_however_old_its_sign_is(store):
    """Its store hangs, or the clock was set; but a number that another process has now is none of a run."""
    ahead = (dt.datetime.now(dt.UTC) + dt.timedelta(days=2)).isoformat(timespec="seconds")
    assert put_changed(store, seen_at=LONG_AGO) == "running"
    assert put_changed(store, seen_at=ahead) == "running"
    assert put_changed(store, seen_at=LONG_AGO, born="1") == "killed"
    assert put_changed(store, born="1") == "killed"
    assert put_changed(store, seen_at=LONG_AGO, place="another boot pid:[1]") == "killed"
    assert put_changed(store, seen_at=LONG_AGO, born="") == "killed", "an earlier version did not say"


def test_a_number_of_a_process_says_nothing_elsewhere(store):
    gone = 2**22 + 1
    assert put_changed(store, pid=gone) == "killed"
    assert put_changed(store, pid=gone, place="") == "running", "a container may have the name of this machine"
    assert put_changed(store, pid=gone, place="another boot pid:[1]") == "running"
    assert put_changed(store, pid=1, born="") == "running", "of another user, or hidden"


def test_a_sign_of_a_time_to_come_is_of_a_wrong_clock(store):
    ahead = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)).isoformat(timespec="seconds")
    assert put_changed(store, seen_at=ahead, host="elsewhere", place="") == "unknown"
    assert "not known whether it runs" in status_text(status(store))
    with beating(store, ["r2"], Work, str):
        pass
    assert [sign.run_ids for sign in read_signs(store)] == [("r1",)], "it may run"


class Hanging(Store):
    """A store whose writes wait."""

    def __init__(self, uri):
        super().__init__(uri)
        self.asked, self.go = threading.Event(), threading.Event()

    def put(self, relative, data):
        self.asked.set()
        self.go.wait(30)
        super().put(relative, data)


def test_a_store_that_hangs_keeps_no_run_from_ending_and_the_last_sign_stays_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "JOIN_SECONDS", 0.1)
    store = Hanging(str(tmp_path / "out"))
    with beating(store, ["r1"], Work, str):
        assert store.asked.wait(10)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "fer_batch-heartbeat"]
    assert not os.path.exists(tmp_path / "out" / RUNNING)
    store.go.set()
    thread.join(10)
    assert read_signs(store) == []


def test_a_hanging_store_delays_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "JOIN_SECONDS", 0.1)
    store = Hanging(str(tmp_path / "out"))
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="x"):
        fails(store)
    assert time.monotonic() - start < 20
    store.go.set()


def test_a_run_goes_on_where_nobody_can_say_what_it_is_at(store):
    with beating(store, ["r1"], lambda: 1 // 0, str):
        pass


def test_a_store_that_refuses_signs_does_not_stop_a_run(tmp_path):
    (tmp_path / "out").write_text("a file")
    with beating(Store(str(tmp_path / "out")), ["r1"], Work, str):
        pass


def test_half_a_sign_is_none(store):
    store.put(f"{RUNNING}/r1.json", b'{"run_ids": ["r1"]')
    assert read_signs(store) == []
