"""Rows of a clip by person: which tracks are persons, and what each shows in every frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from fer_batch.media.tracks import FaceTracker

T = TypeVar("T")


class TrackList(Generic[T]):
    """Turns keys of tracks into persons, frame by frame: a track of one detection is none.

    A frame waits until each of its keys is decided, some `CONFIRM_WITHIN` frames, and then says of each person what it
    shows. Person 0, the first to appear, has a row in every frame; the others from the first to the last of their
    track.
    """

    def __init__(self, tracker: FaceTracker) -> None:
        self._tracker = tracker
        self._waiting: deque[tuple[T, dict[int, T]]] = deque()
        self._numbers: dict[int, int] = {}  # of keys that may be seen again
        self._n_people = 0
        self._gaps: dict[int, list[T]] = {}  # rows of the frames since a person was seen

    def add(self, absent: T, present: dict[int, T]) -> Iterator[tuple[int, T]]:
        """Take a frame; persons and rows of frames that are decided by now.

        Parameters
        ----------
        absent
            The frame's row for somebody it does not show.
        present
            Its rows by key.
        """
        self._waiting.append((absent, present))
        while self._waiting and all(self._tracker.decided(key) is not None for key in self._waiting[0][1]):
            yield from self._release(*self._waiting.popleft())

    def end(self) -> Iterator[tuple[int, T]]:
        """The clip has ended: rows of what is still undecided, which was looked for only once and counts."""
        while self._waiting:
            yield from self._release(*self._waiting.popleft())

    def _release(self, absent: T, present: dict[int, T]) -> Iterator[tuple[int, T]]:
        rows = {key: row for key, row in sorted(present.items()) if self._tracker.decided(key) is not False}
        for key in rows:
            if key not in self._numbers:
                self._numbers[key] = self._n_people
                self._n_people += 1
        if not any(self._numbers[key] == 0 for key in rows):
            yield 0, absent
        for key, number in list(self._numbers.items()):
            gap = self._gaps.setdefault(key, [])
            if key in rows:
                yield from ((number, row) for row in gap)
                yield number, rows[key]
                gap.clear()
            elif number:  # person 0 has its row already
                gap.append(absent)
                if len(gap) > self._tracker.max_gap:
                    del self._gaps[key], self._numbers[key]
