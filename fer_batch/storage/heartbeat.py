"""The sign of life of a run: a small file in the output that says who runs it, where it is, and how it ended.

`_running/<run_id>.json` is written again every `BEAT_SECONDS`, and goes when the run ends well; of one that ended with
an error it stays, with the error, until the next run of the output. A sign older than `STALE_SECONDS` is of a run that
was killed or whose machine is gone, unless its process is seen to live here: its store may hang, or a clock was set.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from fer_batch.storage.store import Store

RUNNING = "_running"
PRUNE = "prune-"  # how the name of the sign of a prune begins; no run has such a name
BEAT_SECONDS = 15.0
STALE_SECONDS = 90.0
JOIN_SECONDS = 5.0  # for the last sign: a store that hangs must not keep the run from ending


@dataclass(frozen=True)
class Work:
    """What a run is at.

    Attributes
    ----------
    what
        Name of the part of the run, such as `explain`.
    done, total, unit
        Of the part: 3 of 40 inputs.
    frames, frames_per_s
        Explained so far by this run, and of the part each second.
    seconds_left
        Of the part, where enough is done to tell.
    last_error
        Of an input that failed or could not be read.
    """

    what: str = "starting"
    done: int = 0
    total: int = 0
    unit: str = ""
    frames: int = 0
    frames_per_s: float | None = None
    seconds_left: float | None = None
    last_error: str | None = None


@dataclass(frozen=True)
class Sign:
    """A sign of life of a run.

    Attributes
    ----------
    run_ids
        Of its rows in table `runs`, one for each explanation.
    host, pid
        Machine and process of the driver.
    started_at, seen_at, ended_at
        UTC, as ISO 8601 with seconds; the last where it ended with an error.
    work
        What it is at.
    error
        Why it ended.
    place
        Boot and process namespace in which `pid` means that process; empty where the system does not say.
    born
        When that process started, in ticks since the boot: a number is given again to another process; empty as above.
    """

    run_ids: tuple[str, ...]
    host: str
    pid: int
    started_at: str
    seen_at: str
    work: Work
    ended_at: str | None = None
    error: str | None = None
    place: str = ""
    born: str = ""

    @property
    def prunes(self) -> bool:
        """Whether it is of a prune, not of a run."""
        return self.run_ids[0].startswith(PRUNE)

    @property
    def age_s(self) -> float:
        """Seconds since the sign was given."""
        return (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(self.seen_at)).total_seconds()

    @property
    def state(self) -> str:
        """What became of the run.

        `running`, `ended` with an error, `killed` (without a word, or with its machine), or `unknown` where the sign is
        of a time to come, because the clock of this machine or of that one is wrong.
        """
        if self.ended_at:
            return "ended"
        if self.place and self.place == _place():
            if self.born and (born := _born(self.pid)):
                return "running" if born == self.born else "killed"
            if not _is_alive(self.pid):
                return "killed"
        if self.age_s > STALE_SECONDS:
            return "killed"
        return "unknown" if self.age_s < -STALE_SECONDS else "running"


def _place() -> str:
    """Boot of the kernel and namespace of processes: containers of one host name have each their own numbers."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as handle:
        return f"{handle.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _born(pid: int) -> str:
    """When a process started, in ticks since the boot; empty where it cannot be seen, or has ended."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as handle:
        fields = handle.read().rpartition(") ")[2].split()
        return fields[19] if fields[0] not in "ZX" else ""
    return ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # unlike /proc, which may hide those of other users
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


@contextlib.contextmanager
def beating(
    store: Store, run_ids: Sequence[str], work: Callable[[], Work], sentence: Callable[[BaseException], str]
) -> Iterator[None]:
    """Within it, the output shows from the start that a run goes on; afterwards, an error if there was one.

    Parameters
    ----------
    store
        The output.
    run_ids
        Of the run, one for each explanation.
    work
        Says what it is at.
    sentence
        Says what went wrong.
    """
    host, pid, start = socket.gethostname(), os.getpid(), _now()
    first = Sign(tuple(run_ids), host, pid, start, start, Work(), place=_place(), born=_born(pid))
    last: list[Sign] = []  # that stays; none of a run that ends well
    shown, stop = threading.Event(), threading.Event()

    def beat() -> None:  # alone touches the store, so that no sign comes after the last
        _quietly(lambda: _forget_others(store, first))
        while True:
            _quietly(lambda: _put(store, replace(first, seen_at=_now(), work=work())))
            shown.set()
            if stop.wait(BEAT_SECONDS):
                break
        _quietly(lambda: _put(store, replace(last[0], work=work())) if last else store.delete(_path(first)))

    thread = threading.Thread(target=beat, name="fer_batch-heartbeat", daemon=True)
    thread.start()
    try:
        shown.wait(JOIN_SECONDS)  # of a run and a prune that start together, one at least sees the other
        yield
    except BaseException as error:
        why = "stopped by hand" if isinstance(error, KeyboardInterrupt | SystemExit) else sentence(error)
        last.append(replace(first, seen_at=_now(), ended_at=_now(), error=why))
        raise
    finally:
        stop.set()
        thread.join(timeout=JOIN_SECONDS)


def _forget_others(store: Store, own: Sign) -> None:
    """Remove signs of runs that are known to be over; a prune leaves how the last run ended."""
    for old in read_signs(store):
        if old.state in ("ended", "killed") and (old.prunes or not own.prunes):
            store.delete(_path(old))


def _path(sign: Sign) -> str:
    return f"{RUNNING}/{sign.run_ids[0]}.json"


def _put(store: Store, sign: Sign) -> None:
    store.put(_path(sign), json.dumps(asdict(sign)).encode())


def _quietly(action: Callable[[], object]) -> None:
    """Do what a run can do without: a store that refuses the sign refuses the results too, and then that is said."""
    with contextlib.suppress(Exception):
        action()


def read_signs(store: Store) -> list[Sign]:
    """Signs of the runs of an output, the latest first.

    Parameters
    ----------
    store
        The output.
    """
    found = []
    for name in store.names(RUNNING):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # it goes while it is read
            values = json.loads(store.read_bytes(f"{RUNNING}/{name}"))
            found.append(Sign(**{**values, "run_ids": tuple(values["run_ids"]), "work": Work(**values["work"])}))
    return sorted(found, key=lambda sign: sign.started_at, reverse=True)


def sign_lines(signs: list[Sign]) -> list[str]:
    """The same for a person."""
    lines = []
    for sign in signs:
        who = f"process {sign.pid} on {sign.host}, since {sign.started_at}"
        if sign.state == "running":
            lines.append(f"  running: {work_text(sign.work)}; {who}, last sign {max(sign.age_s, 0):.0f} s ago")
            lines += [f"    last error: {sign.work.last_error}"] if sign.work.last_error else []
        elif sign.state == "ended":
            lines.append(f"  last {'prune' if sign.prunes else 'run'} ended at {sign.ended_at}: {sign.error}")
        elif sign.state == "unknown":
            ahead = f"last sign {span_text(-sign.age_s)} ahead of the clock of this machine"
            lines.append(f"  not known whether it runs: {work_text(sign.work)}; {who}, {ahead}")
        else:
            at = f"at {work_text(sign.work)}, {sign.seen_at}"
            lines.append(f"  was killed: {who}; last seen {at}; run the same command again")
    return lines


def work_text(work: Work) -> str:
    """What a run is at, in a few words: `explain 3 of 40 inputs, 512 frames, 34 frames/s, about 5 min left`."""
    parts = [f"{work.what} {work.done} of {work.total} {work.unit}s" if work.total else work.what]
    if work.frames:
        parts.append(f"{work.frames} frames")
    if work.frames_per_s:
        parts.append(f"{work.frames_per_s:.3g} frames/s")
    if work.seconds_left is not None:
        parts.append(f"about {span_text(work.seconds_left)} left")
    return ", ".join(parts)


def span_text(seconds: float) -> str:
    """A time span for a person: `40 s`, `5 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
