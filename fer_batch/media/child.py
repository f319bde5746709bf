"""The worker's end of a decoding process: what goes to it, what comes from it, and how it was lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.messages import Command, Message
from fer_batch.media.position import Position, oom_kills
from fer_batch.media.ring import Receiver

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
# What a process does to itself; every other signal comes from somebody else.
CRASHES = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"})
# A process with less of its own limit than this was not what the memory ran out for.
LARGE = 0.5
START_S = 60.0  # within which a process takes up its command, however busy the machine


Cause = Literal["limit", "crash", "outside"]


class ChildLost(Exception):
    """A decoding process is of no more use.

    Attributes
    ----------
    cause
        `limit`: it met its own limit of time or memory. `crash`: it ended by itself. `outside`: somebody ended,
        stopped or never started it, which says nothing of the file.
    place
        Of the file; see `Position.place`.
    """

    def __init__(self, text: str, cause: Cause, place: int = -1) -> None:
        super().__init__(text)
        self.cause = cause
        self.place = place


class Child:
    """One decoding process, the pipe to it and the socket from it.

    Parameters
    ----------
    memory_bytes
        Address space it may use.

    Raises
    ------
    ChildLost
        If the system does not start it.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._position = Position()
        self._n_oom_kills = oom_kills()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the child; _end closes it
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._receiver = Receiver(ours)
        try:
            with theirs:
                self._process = self._start(theirs.fileno())
        except OSError as error:
            self._receiver.close()
            self._errors.close()
            raise ChildLost(f"the decoder could not be started: {error}", "outside") from None
        finally:
            self._position.close()
        assert self._process.stdin is not None
        self._in = self._process.stdin.fileno()
        self._finalizer = weakref.finalize(self, _end, self._process, self._receiver, self._errors)

    def _start(self, out: int) -> subprocess.Popen[bytes]:
        arguments = ["--memory-bytes", str(self._memory_bytes), "--position", str(self._position.file)]
        if threading.current_thread() is threading.main_thread():
            # The kernel's parent-death signal follows the starting *thread*, so it is asked for only where that
            # thread lives as long as the process. Everywhere, the child also ends when its stdin closes.
            arguments += ["--parent", str(os.getpid())]
        # -P: the working directory of a job must not shadow a module.
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")])),
            "OPENBLAS_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "fer_batch.media.decode_child", *arguments],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=self._errors,
            env=environment,
            bufsize=0,
            pass_fds=[self._position.file],
        )

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill it."""
        self._finalizer()

    def send(self, command: Command) -> None:
        """Give it a command."""
        self._position.place = -1
        self._sent_at = time.monotonic()
        rest = memoryview(json.dumps(command).encode() + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._in, rest) :]
        except BrokenPipeError:
            raise self._lost() from None

    def receive(self, timeout_s: float) -> tuple[Message, NDArray[np.uint8] | None]:
        """Next message and its picture, uint8 of shape (H, W, 3), if it has one; waits `timeout_s` seconds.

        Raises
        ------
        ChildLost
            If none comes, or it says that its memory is used up.
        """
        try:
            message, picture = self._first_or_next(timeout_s)
        except TimeoutError:
            text = f"decoding made no progress for {timeout_s:g} s"
            raise self._loss(text, "outside" if self._stopped() or self._position.place < 0 else "limit") from None
        except EOFError:
            raise self._lost() from None
        if message["kind"] == "memory":
            raise self._loss(f"decoding needs more memory than the {self._memory_bytes >> 20} MiB it may use", "limit")
        return message, picture

    def _first_or_next(self, timeout_s: float) -> tuple[Message, NDArray[np.uint8] | None]:
        """Next message; the time that a busy machine takes to start the process is no part of the file's."""
        while True:
            try:
                return self._receiver.receive(timeout_s)
            except TimeoutError:
                late = time.monotonic() > self._sent_at + START_S
                if self._position.place >= 0 or late or self._stopped():
                    raise

    def _loss(self, text: str, cause: Cause) -> ChildLost:
        return ChildLost(text, cause, self._position.place)

    def _stopped(self) -> bool:
        """Whether somebody stopped it (SIGSTOP), or it waits for a disk or share that does not answer (Linux)."""
        with contextlib.suppress(OSError), open(f"/proc/{self._process.pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in "TtD"
        return False

    def _lost(self) -> ChildLost:
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return self._loss("the decoder closed its output", "crash")
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        said = f": {lines[-1].strip()[:200]}" if lines else ""
        if self._position.place < 0:  # it did not come to look at the file
            return self._loss(f"the decoder ended before it began ({_named(code)}){said}", "outside")
        if code >= 0 or _named(code) in CRASHES:
            return self._loss(f"the decoder ended with {_named(code)}{said}", "crash")
        if code == -signal.SIGKILL and oom_kills() > self._n_oom_kills:
            used = self._position.resident_bytes
            text = f"the kernel ended the decoder for want of memory; it held {used >> 20} MiB"
            return self._loss(text, "crash" if used >= LARGE * self._memory_bytes else "outside")
        return self._loss(f"the decoder was ended by {_named(code)}{said}", "outside")


def _named(code: int) -> str:
    """`code 1`, or the name of a signal."""
    if code >= 0:
        return f"code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"


def _end(process: subprocess.Popen[bytes], receiver: Receiver, errors: Any) -> None:
    """Kill and reap; the process keeps nothing that would have to be saved."""
    process.kill()
    process.wait()
    receiver.close()
    errors.close()
    if process.stdin is not None:
        process.stdin.close()
