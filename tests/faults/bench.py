"""Real runs of the real command, started, watched and disturbed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import yaml

T = TypeVar("T")
PATIENCE = 600.0  # seconds, for a small run to end on a machine that has other things to do
past_capture: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext  # pytest's, see conftest


class HungError(AssertionError):
    """What was waited for did not come."""


def until(condition: Callable[[], T], seconds: float = PATIENCE, step: float = 0.02) -> T:
    """Wait for a condition to give something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise HungError(f"nothing happened in {seconds:.0f} s")
        time.sleep(step)
    return found


def say(text: str) -> None:
    """A line of progress on the terminal."""
    line = f"    {time.strftime('%H:%M:%S')} {text}"
    with past_capture():
        print(line, flush=True)


@dataclass
class Run:
    """A job, and the driver that does it at present."""

    job: Path
    output: str
    environment: dict[str, str] = field(default_factory=dict)
    driver: subprocess.Popen[str] | None = None
    said: str = ""
    _drivers: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin in the background, as a user does on a terminal of his own; what it says goes to a file."""
        command = [sys.executable, "-m", "fer_batch.cli", "run", str(self.job), "--output", self.output, *arguments]
        environment = {key: value for key, value in os.environ.items() if key != "FER_BATCH_TRACEBACK"}
        with open(self.log, "w") as log:
            self.driver = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment | self.environment,
                start_new_session=True, preexec_fn=_with_default_signals,
            )  # fmt: skip
        self._drivers.append(self.driver)
        return self.driver

    @property
    def log(self) -> Path:
        """Where the driver writes what it says."""
        return self.job.with_suffix(".log")

    def reach(self, condition: Callable[[], T], seconds: float = PATIENCE) -> T | None:
        """Wait until a condition gives something; None where the driver ends before."""
        driver = self.driver
        return until(lambda: condition() or (driver.poll() is not None and "over"), seconds) if driver else None

    def reached(self, pattern: str, n: int = 1) -> bool:
        """Wait for so many files of the output that match; False where the driver ended before."""
        self.reach(lambda: len(list(Path(self.output).glob(pattern))) >= n)
        return len(list(Path(self.output).glob(pattern))) >= n

    def send(self, number: signal.Signals) -> None:
        """Send the driver a signal; nothing happens where it is over."""
        with contextlib.suppress(ProcessLookupError):
            self.driver.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for the end; the exit code."""
        code = self.driver.wait(seconds)
        self.said = self.log.read_text()
        return code

    def done(self, *arguments: str, code: int = 0, seconds: float = PATIENCE) -> dict:
        """Run to the end, check the exit code, give the outcome."""
        self.start("--json", *arguments)
        found = self.wait(seconds)
        assert found == code, f"exit code {found}: {self.said[-3000:]}"
        return json.loads(next(line for line in reversed(self.said.splitlines()) if line.startswith("{")))

    def finish(self, tries: int = 3) -> int:
        """Give the same command until it is done; how often it failed, each time with a sentence that says why."""
        for n in range(tries):
            self.start()
            if self.wait() == 0:
                return n
            assert "\nerror: " in f"\n{self.said}" and "Traceback" not in self.said, self.said[-3000:]
        raise AssertionError(f"not done after {tries} runs: {self.said[-3000:]}")

    def kill(self) -> None:
        """Kill whatever was started."""
        for driver in self._drivers:
            driver.kill()
            driver.wait()


def _with_default_signals() -> None:
    """Who runs the tests in the background has Ctrl-C ignored, which children inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def job_over(path: Path, source: Path | str, output: str, **sections: object) -> Run:
    """Write a job; sections that are given are added to those here."""
    values: dict[str, object] = {
        "name": "posed",
        "source": {"format": "videos", "uri": str(source)},
        "model": {"checkpoint": "demo"},
        "faces": {"detector": "dataset"},
        "explain": {"method": "gradient"},
        "resources": {"num_cpus": 2, "object_store_mb": 128, "window": 1, "shard_units": 2},
        "phases": ["explain", "prototypes"],
    }
    for name, given in sections.items():
        known = values.get(name, {})
        values[name] = {**known, **given} if isinstance(given, dict) and isinstance(known, dict) else given
    path.write_text(yaml.safe_dump(values))
    return Run(path, output)


def descendants(pid: int) -> list[psutil.Process]:
    """All processes below one; none where it is gone."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def working(pid: int, title: str) -> psutil.Process | None:
    """A process below one whose command line has a text, while it works."""
    for child in descendants(pid):
        with contextlib.suppress(psutil.Error):
            command = " ".join(child.cmdline())
            if title in command and "IDLE" not in command:
                return child
    return None
