"""What an embedded Ray needs around it: a private token, somebody who ends it after a killed driver, an eye on it."""

from __future__ import annotations

import _thread
import contextlib
import glob
import os
import secrets
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_batch.pipeline import keeper
from fer_batch.types import EnvironmentFault

MARK = "FER_BATCH_DRIVER"  # in the environment of every process of an embedded Ray
WATCHED = {"raylet": "its raylet, which runs the tasks,", "gcs_server": "its GCS, which knows what runs where,"}
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 20.0  # for a driver to end by itself after its Ray has
_is_own = False  # whether this process does nothing but a run


def private_token() -> None:
    """Write the token of a local Ray where there is none, readable by nobody else from its first moment.

    Ray would write it readable by everybody. One that is there, and is only to be read by others too, is made private.
    """
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    with contextlib.suppress(OSError):  # Ray then says what is wrong with the place
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        with open(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(secrets.token_hex(32))
        try:
            os.link(own, path)  # whole or not at all, and the first of several runs wins
        except FileExistsError:
            os.chmod(path, 0o600)
        finally:
            own.unlink()


@contextlib.contextmanager
def own_process() -> Iterator[None]:
    """Within it, this process does nothing but a run, and may be interrupted and ended with its Ray."""
    global _is_own
    before, _is_own = _is_own, True
    try:
        yield
    finally:
        _is_own = before


@dataclass
class Kept:
    """What one embedded Ray is known by.

    Attributes
    ----------
    mark
        Variable and value in the environment of its processes.
    sessions, others
        Pattern of its session folder, and those that were there before.
    is_clean
        Whether all of it is gone, so that nobody need end it after this process.
    """

    mark: str
    sessions: str
    others: set[str]
    is_clean: bool = False

    @contextlib.contextmanager
    def marking(self) -> Iterator[None]:
        """Within it, what this process starts has the mark."""
        name, _, value = self.mark.partition("=")
        before = os.environ.get(name)
        os.environ[name] = value
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before

    def end_processes(self) -> None:
        """End what runs of it."""
        known = keeper.processes()
        keeper.end(keeper.of_run(self.mark.encode(), known), known)

    def remove_sessions(self) -> None:
        """Remove its session folder."""
        keeper.remove(self.sessions, self.others)


@contextlib.contextmanager
def kept() -> Iterator[Kept]:
    """Within it, a killed driver leaves no process and no session folder of its Ray behind.

    The same afterwards where the end was interrupted, once this process is gone. In a process that does nothing else
    all it starts belongs to the run; otherwise only what starts within `Kept.marking`.
    """
    temporary = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # as Ray chooses it
    sessions = f"{glob.escape(temporary)}/ray/session_*_{os.getpid()}"
    found = Kept(f"{MARK}={os.getpid()}-{uuid.uuid4().hex}", sessions, set(glob.glob(sessions)))
    command = [sys.executable, "-I", "-S", str(keeper.__file__), found.mark, str(os.getpid()), sessions, *found.others]
    # Started without the mark: it must not end itself.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True
    )
    try:
        with found.marking() if _is_own else contextlib.nullcontext():
            yield found
    finally:
        if found.is_clean:
            process.terminate()
            process.wait()


class Watch:
    """An eye on the two processes without which an embedded Ray does nothing, and says so late or in its own words.

    Parameters
    ----------
    ray
        The module, with a local cluster that runs.
    kept
        Its mark.
    """

    def __init__(self, ray: Any, kept: Kept) -> None:
        node = ray._private.worker._global_node
        self._processes = {
            kind: info.process for kind, found in node.all_processes.items() if kind in WATCHED for info in found
        }
        self._kept = kept
        self._is_own = _is_own and threading.current_thread() is threading.main_thread()
        self._inside = threading.Lock()  # held while it changes whether the block may be interrupted, or is
        self._may_interrupt = False
        self._found, self._stop = threading.Event(), threading.Event()
        self.lost: str | None = None
        self._thread = threading.Thread(target=self._look, name="fer_batch-watch", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for kind, process in self._processes.items():
                code = process.poll()
                if code is not None:
                    self.lost = f"Ray stopped: {WATCHED[kind]} {_ended(code)}, perhaps for lack of memory"
                    self._found.set()
                    self._act()
                    return

    def _act(self) -> None:
        """After a loss, see that the driver ends, or what it waits for."""
        if not self._is_own:
            self._kept.end_processes()
            return
        with self._inside:
            if self._may_interrupt:
                _thread.interrupt_main()
        if not self._stop.wait(PATIENCE_SECONDS):
            self._leave()

    def _leave(self) -> None:
        """End a driver that hangs in what is no more; its keeper then removes the session folder."""
        from fer_batch.pipeline.progress import say_end  # not for every command: it imports the store

        say_end("error", f"error: {self.lost}; what was finished is kept: run the same command again", 1)
        self._kept.end_processes()
        os._exit(1)

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    @contextlib.contextmanager
    def saying(self) -> Iterator[None]:
        """Within it, whatever comes of the loss of a process is said as that.

        Raises
        ------
        EnvironmentFault
            If one was lost.
        """
        try:
            try:
                self._allow(True)
                yield
            finally:
                self._allow(False)  # an interruption that is under way arrives within this call at the latest
        except BaseException as error:
            if self.lost is None and not isinstance(error, KeyboardInterrupt):
                self._found.wait(2 * LOOK_SECONDS)  # what failed for it may be seen first
            if self.lost is None:
                raise
            raise EnvironmentFault(self.lost) from error

    def _allow(self, may_interrupt: bool) -> None:
        with self._inside:
            self._may_interrupt = may_interrupt

    def end_rest(self) -> None:
        """After a loss, end what still runs of this Ray: it would wait for what was lost."""
        if self.lost is not None:
            self._kept.end_processes()


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
