"""The fault bench: its options, its table, a small source, and the output of a run over it that nothing disturbed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fer_batch.posed.clips import write_clips

from . import bench
from .bench import HungError, Run, job_over
from .compare import Difference, Rows, rows_of
from .table import Row, scenario_of, write_rows

N_CLIPS = 4
OF_BENCH = ("test_table.py", "test_the_proxy_does")  # tests of the bench itself


def pytest_addoption(parser):
    group = parser.getgroup("fault bench")
    group.addoption("--tries", type=int, default=1, help="how often every scenario is tried")
    group.addoption("--write-table", metavar="FILE", help="Markdown file whose table of scenarios is written")


def pytest_generate_tests(metafunc):
    tries = metafunc.config.getoption("--tries", 1)
    if tries > 1:
        metafunc.fixturenames.append("try_number")
        metafunc.parametrize("try_number", range(1, tries + 1), ids=lambda n: f"try {n}")


class Bench:
    """Gathers what became of every scenario, and writes the table."""

    def __init__(self, path: Path, whole: bool) -> None:
        self.path, self.whole, self.rows = path, whole, {}

    def pytest_deselected(self, items):
        self.whole = self.whole and not items

    def pytest_runtest_logreport(self, report):
        if report.skipped or (report.when != "call" and report.passed) or any(one in report.nodeid for one in OF_BENCH):
            return
        said = dict(report.user_properties)
        row = self.rows.setdefault(scenario_of(report.nodeid), Row())
        row.add(report.passed, said.get("lost"), said.get("doubled"), "hung" in said)
        write_rows(self.path, self.rows, whole=False)  # at once: the bench takes an hour, and may be stopped

    def pytest_sessionfinish(self):
        write_rows(self.path, self.rows, self.whole)


def pytest_configure(config):
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        bench.past_capture = capture.global_and_fixture_disabled
    path = config.getoption("--write-table", None)
    if path and not hasattr(config, "workerinput"):
        whole = [Path(arg).resolve() for arg in config.args] == [Path(__file__).parent]
        config.pluginmanager.register(Bench(Path(path), whole), "fault-bench")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    if call.excinfo is not None:
        error = call.excinfo.value
        if isinstance(error, subprocess.TimeoutExpired | HungError) or str(error).startswith("Timeout "):
            item.user_properties.append(("hung", 1))
    yield


@pytest.fixture
def assert_same(request):
    """A function that holds rows against those expected, and puts the difference into the table of the bench."""

    def compare(expected: Rows, found: Rows) -> None:
        difference = Difference.between(expected, found)
        request.node.user_properties.append(("lost", sum(difference.lost.values())))
        request.node.user_properties.append(("doubled", sum(difference.doubled.values())))
        assert sum(rows.total() for rows in expected.values()), "nothing is compared"
        assert not difference, f"lost: {difference.lost}; doubled or others: {difference.doubled}"

    return compare


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    """Four short posed clips with ground truth."""
    folder = tmp_path_factory.mktemp("faults") / "clips"
    write_clips(folder, n_clips=N_CLIPS, seed=3, n_frames=(18, 24), size=192)
    return folder


@pytest.fixture
def make_run(clips, tmp_path):
    """A function that writes a job over the clips and gives its `Run`; what still runs at the end is killed."""
    runs = []

    def make(output=None, **sections) -> Run:
        runs.append(job_over(tmp_path / f"job{len(runs)}.yaml", clips, str(output or tmp_path / "out"), **sections))
        return runs[-1]

    yield make
    for run in runs:
        run.kill()


@pytest.fixture(scope="session")
def undisturbed_output(clips, tmp_path_factory) -> Path:
    """Output of the job of `make_run` that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job_over(folder / "job.yaml", clips, str(folder / "out")).done()
    return folder / "out"


@pytest.fixture(scope="session")
def undisturbed(undisturbed_output) -> Rows:
    """Its rows."""
    return rows_of(undisturbed_output)
