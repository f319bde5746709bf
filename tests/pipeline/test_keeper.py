"""What a killed process started is ended, and nothing else."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid

import psutil

from fer_batch.pipeline import keeper

# A driver with a child, a grandchild that leaves its family and its mark, as agents of an engine may, and a child of
# somebody else's.
DRIVER = """
import subprocess, sys, time
keeper, mark, folder = sys.argv[1:]
grandchild = (
    "import subprocess, time; subprocess.Popen(['sleep', '300'], start_new_session=True, env={}); time.sleep(300)"
)
subprocess.Popen(["sleep", "301"])
subprocess.Popen([sys.executable, "-c", grandchild], env={"FERTEST": mark})
import os
arguments = ["FERTEST=" + mark, str(os.getpid()), folder + "/session_*", folder + "/session_0"]
subprocess.Popen([sys.executable, "-I", "-S", keeper, *arguments])
print("started", flush=True)
time.sleep(300)
"""


def test_what_a_killed_run_started_ends_and_its_folders_go(tmp_path):
    for name in ("session_0", "session_1", "other"):
        (tmp_path / name).mkdir()
    bystander = subprocess.Popen(["sleep", "300"])
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, keeper.__file__, uuid.uuid4().hex, str(tmp_path)], stdout=subprocess.PIPE
    )
    left = []
    try:
        assert driver.stdout.readline()
        end = time.monotonic() + 10
        while len(left := psutil.Process(driver.pid).children(recursive=True)) < 4 and time.monotonic() < end:
            time.sleep(0.05)
        assert len(left) == 4
        (other,) = [process for process in left if process.cmdline() == ["sleep", "301"]]
        time.sleep(3 * keeper.LOOK_SECONDS)  # one look, after which the grandchild is known by its parent
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        _, alive = psutil.wait_procs(left, timeout=5)
        assert alive == [other], "it may be of a program that uses this one"
        assert sorted(os.listdir(tmp_path)) == ["other", "session_0"]
        assert bystander.poll() is None
    finally:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        bystander.kill()
        bystander.wait()
        driver.stdout.close()


def test_processes_are_read_as_psutil_reads_them():
    known = keeper.processes()
    assert known[os.getpid()][0] == os.getppid()
    child = subprocess.Popen(["sleep", "60"])
    try:
        known = keeper.processes()
        assert child.pid in keeper.descendants({os.getpid()}, known)
        keeper.end({child.pid: "0"}, known)
        assert child.poll() is None, "another process that has the number of one that ended is let alone"
        keeper.end({child.pid: known[child.pid][1]}, known)
        assert child.wait(5) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
