"""A small process that outlives a run which is killed, and ends what the run's embedded Ray leaves behind.

`kill -9` of the driver takes Ray's two main processes with it, but not its agents and workers, nor the decoders of
these. Run as a script; it imports nothing of this package, so that it starts in no time:

    python -I -S keeper.py MARK PARENT PATTERN FOLDER...

It watches the process PARENT, and when that is gone ends all that carries MARK in its environment or descended from
such a process, and removes the folders that PATTERN finds, less FOLDER..., which were there before. What else the
parent started is not touched: it may be a program that uses this one. SIGTERM says that the run ended well.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import sys
import time

LOOK_SECONDS = 0.5  # from one look at the parent to the next
SCAN_LOOKS = 4  # looks from one list of its descendants to the next
FOLLOW_SECONDS = 10.0  # for which what is left is looked for


def processes() -> dict[int, tuple[int, str]]:
    """Parent and time of start of every process of this machine, by its number; empty where there is no `/proc`."""
    found = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as handle:
                fields = handle.read().rpartition(b") ")[2].split()
                if fields[0] != b"Z":
                    found[int(name)] = int(fields[1]), fields[19].decode()
    return found


def descendants(of: set[int], known: dict[int, tuple[int, str]]) -> dict[int, str]:
    """Numbers and times of start of all processes that descend from some.

    Parameters
    ----------
    of
        Numbers of the first ones, which are not among those found.
    known
        As `processes` gives it.
    """
    found: dict[int, str] = {}
    level = set(of)
    while level:
        level = {pid for pid, (parent, _) in known.items() if parent in level and pid not in found}
        found |= {pid: known[pid][1] for pid in level}
    return found


def marked(mark: bytes, known: dict[int, tuple[int, str]]) -> dict[int, str]:
    """Numbers and times of start of processes of this user that were started with a text in their environment.

    Parameters
    ----------
    mark
        The text.
    known
        As `processes` gives it.
    """
    found = {}
    for pid, (_, started) in known.items():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as handle:
            if mark in handle.read():
                found[pid] = started
    return found


def of_run(mark: bytes, known: dict[int, tuple[int, str]]) -> dict[int, str]:
    """Numbers and times of start of all processes of a run: those with its mark, and what these started.

    Parameters
    ----------
    mark
        As `marked` takes it.
    known
        As `processes` gives it.
    """
    own = marked(mark, known)
    return own | descendants(set(own), known)


def end(victims: dict[int, str], known: dict[int, tuple[int, str]]) -> None:
    """End processes that are still those that were listed.

    Parameters
    ----------
    victims
        Numbers and times of start.
    known
        As `processes` gives it.
    """
    for pid, started in victims.items():
        if pid != os.getpid() and known.get(pid, (0, ""))[1] == started:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def remove(pattern: str, others: set[str]) -> None:
    """Remove folders.

    Parameters
    ----------
    pattern
        Of their paths.
    others
        Paths that it finds too, of folders that stay.
    """
    for folder in set(glob.glob(pattern)) - others:
        shutil.rmtree(folder, ignore_errors=True)


def keep(mark: str, parent: int, pattern: str, others: set[str]) -> None:
    """Wait for the end of the parent, then end what its run left and remove its folders.

    Parameters
    ----------
    mark
        In the environment of what the run starts.
    parent
        Its number.
    pattern, others
        As `remove` takes them.
    """
    victims: dict[int, str] = {}
    looks = 0
    while os.getppid() == parent:
        if looks % SCAN_LOOKS == 0:  # one may end before the parent, and leave behind what it started
            known = processes()
            victims = {pid: at for pid, at in victims.items() if known.get(pid, (0, ""))[1] == at}
            victims |= of_run(mark.encode(), known)
        looks += 1
        time.sleep(LOOK_SECONDS)
    stop = time.monotonic() + FOLLOW_SECONDS
    while time.monotonic() < stop:
        known = processes()
        victims |= of_run(mark.encode(), known) | descendants(set(victims), known)
        end(victims, known)
        time.sleep(LOOK_SECONDS)
        known = processes()
        if all(known.get(pid, (0, ""))[1] != at for pid, at in victims.items() if pid != os.getpid()):
            break
    remove(pattern, others)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep(sys.argv[1], int(sys.argv[2]), sys.argv[3], set(sys.argv[4:]))
