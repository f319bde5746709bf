"""The clock of the machine is set while a run goes on: back by hours, ahead by days, and right again."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from fer_batch.output.status import status, status_text
from fer_batch.storage.heartbeat import read_signs
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store

from .bench import say
from .compare import rows_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]
HOUR = 3600


@pytest.fixture
def clock(tmp_path):
    """Environment of a process whose clock can be set, and the function that sets it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler on Linux, for a clock that can be set for one process")
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    offset.write_bytes(struct.pack("q", 0))

    def set_to(seconds):
        with offset.open("r+b") as file:
            file.write(struct.pack("q", seconds))

    return {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)}, set_to


def time_of(environment):
    asked = "import datetime as d, time; print(time.time(), d.datetime.now(d.UTC).timestamp(), time.monotonic())"
    printed = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    return [float(word) for word in printed.stdout.split()]


@pytest.mark.parametrize("hours", [-2, 48], ids=["back by two hours", "ahead by two days"])
def test_the_clock_is_set_in_the_middle(hours, clock, make_run, undisturbed, assert_same):
    environment, set_to = clock
    set_to(hours * HOUR)
    wrong, right = time_of(environment), time_of({})
    for k, is_moved in enumerate((True, True, False)):
        assert (abs(wrong[k] - right[k]) > HOUR) == is_moved, "the clock of a process can be set"
    set_to(0)
    run = make_run()
    run.environment |= environment
    run.start()
    assert run.reached("_commits/*"), run.log.read_text()[-3000:]
    set_to(hours * HOUR)
    store = Store(run.output)
    for sign in read_signs(store):  # said by a machine whose clock is right
        assert sign.state == "running", status_text(status(store))
    assert run.wait() == 0, run.said[-3000:]
    set_to(-hours * HOUR)
    run.start()
    assert run.wait() == 0 and "nothing to do" in run.said, run.said[-3000:]
    assert [row["finished_at"] is not None for row in read(store, "runs").to_pylist()] == [True]
    say(status_text(status(store)).splitlines()[-1])
    assert_same(undisturbed, rows_of(run.output))
