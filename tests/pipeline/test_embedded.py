"""The token of an embedded Ray, and the watch over its processes; Ray itself runs in tests/faults."""

import _thread
import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from fer_batch.pipeline import embedded, engine
from fer_batch.types import EnvironmentFault


def test_the_token_is_private_from_its_first_moment(tmp_path, monkeypatch):
    path = tmp_path / "home" / "auth_token"
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    seen = []
    link = os.link
    monkeypatch.setattr(os, "link", lambda one, other: (seen.append(os.stat(one).st_mode), link(one, other)))
    before = os.umask(0)
    try:
        embedded.private_token()
    finally:
        os.umask(before)
    assert [stat.S_IMODE(mode) for mode in seen] == [0o600], "what is linked to its place is private already"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(path.read_text()) == 64
    assert os.listdir(path.parent) == ["auth_token"]
    text = path.read_text()
    path.chmod(0o644)
    embedded.private_token()
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (text, 0o600)


@pytest.fixture
def known(tmp_path, monkeypatch):
    """What stands for an embedded Ray; its session folders lie in a folder that is no pattern."""
    temporary = tmp_path / "a[1]"
    (temporary / "ray").mkdir(parents=True)
    monkeypatch.setenv("RAY_TMPDIR", str(temporary))
    with embedded.kept() as found:
        yield found
        found.is_clean = True


@pytest.fixture
def started(known):
    """The two processes that are watched, and one whose command line names Ray but that is not of it."""
    command = [sys.executable, "-c", "input()", "/tmp/ray/session_x"]
    with known.marking():
        found = {kind: subprocess.Popen(command, stdin=-1) for kind in embedded.WATCHED}
    found["other"] = subprocess.Popen(command, stdin=-1)
    yield found
    for process in found.values():
        process.kill()
        process.communicate()


@pytest.fixture
def watch(known, started, request):
    """The watch over them, of a process that does nothing else unless the test says `False`."""
    processes = {kind: [SimpleNamespace(process=started[kind])] for kind in embedded.WATCHED}
    worker = SimpleNamespace(_global_node=SimpleNamespace(all_processes=processes))
    ray = SimpleNamespace(_private=SimpleNamespace(worker=worker))
    with embedded.own_process() if getattr(request, "param", True) else contextlib.nullcontext():
        found = embedded.Watch(ray, known)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
    yield found
    signal.signal(signal.SIGINT, before)
    found.stop()
    found._thread.join(5)


def work_until_interrupted(watch, started):
    with watch.saying():
        started["raylet"].kill()
        for _ in range(200):
            started["gcs_server"].poll()
            time.sleep(0.05)


def test_the_loss_of_a_process_interrupts_and_is_said(watch, started):
    with pytest.raises(EnvironmentFault, match=r"Ray stopped: its raylet, .* was ended by SIGKILL"):
        work_until_interrupted(watch, started)
    watch.end_rest()
    assert started["gcs_server"].wait(5) == -signal.SIGKILL
    assert started["other"].poll() is None


def fail_with(watch, error, before=lambda: None):
    with watch.saying():
        before()
        raise error


def test_an_error_of_ray_that_comes_before_the_loss_is_seen_is_the_loss(watch, started):
    with pytest.raises(EnvironmentFault, match="its raylet"):
        fail_with(watch, RuntimeError("the engine is gone"), started["raylet"].kill)
    time.sleep(2 * embedded.LOOK_SECONDS)  # nobody interrupts what comes after


def test_a_loss_after_the_block_interrupts_nobody(watch, started):
    with watch.saying():
        pass
    started["raylet"].kill()
    time.sleep(3 * embedded.LOOK_SECONDS)
    assert watch.lost


def test_a_stop_by_hand_while_a_loss_is_looked_for_is_one(watch):
    timer = threading.Timer(0.2, _thread.interrupt_main)
    with pytest.raises(KeyboardInterrupt):
        fail_with(watch, RuntimeError("x"), timer.start)
    timer.join()


@pytest.mark.parametrize("watch", [False], indirect=True)
def test_a_program_that_uses_this_one_is_not_interrupted(watch, started):
    with watch.saying(), contextlib.suppress(KeyError):
        started["raylet"].kill()
        assert started["gcs_server"].wait(10) == -signal.SIGKILL
    assert started["other"].poll() is None and "its raylet" in watch.lost


def test_other_errors_pass(watch):
    with pytest.raises(KeyError):
        fail_with(watch, KeyError("x"))


class Interrupted:
    """A Ray that is stopped by hand while it starts, or the second time while it ends."""

    def __init__(self, folder, again=False):
        self.folder, self.again, self.process = folder, again, None

    def init(self, **_):
        (self.folder / f"session_new_{os.getpid()}").mkdir()
        self.process = subprocess.Popen(["sleep", "300"])
        raise KeyboardInterrupt

    def shutdown(self):
        if self.again:
            raise KeyboardInterrupt


@pytest.mark.parametrize("again", [False, True])
def test_a_start_that_is_interrupted_leaves_nothing_or_its_keeper(tmp_path, monkeypatch, again):
    folder = tmp_path / "ray"
    (folder / f"session_old_{os.getpid()}").mkdir(parents=True)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv(embedded.MARK, "of an outer run")
    ray = Interrupted(folder, again)
    with pytest.raises(KeyboardInterrupt), embedded.kept() as known, engine._embedded(ray, 1, 100, {}, known):
        pytest.fail("it did not start")
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    keepers = [child for child in children if known.mark in child.cmdline()]
    try:
        assert os.environ[embedded.MARK] == "of an outer run"
        assert len(keepers) == again and known.is_clean != again
        assert (ray.process.poll() is None) == again
        left = sorted(os.listdir(folder))
        assert left == [f"session_{name}_{os.getpid()}" for name in (["new", "old"] if again else ["old"])]
        if again:
            assert keepers[0].cmdline()[-1] == str(folder / f"session_old_{os.getpid()}")
    finally:
        for process in (*keepers, ray.process):
            process.kill()
            process.wait()


def test_an_older_folder_and_one_of_another_pattern_stay(known, tmp_path):
    for folder in (tmp_path / "a[1]" / "ray", tmp_path / "a1" / "ray"):
        (folder / f"session_2_{os.getpid()}").mkdir(parents=True)
    known.remove_sessions()
    assert os.listdir(tmp_path / "a[1]" / "ray") == []
    assert len(os.listdir(tmp_path / "a1" / "ray")) == 1
