"""Kill anything anywhere, run again: the same tables as if nothing had happened."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow


def markers(output, folder):
    path = Path(output) / folder
    return list(path.glob("*.json")) if path.is_dir() else []


def worker_of(driver, title):
    """A Ray worker process of a driver whose title names a task or actor, while it works."""
    try:
        children = psutil.Process(driver.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return None
    for child in children:
        try:
            command = " ".join(child.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if command.startswith("ray::") and title in command and "IDLE" not in command:
            return child
    return None


def killed_half_way(job, helpers, folder, *settings, before=None):
    """Kill a driver of six units when the first is marked in a folder; how many were marked when it was gone.

    It begins with nothing, or with a copy of the output `before`. On a machine that lets this process wait for a second
    all six may be over by then; that run is done again.
    """
    for _ in range(3):
        shutil.rmtree(job.output, ignore_errors=True)
        if before:
            shutil.copytree(before, job.output)
        driver = job.start(*settings)
        helpers.until(lambda driver=driver: markers(job.output, folder) or driver.poll() is not None)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        n_marked = len(markers(job.output, folder))
        assert n_marked >= 1, driver.communicate()[0][-3000:]
        if n_marked < 6:
            return n_marked
    pytest.fail("three runs were over before they could be killed")


def test_driver_killed_in_phase_1(engine, posed_clips, reference, make_job, helpers):
    job = make_job(posed_clips)
    n_before = killed_half_way(job, helpers, "_commits", "--set", "resources.window=1")
    assert not list(Path(job.output).glob("tables/detections/**/*.parquet"))
    outcome = replace(job, here=True).done()
    assert outcome["already_done"] in (n_before, n_before + 1), "a worker may commit one more before it is gone"
    helpers.assert_same_tables(reference, job.output)


def test_driver_killed_in_phase_2(engine, posed_clips, explained, reference, make_job, helpers):
    job = make_job(posed_clips)
    killed_half_way(job, helpers, "_shards", "--set", "resources.shard_units=1", before=explained.output)
    outcome = replace(job, here=True).done()
    assert outcome["already_done"] == 6
    assert len(markers(job.output, "_shards")) == 6, "the planned shards are finished as they were planned"
    helpers.assert_same_tables(reference, job.output)


@pytest.mark.parametrize(
    ("title", "folder", "setting"),
    [("ExplainStage", "_commits", "resources.window=2"), ("shard_task", "_plans", "resources.shard_units=2")],
    ids=["model actor", "Dask task"],
)
def test_worker_killed(title, folder, setting, engine, posed_clips, explained_copy, reference, make_job, helpers):
    job = make_job(posed_clips, output=explained_copy if folder == "_plans" else None)
    driver = job.start("--set", setting)
    helpers.until(lambda: markers(job.output, folder) or driver.poll() is not None)
    victim = helpers.until(lambda: worker_of(driver, title) or driver.poll() is not None)
    assert isinstance(victim, psutil.Process), driver.communicate()[0][-3000:]
    os.kill(victim.pid, signal.SIGKILL)
    printed, _ = driver.communicate(timeout=300)
    if driver.returncode != 0:  # Ray may give up; what counts is that the next run ends well
        replace(job, here=True).done()
    helpers.assert_same_tables(reference, job.output)
    assert not victim.is_running(), printed
