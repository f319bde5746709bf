"""Where a decoding process is and what memory it holds, kept in shared memory that outlives the process.

What a process has written to a pipe tells less: it dies with words that were not sent yet, so that two deaths at the
same place of a file would look like deaths at two places.
"""

from __future__ import annotations

import contextlib
import mmap
import os

from fer_batch.media.ring import nameless_file

_BYTES = 16
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Position:
    """Two numbers that one process writes and another reads.

    Parameters
    ----------
    file
        Descriptor of the shared memory that another process made; None makes it.
    """

    def __init__(self, file: int | None = None) -> None:
        if file is None:
            file = nameless_file()
            os.ftruncate(file, _BYTES)
        self.file = file
        self._values = memoryview(mmap.mmap(file, _BYTES)).cast("q")
        self.place = -1

    @property
    def place(self) -> int:
        """Pieces of the file (packets of a clip) that were taken up; -1 before the command was."""
        return self._values[0]

    @place.setter
    def place(self, place: int) -> None:
        self._values[0] = place

    @property
    def resident_bytes(self) -> int:
        """Memory that the process held when it last looked; 0 where the system does not say (not Linux)."""
        return self._values[1]

    def note_memory(self) -> None:
        """Look how much memory this process holds."""
        with contextlib.suppress(OSError), open("/proc/self/statm", "rb") as statm:
            self._values[1] = int(statm.read().split()[1]) * _PAGE

    def close(self) -> None:
        """Close the descriptor; the numbers can still be read."""
        os.close(self.file)


def oom_kills() -> int:
    """Processes that the kernel's out-of-memory killer has ended, in this process's cgroup or anywhere on the machine.

    Returns
    -------
    A count that only grows; 0 where the system does not say.
    """
    counts = [0]
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as lines:
        for line in lines:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controllers == "":
                counts += _counts(f"/sys/fs/cgroup{path}/memory.events")
            elif "memory" in controllers.split(","):
                counts += _counts(f"/sys/fs/cgroup/memory{path}/memory.oom_control")
    counts += _counts("/proc/vmstat")
    return max(counts)


def _counts(path: str) -> list[int]:
    with contextlib.suppress(OSError), open(path) as lines:
        return [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return []
