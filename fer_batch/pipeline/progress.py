"""What a person sees while it works: bars on a terminal, plain lines otherwise, or JSON lines for a machine."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tqdm import tqdm

from fer_batch.storage.heartbeat import Work, span_text
from fer_batch.types import STATUSES

LINE_SECONDS = 15.0
TELLING_SECONDS = 5.0  # of work before a rate says anything


@dataclass
class _Log:
    """How this process speaks, and what it is at; the heartbeat asks from a thread of its own."""

    as_json: bool = False
    part: Part | None = None
    frames: int = 0  # of the whole run
    last_error: str | None = None  # of an input


_LOG = _Log()


def log_json(on: bool = True) -> None:
    """Let every line be a JSON object with `time` and `event`, such as `message`, `progress`, `unit` or `error`."""
    _LOG.as_json = on


def event(name: str, **values: object) -> None:
    """A line for a machine; nothing where a person reads.

    Parameters
    ----------
    name
        What happened.
    values
        What is said of it, as JSON values.
    """
    if _LOG.as_json:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        sys.stderr.write(json.dumps({"time": now, "event": name, **values}) + "\n")  # whole beside those of threads
        sys.stderr.flush()


def say_end(name: str, text: str, exit_code: int) -> None:
    """Say why a command ends early.

    Parameters
    ----------
    name
        For a machine: `error`, or `stopped` by hand.
    text
        For a person; one line or more.
    exit_code
        Of the process.
    """
    if _LOG.as_json:
        event(name, text=text.strip().removeprefix("error: "), exit_code=exit_code)
    else:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def note_error(text: str) -> None:
    """Remember what was wrong with an input, for the heartbeat."""
    _LOG.last_error = text


def say(text: str) -> None:
    """One line for the person, beside a running bar without breaking it."""
    if _LOG.as_json:
        event("message", text=text)
    else:
        tqdm.write(text, file=sys.stderr)


def counted(counts: Mapping[str, int]) -> str:
    """`found 6 = done 5 + partial 0 + failed 1 + skipped 0`."""
    return f"found {counts['found']} = " + " + ".join(f"{status} {counts[status]}" for status in STATUSES)


def work_now() -> Work:
    """What this process is at."""
    part = _LOG.part
    return Work(frames=_LOG.frames, last_error=_LOG.last_error) if part is None else part.work()


@dataclass
class Part:
    """A part of a run; called with how many more are done, and how many frames that took.

    Attributes
    ----------
    what, total, unit
        As of `progress`.
    done, frames
        So far.
    """

    what: str
    total: int
    unit: str
    bar: tqdm | None = None
    done: int = 0
    frames: int = 0
    started: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)

    def __call__(self, n: int, n_frames: int = 0) -> None:
        """Count and, from time to time, tell."""
        if not n and not n_frames:
            return  # asked again while what was done is saved
        is_first = not self.frames and n_frames
        self.done += n
        self.frames += n_frames
        _LOG.frames += n_frames
        if self.bar is not None:
            self.bar.update(n)
            if self.frames:
                self.bar.set_postfix_str(self._frames_text(), refresh=not n)
            return
        now = time.monotonic()
        if is_first or now - self.last >= LINE_SECONDS or (n and self.done == self.total):
            self.last = now
            self._tell(now - self.started)

    def work(self) -> Work:
        """What it is at."""
        seconds = time.monotonic() - self.started
        is_telling = seconds >= TELLING_SECONDS
        left = seconds / self.done * (self.total - self.done) if is_telling and self.done else None
        rate = self.frames / seconds if is_telling and self.frames else None
        return Work(self.what, self.done, self.total, self.unit, _LOG.frames, rate, left, _LOG.last_error)

    def _frames_text(self) -> str:
        work = self.work()
        return f"{self.frames} frames" + (f", {work.frames_per_s:.3g} frames/s" if work.frames_per_s else "")

    def _tell(self, seconds: float) -> None:
        work = self.work()
        if _LOG.as_json:
            known = {"frames": self.frames, "frames_per_s": work.frames_per_s, "seconds_left": work.seconds_left}
            event("progress", part=self.what, done=self.done, total=self.total, unit=self.unit, **known)
            return
        words = [f"{self.done} of {self.total} {self.unit if self.total == 1 else self.unit + 's'}"]
        words += [self._frames_text()] if self.frames else []
        words.append(f"{seconds:.0f} s")
        words += [f"about {span_text(work.seconds_left)} left"] if work.seconds_left else []
        say(f"{self.what}: {', '.join(words)}")


@contextlib.contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Part]:
    """A function that is told how many more are done, and of how many frames.

    Parameters
    ----------
    what
        The part of the run.
    total
        How many there are to do.
    unit
        What is counted.
    """
    part = Part(what, total, unit)
    if not total:
        yield part
        return
    _LOG.part = part
    try:
        if sys.stderr.isatty() and not _LOG.as_json:
            with tqdm(total=total, desc=what, unit=unit, file=sys.stderr, dynamic_ncols=True) as part.bar:
                yield part
        else:
            say(f"{what}: {total} {unit if total == 1 else unit + 's'}")
            yield part
    finally:
        _LOG.part = None
