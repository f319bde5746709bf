"""The engine, the disk and the driver are broken on purpose, in real runs: what is said, and what is left behind.

A plain run of the tests does the first two, whose Ray does nothing; `make faults` does all.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fer_batch.output.status import status, status_text
from fer_batch.storage.heartbeat import read_signs
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store

from .bench import until
from .compare import rows_of
from .conftest import N_CLIPS

IDLE = """
import sys
from fer_batch.cli import cli, main
from fer_batch.pipeline.engine import ray_engine

@cli.command()
def idle():
    with ray_engine(1, 100) as ray:
        task = ray.remote(lambda: __import__("time").sleep(300)).remote()
        print("started", flush=True)
        ray.get(task)

if __name__ == "__main__":
    sys.exit(main(["idle"]))
"""

pytestmark = pytest.mark.timeout(3600)  # what hangs is seen by what waits for it


@pytest.fixture
def idle():
    """A program whose Ray runs, and all that descends from it."""
    process = subprocess.Popen(
        [sys.executable, "-c", IDLE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout.readline() == "started\n"
    yield process, psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()


def check_nothing_left(driver, left):
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive, [process.cmdline() for process in alive if process.is_running()]
    until(lambda: not list(Path("/tmp/ray").glob(f"session_*_{driver.pid}")), 20)


def test_a_killed_program_leaves_nothing(idle):
    driver, left = idle
    assert any(process.name() == "raylet" for process in left)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    check_nothing_left(driver, left)


def test_a_program_that_lost_its_raylet_says_so(idle):
    driver, left = idle
    (victim,) = [process for process in left if process.name() == "raylet"]
    victim.kill()
    said = driver.communicate(timeout=60)[0]
    assert driver.returncode == 1, said[-3000:]
    assert said.splitlines()[-1].startswith("error: Ray stopped: its raylet"), said[-3000:]
    check_nothing_left(driver, left)


def check_said(run, words):
    """One sentence of ours as the last lines, exit code 1, and nothing of the engine's."""
    assert run.wait() == 1, run.said[-3000:]
    (error,) = [line for line in run.said.splitlines() if line.startswith("error: ")]
    assert words in error and "run the same command again" in error, error
    for theirs in ("Traceback", "DataContext", "ray.exceptions", "(raylet)", "[Errno"):
        assert theirs not in run.said, run.said[-3000:]


@pytest.mark.faults
def test_a_killed_driver_leaves_nothing(make_run, undisturbed, assert_same):
    run = make_run()
    driver = run.start()
    assert run.reached("_commits/*"), run.log.read_text()[-3000:]
    left = psutil.Process(driver.pid).children(recursive=True)
    assert any(process.name() == "raylet" for process in left)
    run.send(signal.SIGKILL)
    run.wait()
    check_nothing_left(driver, left)
    assert f"was killed: process {driver.pid}" in status_text(status(Store(run.output)))
    run.finish()
    assert_same(undisturbed, rows_of(run.output))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("name", "words"), [("raylet", "its raylet"), ("gcs_server", "its GCS")], ids=["raylet", "GCS"]
)
def test_a_process_of_ray_is_lost(make_run, undisturbed, assert_same, name, words):
    run = make_run()
    driver = run.start()
    assert run.reached("_commits/*"), run.log.read_text()[-3000:]
    left = psutil.Process(driver.pid).children(recursive=True)
    (victim,) = [process for process in left if process.name() == name]
    victim.kill()
    check_said(run, f"Ray stopped: {words}")
    assert f"Ray stopped: {words}" in status_text(status(Store(run.output)))
    check_nothing_left(driver, left)
    run.finish()
    assert_same(undisturbed, rows_of(run.output))


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own, and a function that changes its options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("needs the right to mount a small disk")

    def change(options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    yield folder, change
    subprocess.run(["umount", "-l", str(folder)], check=True)


DISKS = {
    "is full": ("size={used}k", "size=64m", "no space or no inodes are left"),
    "has no inodes left": ("nr_inodes={inodes}", "nr_inodes=100000", "no space or no inodes are left"),
    "becomes read-only": ("ro", "rw", "the file system can only be read"),
}


@pytest.mark.faults
@pytest.mark.parametrize("moment", ["_commits/*", "_shards/*"], ids=["in explain", "in prototypes"])
@pytest.mark.parametrize("fault", DISKS)
def test_a_disk_fails_in_the_middle(make_run, undisturbed, assert_same, disk, fault, moment):
    (folder, change), (broken, whole, words) = disk, DISKS[fault]
    run = make_run(folder / "out", resources={"shard_units": 1})
    run.start()
    assert run.reached(moment), run.log.read_text()[-3000:]
    found = os.statvfs(folder)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize // 1024 + 4
    for _ in range(50):  # a file that is open for writing keeps a disk from being made read-only
        try:
            change(broken.format(used=used, inodes=found.f_files - found.f_ffree + 1))
            break
        except subprocess.CalledProcessError:
            time.sleep(0.02)
    check_said(run, words)
    change(whole)
    run.finish()
    assert_same(undisturbed, rows_of(run.output))


@pytest.mark.faults
def test_a_run_speaks_json_and_leaves_nothing(make_run, undisturbed, assert_same):
    run = make_run()
    driver = run.start("--log-json")
    seen = until(lambda: read_signs(Store(run.output)) or driver.poll() is not None)
    assert [(sign.pid, sign.state) for sign in seen] == [(driver.pid, "running")]
    assert run.wait() == 0, run.said[-3000:]
    events = [json.loads(line) for line in run.said.splitlines() if line.startswith("{")]
    units = [event for event in events if event["event"] == "unit"]
    assert [event["statuses"] for event in units] == [{"done": 1}] * N_CLIPS
    assert sum(event["n_frames"] for event in units) == read(Store(run.output), "frames").num_rows
    assert read_signs(Store(run.output)) == []
    assert not list(Path("/tmp/ray").glob(f"session_*_{driver.pid}"))
    assert_same(undisturbed, rows_of(run.output))
