"""A run is stopped in every phase, by the system and by hand, once and twice: it ends, and leaves nothing."""

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from .bench import descendants, say, until
from .compare import rows_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

PHASES = (
    ("starting", "_running/*"),
    ("explain", "_commits/*"),
    ("prototypes", "_shards/*"),
    ("report", "report/**/*.html"),
)
STOP_SECONDS = 30.0  # on a machine that has nothing else to do


def patience():
    """Seconds for a stop, on a machine that has other things to do."""
    return STOP_SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.fixture
def temporary():
    """A folder for temporary files of runs, with a short path: sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="fb", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def shared_memory():
    return set(os.listdir("/dev/shm"))


def left_in_shared_memory(before):
    """Names that are new, and that nobody has open any more: they would stay."""
    new = shared_memory() - before
    for maps in Path("/proc").glob("[0-9]*/maps") if new else ():
        try:
            text = maps.read_text()
        except OSError:
            continue
        new = {name for name in new if f"/dev/shm/{name}" not in text}
    return new


def check_nothing_left(processes, temporary, before):
    _, alive = psutil.wait_procs(processes, timeout=patience())
    assert not alive, [process.cmdline() for process in alive if process.is_running()]
    until(lambda: not list(temporary.glob("ray/session_2*")), patience())
    files = [path for path in temporary.rglob("*") if path.is_file()]
    assert not files, files
    assert not left_in_shared_memory(before)


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_run_is_stopped_in_every_phase(number, times, make_run, undisturbed, assert_same, temporary):
    run = make_run(phases=["explain", "prototypes", "report"])
    run.environment["TMPDIR"] = str(temporary)
    for phase, pattern in PHASES:
        before = shared_memory()
        driver = run.start()
        assert run.reached(pattern), run.log.read_text()[-3000:]
        below = descendants(driver.pid)
        started = time.monotonic()
        run.send(number)
        if times == 2:
            time.sleep(1.0)
            run.send(number)
        code = run.wait(patience())
        say(f"{phase}: exit code {code} after {time.monotonic() - started:.1f} s")
        assert "Traceback" not in run.said, run.said[-3000:]
        check_nothing_left(below, temporary, before)
    run.finish()
    expected = {table: rows for table, rows in undisturbed.items() if table != "evaluation"}  # of the report
    assert_same(expected, {table: rows for table, rows in rows_of(run.output).items() if table != "evaluation"})
