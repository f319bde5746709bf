"""Two numbers that one process writes and another reads, also when the first is gone."""

import os
import sys

import pytest

from fer_batch.media.position import Position


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_process_wrote_outlives_it():
    ours = Position()
    assert ours.place == -1
    child = os.fork()
    if child == 0:
        theirs = Position(ours.file)
        theirs.place = 7
        theirs.note_memory()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert ours.place == 7
    assert ours.resident_bytes > 1 << 20, "a Python process holds more than a megabyte"
    ours.close()
