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
import yaml

from fer_batch.output.status import status, status_text
from fer_batch.posed.clips import write_clips
from fer_batch.storage.heartbeat import read_signs
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store

N_CLIPS = 4
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


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "clips"
    write_clips(folder, n_clips=N_CLIPS, seed=3, n_frames=(18, 24), size=192)
    return folder


@pytest.fixture
def start(clips, tmp_path):
    """A function that starts the job in the background."""
    started = []

    def begin(output, *options):
        job = {
            "name": "posed",
            "source": {"format": "videos", "uri": str(clips)},
            "model": {"checkpoint": "demo"},
            "faces": {"detector": "dataset"},
            "resources": {"num_cpus": 2, "object_store_mb": 256, "window": 1, "shard_units": 1},
            "phases": ["explain", "prototypes"],
        }
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
        command = [sys.executable, "-m", "fer_batch.cli", "run", str(tmp_path / "job.yaml"), "--output", str(output)]
        command += options
        environment = {key: value for key, value in os.environ.items() if key != "FER_BATCH_TRACEBACK"}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def until(condition, seconds=300.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"nothing happened in {seconds} s")


def is_marked(output, process):
    """Whether the first unit is committed; a run that ends before is a fault of the test."""
    assert process.poll() is None, process.communicate()[0][-3000:]
    return list(Path(output).glob("_commits/*.json"))


def check_said(process, words, seconds=200):
    """One sentence of ours as the last lines, exit code 1, and nothing of the engine's."""
    said = process.communicate(timeout=seconds)[0]
    assert process.returncode == 1, said[-3000:]
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert words in error and "run the same command again" in error, error
    for theirs in ("Traceback", "DataContext", "ray.exceptions", "(raylet)", "[Errno"):
        assert theirs not in said, said[-3000:]


def check_rerun(start, output):
    process = start(output)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said[-3000:]
    rows = read(Store(str(output)), "sequences").to_pylist()
    assert sorted(row["status"] for row in rows) == ["done"] * N_CLIPS


@pytest.mark.faults
def test_a_killed_driver_leaves_nothing(start, tmp_path):
    driver = start(tmp_path / "out")
    until(lambda: is_marked(tmp_path / "out", driver))
    left = psutil.Process(driver.pid).children(recursive=True)
    assert any(process.name() == "raylet" for process in left)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    check_nothing_left(driver, left)
    assert f"was killed: process {driver.pid}" in status_text(status(Store(str(tmp_path / "out"))))


@pytest.mark.faults
@pytest.mark.parametrize(("name", "words"), [("raylet", "its raylet"), ("gcs_server", "its GCS")])
def test_a_lost_process_of_ray_is_one_sentence(start, tmp_path, name, words):
    driver = start(tmp_path / "out")
    until(lambda: is_marked(tmp_path / "out", driver))
    left = psutil.Process(driver.pid).children(recursive=True)
    (victim,) = [process for process in left if process.name() == name]
    victim.kill()
    check_said(driver, f"Ray stopped: {words}")
    assert f"Ray stopped: {words}" in status_text(status(Store(str(tmp_path / "out"))))
    check_nothing_left(driver, left)
    check_rerun(start, tmp_path / "out")


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


@pytest.mark.faults
@pytest.mark.parametrize(
    ("broken", "whole", "words"),
    [
        ("size={used}k", "size=64m", "no space or no inodes are left"),
        ("nr_inodes={inodes}", "nr_inodes=100000", "no space or no inodes are left"),
        ("ro", "rw", "the file system can only be read"),
    ],
    ids=["full", "no inodes", "read-only"],
)
def test_a_disk_that_fails_in_the_middle(start, disk, broken, whole, words):
    folder, change = disk
    driver = start(folder / "out")
    until(lambda: is_marked(folder / "out", driver))
    found = os.statvfs(folder)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize // 1024 + 4
    for _ in range(50):  # a file that is open for writing keeps a disk from being made read-only
        try:
            change(broken.format(used=used, inodes=found.f_files - found.f_ffree + 1))
            break
        except subprocess.CalledProcessError:
            time.sleep(0.02)
    check_said(driver, words)
    change(whole)
    check_rerun(start, folder / "out")


@pytest.mark.faults
def test_a_run_speaks_json_and_leaves_nothing(start, tmp_path):
    driver = start(tmp_path / "out", "--log-json")
    seen = until(lambda: read_signs(Store(str(tmp_path / "out"))) or driver.poll() is not None)
    assert [(sign.pid, sign.state) for sign in seen] == [(driver.pid, "running")]
    said = driver.communicate(timeout=300)[0]
    assert driver.returncode == 0, said[-3000:]
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    units = [event for event in events if event["event"] == "unit"]
    assert [event["statuses"] for event in units] == [{"done": 1}] * N_CLIPS
    assert sum(event["n_frames"] for event in units) == read(Store(str(tmp_path / "out")), "frames").num_rows
    assert read_signs(Store(str(tmp_path / "out"))) == []
    assert not list(Path("/tmp/ray").glob(f"session_*_{driver.pid}"))
