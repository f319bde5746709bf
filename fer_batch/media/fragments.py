"""Where a fragmented MP4 lost fragments, of which FFmpeg says nothing: it goes on with the next one.

Read from the boxes of the file (ISO/IEC 14496-12): a fragment is a `moof`, whose `mfhd` has its number, with the
samples behind it in an `mdat`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

FORMAT = "mov,mp4,m4a,3gp,3g2,mj2"


class Box(NamedTuple):
    """A box: its type, and where its content begins and it ends."""

    kind: bytes
    at: int
    content: int
    stop: int


class Gap(NamedTuple):
    """Bytes from which on something is missing, and what is said of it."""

    at: int
    cause: str


class Fragments(NamedTuple):
    """What the fragments of a file say: how many there are, whether each says its time, and what is missing."""

    n: int = 0
    timed: bool = True
    gaps: tuple[Gap, ...] = ()


class _Fragment(NamedTuple):
    at: int
    number: int | None  # None where it is damaged
    tracks: tuple[int, ...] = ()
    timed: bool = True


class _Damaged(Exception):
    """A chain of boxes that ends inside one, at a place."""

    def __init__(self, at: int) -> None:
        self.at = at


def fragments(path: str) -> Fragments:
    """What is missing among the fragments of an MP4; nothing where it has none.

    Parameters
    ----------
    path
        A local file in MP4 or QuickTime.
    """
    found: list[_Fragment] = []
    end: Gap | None = None
    with open(path, "rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        try:
            for box in _boxes(file, 0, n_bytes):
                if box.kind == b"moof":
                    found.append(_fragment(file, box))
        except _Damaged as damaged:
            end = Gap(damaged.at, f"mp4: fragment {len(found)} is cut off, or what is behind it is damaged")
    if not found:
        return Fragments()
    gaps = [*_missing(found), *([end] if end else [])]
    return Fragments(len(found), all(fragment.timed for fragment in found), tuple(gaps))


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[Box]:
    """Boxes that follow each other between two places.

    Raises
    ------
    _Damaged
        Where the next cannot be one, or does not end before `stop`; what it holds up to there may be sound.
    """
    while start < stop:
        file.seek(start)
        head = file.read(min(16, stop - start))
        size, kind, content = int.from_bytes(head[:4], "big"), head[4:8], start + 8
        if size == 1:
            size, content = int.from_bytes(head[8:], "big"), start + 16
        size = stop - start if size == 0 else size  # up to the end of the file
        if len(head) < 8 or size < content - start or not all(32 <= byte < 127 or byte >= 160 for byte in kind):
            raise _Damaged(start)
        yield Box(kind, start, content, min(start + size, stop))
        start += size
    if start > stop:
        raise _Damaged(stop)


def _fragment(file: BinaryIO, moof: Box) -> _Fragment:
    number, tracks, timed = None, [], True
    try:
        for box in _boxes(file, moof.content, moof.stop):
            if box.kind == b"mfhd":
                number = _number(file, box)
            elif box.kind == b"traf":
                inner = {part.kind: part for part in _boxes(file, box.content, box.stop)}
                tracks.append(_number(file, inner[b"tfhd"]))
                timed &= b"tfdt" in inner
    except (_Damaged, KeyError):
        number = None
    return _Fragment(moof.at, number, tuple(tracks), timed)


def _number(file: BinaryIO, box: Box) -> int:
    """The first number behind version and flags: of `mfhd` the fragment's, of `tfhd` the track's."""
    if box.stop - box.content < 8:
        raise _Damaged(box.at)
    file.seek(box.content + 4)
    return int.from_bytes(file.read(4), "big")


def _missing(found: list[_Fragment]) -> Iterator[Gap]:
    """Gaps before fragments that are damaged or whose number does not follow.

    Files count all fragments, or those of each track. The standard asks only that numbers rise, so those of a file
    that mostly does not count by one say nothing.
    """
    follows = _follow(found)
    counts = 2 * sum(follows) >= len(found)
    lost = None  # the number of the last fragment that was damaged, and so said already
    for place, (fragment, well) in enumerate(zip(found, follows, strict=True)):
        if fragment.number is None:
            before = found[place - 1].number if place else None
            lost = 1 if place == 0 else None if before is None else before + 1
            yield Gap(fragment.at, _said(place + 1 if lost is None else lost))
        else:
            if counts and not well and fragment.number - 1 != lost:
                yield Gap(fragment.at, _said(fragment.number - 1))
            lost = None


def _follow(found: list[_Fragment]) -> list[bool]:
    """Whether each fragment has the number behind that of the one before it, or the one before it of its tracks."""
    of_tracks: dict[tuple[int, ...], int] = {}
    before: int | None = None
    follows = []
    for fragment in found:
        if fragment.number is None:
            follows.append(False)
            continue
        same = of_tracks.get(fragment.tracks)
        one_more = fragment.number - 1
        follows.append(before is None or one_more in (before, same) or (same is None and fragment.number <= before))
        of_tracks[fragment.tracks] = before = fragment.number
    return follows


def _said(number: int) -> str:
    return f"mp4: fragment {number} is missing or damaged"
