"""Fragments of an MP4, counted in the ways that files count them."""

import struct
from pathlib import Path

import pytest

from fer_batch.media.fragments import fragments


def box(kind, *content):
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def moof(number, *tracks):
    headers = (box(b"traf", box(b"tfhd", bytes(4), struct.pack(">I", t)), box(b"tfdt", bytes(8))) for t in tracks)
    return box(b"moof", box(b"mfhd", bytes(4), struct.pack(">I", number)), *headers)


def file_of(tmp_path, *boxes):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"".join([box(b"ftyp", b"isom"), box(b"moov", bytes(40)), *boxes]))
    return str(path)


def gaps(path):
    return [cause.removeprefix("mp4: fragment ") for _, cause in fragments(path).gaps]


@pytest.mark.parametrize(
    "numbers",
    [
        [(1, 1), (2, 1), (3, 1), (4, 1)],
        [(0, 1), (1, 2), (2, 1), (3, 2)],
        [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)],  # each track counts its own
        [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)],
        [(1, 1), (1, 1), (1, 1), (1, 1)],
        [(0, 1), (0, 1), (0, 1)],
        [(10, 1), (20, 1), (30, 1), (40, 1)],  # the standard asks only that they rise
        [(7, 1), (8, 1), (9, 1)],  # cut from a broadcast
    ],
)
def test_sound_files_have_no_gap(tmp_path, numbers):
    found = fragments(file_of(tmp_path, *(moof(*pair) + box(b"mdat", bytes(9)) for pair in numbers)))
    assert (found.n, found.timed, found.gaps) == (len(numbers), True, ())


def test_a_file_without_fragments_has_none(tmp_path):
    assert fragments(file_of(tmp_path, box(b"mdat", bytes(100)), b"no box")) == (0, True, ())


def test_a_missing_number_is_a_gap_before_the_fragment_behind_it(tmp_path):
    boxes = [moof(1, 1), moof(2, 1), moof(4, 1), moof(5, 1), moof(6, 1)]
    path = file_of(tmp_path, *boxes)
    ((at, cause),) = fragments(path).gaps
    assert Path(path).read_bytes()[at:].startswith(boxes[2])
    assert cause == "mp4: fragment 3 is missing or damaged"


def test_a_damaged_fragment_is_said_once(tmp_path):
    hurt = bytearray(moof(3, 1))
    hurt[8:] = bytes([255] * (len(hurt) - 8))
    path = file_of(tmp_path, moof(1, 1), moof(2, 1), bytes(hurt), moof(4, 1), moof(5, 1))
    assert gaps(path) == ["3 is missing or damaged"]


@pytest.mark.parametrize("end", [bytes([0, 0, 0, 3]) * 4, moof(4, 1)[:-5], struct.pack(">I4s", 99, b"mdat")])
def test_a_chain_that_breaks_is_a_gap(tmp_path, end):
    path = file_of(tmp_path, moof(1, 1), moof(2, 1), moof(3, 1), end)
    assert gaps(path)[-1].endswith("is cut off, or what is behind it is damaged")


def test_fragments_without_a_time_are_told_apart(tmp_path):
    untimed = box(b"moof", box(b"mfhd", bytes(7), b"\2"), box(b"traf", box(b"tfhd", bytes(8))))
    assert not fragments(file_of(tmp_path, moof(1, 1), untimed)).timed
