"""What an embedded Ray needs around it: a private token, somebody who ends it after a killed driver, an eye on it."""

from __future__ import annotations

import _thread
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fer_batch.pipeline import keeper
from fer_batch.types import EnvironmentFault

MARK = "FER_BATCH_DRIVER"  # in the environment of every process of an embedded Ray
WATCHED = {"raylet": "its raylet, which runs the tasks,", "gcs_server": "its GCS, which knows what runs where,"}
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 20.0  # for a driver to end by itself after its Ray has


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
def kept() -> Iterator[None]:
    """Within it, a killed driver leaves no process and no session folder of its Ray behind."""
    mark = f"{os.getpid()}-{uuid.uuid4().hex}"
    before = os.environ.get(MARK)
    os.environ[MARK] = mark
    temporary = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # as Ray chooses it
    sessions = f"{temporary}/ray/session_*_{os.getpid()}"
    command = [sys.executable, "-I", "-S", str(keeper.__file__), f"{MARK}={mark}", str(os.getpid()), sessions]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        if before is None:
            os.environ.pop(MARK, None)
        else:
            os.environ[MARK] = before


class Watch:
    """An eye on the two processes without which an embedded Ray does nothing, and says so late or in its own words.

    Parameters
    ----------
    ray
        The module, with a local cluster that runs.
    """

    def __init__(self, ray: Any) -> None:
        node = ray._private.worker._global_node
        self._processes = {
            kind: info.process for kind, found in node.all_processes.items() if kind in WATCHED for info in found
        }
        self._stop = threading.Event()
        self.lost: str | None = None
        self._thread = threading.Thread(target=self._look, name="fer_batch-watch", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for kind, process in self._processes.items():
                code = process.poll()
                if code is not None:
                    self.lost = f"Ray stopped: {WATCHED[kind]} {_ended(code)}, perhaps for lack of memory"
                    _thread.interrupt_main()
                    if not self._stop.wait(PATIENCE_SECONDS):
                        self._leave()
                    return

    def _leave(self) -> None:
        """End a driver that hangs in what is no more."""
        os.write(2, f"error: {self.lost}; what was finished is kept: run the same command again\n".encode())
        known = keeper.processes()
        keeper.end(keeper.descendants({os.getpid()}, known), known)
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
            yield
        except BaseException as error:
            if self.lost is None and not isinstance(error, KeyboardInterrupt):
                self._stop.wait(2 * LOOK_SECONDS)  # what failed for it may be seen first
            if self.lost is None:
                raise
            raise EnvironmentFault(self.lost) from error

    def end_rest(self) -> None:
        """After a loss, end what still runs of this Ray: it would wait for what was lost."""
        if self.lost is not None:
            known = keeper.processes()
            workers = {process.pid for process in self._processes.values()}
            mine = keeper.descendants({os.getpid()}, known)
            keeper.end({pid: at for pid, at in mine.items() if _is_of_ray(pid) or pid in workers}, known)


def _is_of_ray(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as handle:
        return b"ray" in handle.read()
    return False


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
