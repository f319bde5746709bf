"""The token of an embedded Ray, and the watch over its processes; Ray itself runs in tests/faults."""

import os
import stat
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from fer_batch.pipeline import embedded
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
def cluster():
    """What stands for the two processes that are watched."""
    started = {kind: subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) for kind in embedded.WATCHED}
    processes = {kind: [SimpleNamespace(process=process)] for kind, process in started.items()}
    node = SimpleNamespace(all_processes=processes)
    worker = SimpleNamespace(_global_node=node)
    yield SimpleNamespace(_private=SimpleNamespace(worker=worker)), started
    for process in started.values():
        process.kill()
        process.communicate()


def work_until_interrupted(watch, started):
    with watch.saying():
        started["raylet"].kill()
        for _ in range(200):
            started["gcs_server"].poll()
            time.sleep(0.05)


def test_the_loss_of_a_process_interrupts_and_is_said(cluster):
    ray, started = cluster
    watch = embedded.Watch(ray)
    try:
        with pytest.raises(EnvironmentFault, match=r"Ray stopped: its raylet, .* was ended by SIGKILL"):
            work_until_interrupted(watch, started)
    finally:
        watch.stop()


def test_other_errors_pass(cluster):
    watch = embedded.Watch(cluster[0])
    try:
        with pytest.raises(KeyError), watch.saying():
            raise KeyError("x")
    finally:
        watch.stop()
