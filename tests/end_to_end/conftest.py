"""Real runs of the real command: posed clips and stills, a reference output, and tables to compare.

What is killed, and one run of each kind, is started as a user starts it. The other runs are the same command in this
process, on one Ray for all of this folder: most of the CPU of a small run goes into starting Ray and importing PyTorch.
What several modules read is made once, by the first worker of pytest-xdist that asks for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from fer_batch import cli
from fer_batch.posed.clips import write_clips
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store

SORT = ("sequence_id", "frame_index", "target", "stage_index", "episode_index", "cluster")
COMPARED = (
    "sequences",
    "frames",
    "annotations",
    "detections",
    "relevance",
    "prototypes",
    "stages",
    "temporal_prototypes",
    "episodes",
    "heatmaps",
    "class_prototypes",
)


def rows(output: Path | str, table: str) -> pa.Table:
    """A table as rows in a fixed order, without what says who wrote it when."""
    found = read(Store(str(output)), table)
    found = found.drop_columns([name for name in ("run_id",) if name in found.column_names])
    keys = [(name, "ascending") for name in (*SORT, "group") if name in found.column_names]
    return (found.sort_by(keys) if keys else found).combine_chunks()


def assert_same_tables(one: Path | str, other: Path | str) -> None:
    """Every table equal, row for row; `uri` may differ, because a source may move."""
    for table in COMPARED:
        left, right = rows(one, table), rows(other, table)
        if "uri" in left.column_names:
            left, right = left.drop_columns(["uri"]), right.drop_columns(["uri"])
        assert left.num_rows == right.num_rows, f"{table}: {left.num_rows} rows and {right.num_rows}"
        for name in left.column_names:
            assert left[name].equals(right[name]), f"{table}.{name} differs"


def called(arguments: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """What a command says and how it ends, in this process."""
    out, said = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        code = cli.main(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), said.getvalue())


@dataclass
class Job:
    """A job file in a folder of its own, and runs of it."""

    path: Path
    output: str
    environment: dict[str, str] = field(default_factory=dict)
    here: bool = False  # in this process, on the Ray of fixture `engine`

    def command(self, *arguments: str) -> list[str]:
        """The command line of a run."""
        return [sys.executable, "-m", "fer_batch.cli", "run", str(self.path), "--output", self.output, *arguments]

    def run(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        environment = {"FER_BATCH_TRACEBACK": "1", **self.environment}
        command = self.command(*arguments)
        if self.here:
            return called(command[command.index("run") :], environment)
        environment = {**os.environ, **environment}
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run in the background."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self.environment},
        )

    def done(self, *arguments: str, code: int = 0) -> dict:
        """Run to the end, check the exit code, give the outcome."""
        finished = self.run("--json", *arguments)
        assert finished.returncode == code, finished.stderr[-3000:]
        return json.loads(finished.stdout.strip().splitlines()[-1])


def until(condition, seconds: float = 120.0, step: float = 0.01):
    """Wait for a condition to give something; fail the test if it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(step)
    pytest.fail(f"nothing happened in {seconds} s")


@pytest.fixture
def make_job(tmp_path):
    """A function that writes a job file and gives its `Job`."""

    def make(source: Path | str, output: Path | str | None = None, environment=None, **sections) -> Job:
        values = {
            "name": "posed",
            "source": {"format": "videos", "uri": str(source)},
            "model": {"checkpoint": "demo"},
            "faces": {"detector": "dataset"},
            "resources": {"num_cpus": 2, "object_store_mb": 256},
            "phases": ["explain", "prototypes"],  # the reference run and the run on S3 draw a report
        }
        for key, value in sections.items():
            values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(values))
        return Job(path, str(output or tmp_path / "out"), environment or {})

    return make


MODULES = Path(__file__).parent / "modules"
ENGINE = contextlib.ExitStack()  # holds the Ray of this process while a test of this folder is next


def start_engine():
    """The `ray` module, with the one Ray of this process running; what it starts finds `modules/`."""
    import ray

    from fer_batch.pipeline.engine import ray_engine

    if not ray.is_initialized():
        patch = ENGINE.enter_context(pytest.MonkeyPatch.context())
        patch.syspath_prepend(str(MODULES))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(MODULES), os.environ.get("PYTHONPATH")))))
        patch.setenv("FRAMES_SEEN", f"{ENGINE.enter_context(tempfile.TemporaryDirectory())}/frames")
        ENGINE.enter_context(ray_engine(2, 256))
    return ray


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """End the Ray of this process after its last test of this folder."""
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path.parent != Path(__file__).parent:
            ENGINE.close()


@pytest.fixture(scope="module")
def engine():
    """One Ray for all runs in this process."""
    return start_engine()


@pytest.fixture(scope="module")
def frames_seen(engine) -> Path:
    """The file to which `counting_faces:Detector` writes a line for each frame that it is shown."""
    return Path(os.environ["FRAMES_SEEN"])


@pytest.fixture
def make_job_here(make_job, engine):
    """As `make_job`, for runs in this process."""
    return lambda *arguments, **sections: replace(make_job(*arguments, **sections), here=True)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A function that gives a folder, filled by the first worker of pytest-xdist that asks for it."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, fill) -> Path:
        folder, whole = root / f"once_{name}", root / f"once_{name}.whole"
        with open(root / f"once_{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                whole.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def posed_clips(made_once) -> Path:
    """Six short posed clips of two people, with ground truth; not to be changed."""
    return made_once("clips", lambda folder: write_clips(folder, n_clips=6, seed=3, n_frames=(18, 24), size=192))


@pytest.fixture(scope="session")
def explained(posed_clips, made_once) -> Job:
    """A job over the posed clips, and its output after phase 1; not to be changed."""
    job = {
        "name": "posed",
        "source": {"format": "videos", "uri": str(posed_clips)},
        "output": "out",
        "model": {"checkpoint": "demo"},
        "faces": {"detector": "dataset"},
        "resources": {"num_cpus": 2, "object_store_mb": 256},
    }

    def fill(folder: Path) -> None:
        start_engine()
        (folder / "job.yaml").write_text(yaml.safe_dump(job))
        assert job_in(folder).done("--set", "phases=[explain]")["done"] == 6

    return job_in(made_once("explained", fill))


def job_in(folder: Path) -> Job:
    """The job of a folder, for runs in this process into the folder."""
    return Job(folder / "job.yaml", str(folder / "out"), here=True)


@pytest.fixture(scope="session")
def reference(explained, made_once) -> Path:
    """Output over the posed clips after phase 2 and report; nothing disturbed it, and nothing may change it."""

    def fill(folder: Path) -> None:
        start_engine()
        shutil.copytree(explained.output, folder / "out")
        assert replace(explained, output=str(folder / "out")).done()["already_done"] == 6

    return made_once("reference", fill) / "out"


@pytest.fixture
def explained_copy(explained, tmp_path) -> Path:
    """A copy of what phase 1 has put out, in which a test may start phase 2."""
    return Path(shutil.copytree(explained.output, tmp_path / "explained"))


@pytest.fixture
def copied(reference, tmp_path) -> Path:
    """A copy of the reference output that a test may change."""
    return Path(shutil.copytree(reference, tmp_path / "copied"))


@pytest.fixture
def helpers():
    """Functions that tests share."""

    class Helpers:
        """A namespace."""

        rows = staticmethod(rows)
        assert_same_tables = staticmethod(assert_same_tables)
        until = staticmethod(until)
        count = staticmethod(lambda table, column, value: pc.sum(pc.equal(table[column], value)).as_py() or 0)

    return Helpers
