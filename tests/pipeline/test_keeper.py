"""What a killed process started is ended, and nothing else."""

import os
import signal
import subprocess
import sys
import time
import uuid

import psutil

from fer_batch.pipeline import keeper

# A driver with a child, and a grandchild that leaves its family, as agents of an engine do.
DRIVER = """
import subprocess, sys, time
keeper, mark, folder = sys.argv[1:]
grandchild = "import subprocess, time; subprocess.Popen(['sleep', '300'], start_new_session=True); time.sleep(300)"
subprocess.Popen([sys.executable, "-c", grandchild], env={"FERTEST": mark})
import os
subprocess.Popen([sys.executable, "-I", "-S", keeper, "FERTEST=" + mark, str(os.getpid()), folder + "/session_*"])
print("started", flush=True)
time.sleep(300)
"""


def test_descendants_of_a_killed_process_end_and_its_folders_go(tmp_path):
    for name in ("session_1", "other"):
        (tmp_path / name).mkdir()
    bystander = subprocess.Popen(["sleep", "300"])
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, keeper.__file__, uuid.uuid4().hex, str(tmp_path)], stdout=subprocess.PIPE
    )
    try:
        assert driver.stdout.readline()
        end = time.monotonic() + 10
        while len(left := psutil.Process(driver.pid).children(recursive=True)) < 3 and time.monotonic() < end:
            time.sleep(0.05)
        assert len(left) == 3
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        _, alive = psutil.wait_procs(left, timeout=5)
        assert not alive
        assert sorted(os.listdir(tmp_path)) == ["other"]
        assert bystander.poll() is None
    finally:
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
