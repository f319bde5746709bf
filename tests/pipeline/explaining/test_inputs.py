"""What the decode stage commits and what it does not: kills, lost tails, a source that goes, inputs that change."""

import os
import pickle
import shutil
import sys
import threading
import time
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from fer_batch.media import decode
from fer_batch.media.sampling import Sampling
from fer_batch.pipeline.explaining import inputs
from fer_batch.pipeline.explaining.chunk import Chunk
from fer_batch.pipeline.explaining.decode import MANY_ABSENT, decode_unit
from fer_batch.pipeline.explaining.faces import DecodeOptions
from fer_batch.pipeline.explaining.stream import Bookkeeping
from fer_batch.pipeline.explaining.units import Unit
from fer_batch.sources.fetch import StoreFault
from fer_batch.sources.listing import list_source
from fer_batch.storage.manifest import COMMITS, STAGE, Ledger
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import EnvironmentFault

N = 240
DETECTOR = """
from fer_batch.media.landmarks import Face

def middle():
    return lambda image: [Face((10.0, 5.0, 50.0, 45.0), None, 1.0)]
"""


@pytest.fixture(autouse=True)
def hasty(monkeypatch, tmp_path):
    """No pause for the machine to recover, no child that an earlier test has used, and a detector."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "tests_faces.py").write_text(DETECTOR)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.delitem(sys.modules, "tests_faces", raising=False)
    monkeypatch.setattr(decode, "PAUSE_S", 0.01)
    inputs.decoder_of.cache_clear()


@pytest.fixture
def clip_of():
    """A function that writes a clip of 240 frames, which is more than a decoder sends ahead; its path."""

    def write(path, seed):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
            for image in np.random.default_rng(seed).integers(0, 256, (N, 48, 64, 3)).astype(np.uint8):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def root(tmp_path, clip_of):
    """A source of one clip."""
    folder = tmp_path / "source"
    folder.mkdir()
    clip_of(folder / "a.mkv", 0)
    return folder


def broken_inside(root):
    """Damage one frame in the middle of the clip; its index."""
    path, index = root / "a.mkv", N // 2 + 5
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        place, size = packets[index].pos, packets[index].size
    content = bytearray(path.read_bytes())
    content[place + size // 3 : place + size // 2] = bytes(size // 2 - size // 3)
    path.write_bytes(content)
    return index


def listed(root, format="videos"):
    return tuple(list_source(format, str(root)))


def chunks_of(members, root, **changes):
    """Chunks of one unit."""
    unit = Unit("u", members, tuple(f"id-{ref.sequence_id}" for ref in members))
    options = DecodeOptions(
        sampling=Sampling(),
        detector="none",
        every=5,
        align="none",
        margin=0.0,
        min_size=10,
        size=32,
        annotated=False,
        timeout_s=30.0,
        memory_bytes=3 << 30,
        root=str(root),
    )
    options = replace(options, **changes)
    for row in decode_unit({"unit": pickle.dumps(unit)}, options):
        yield Chunk.from_batch({"payload": [row["payload"]]})


def bookkept(chunk, unit_id="u"):
    """What the sink tells the driver of a chunk."""
    told = {"unit_id": unit_id, "index": chunk.index, "last": chunk.last, "n_frames": len(chunk.frames)}
    told |= {"sequences": pickle.dumps(chunk.sequences), "changed": pickle.dumps(chunk.changed)}
    return {**told, "fault": chunk.fault or "", "cost": "{}", "problem": ""}


def books_of(tmp_path, *units):
    return Bookkeeping(Store(str(tmp_path / "out")), Partition("d", "m-1", "e-1"), "run", units)


def committed(books):
    return {name.removesuffix(".json") for name in books.store.names(COMMITS)}


def content(chunks):
    """Every value of every column, and the crops."""
    rows = [row for chunk in chunks for row in chunk.frames]
    images = [image.tobytes() for chunk in chunks for image in chunk.images]
    return rows, images, [chunk.ok.tolist() for chunk in chunks], chunks[-1].sequences


def child():
    return inputs.decoder_of(30.0, 3 << 30)._child


def test_a_killed_decoder_leaves_the_same_rows(root):
    expected = list(chunks_of(listed(root), root))
    assert (expected[-1].sequences[0]["status"], expected[-1].sequences[0]["n_frames"]) == ("done", N)
    found = []
    for chunk in chunks_of(listed(root), root):
        found.append(chunk)
        if chunk.index < 2:
            child()._process.kill()
    assert content(found) == content(expected)


def test_decoders_that_are_killed_again_and_again_commit_nothing(root, tmp_path):
    done = threading.Event()

    def killer():
        while not done.is_set():
            if (one := child()) is not None and one._position.place > 5 and one.alive():
                one._process.kill()
            time.sleep(0.002)

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        chunks = list(chunks_of(listed(root), root))
    finally:
        done.set()
        thread.join()
    assert "decoders were lost over" in chunks[-1].fault
    books = books_of(tmp_path, Unit("u", listed(root), ("i",)))
    assert [books.add(bookkept(chunk)) for chunk in chunks] == [None] * len(chunks)
    assert (committed(books), len(books.faults)) == (set(), 1)


def test_a_clip_without_its_tail_is_partial(root):
    whole = (root / "a.mkv").read_bytes()
    (root / "a.mkv").write_bytes(whole[: len(whole) // 2])
    chunks = list(chunks_of(listed(root), root))
    (row,) = chunks[-1].sequences
    assert (row["status"], chunks[-1].fault) == ("partial", None)
    assert row["reason"].startswith(f"ended after {row['n_decoded']} frames")
    assert N // 3 < row["n_decoded"] < N // 2 + 1
    rest = [frame["status"] for chunk in chunks for frame in chunk.frames][row["n_decoded"] :]
    assert rest == ["decode_error"], "of the frame that was cut, the file says where it begins"


def test_frames_behind_a_damaged_one_are_those_of_the_sound_clip(root):
    whole = [row for chunk in chunks_of(listed(root), root) for row in chunk.frames]
    index = broken_inside(root)
    chunks = list(chunks_of(listed(root), root))
    rows, (sequence,) = [row for chunk in chunks for row in chunk.frames], chunks[-1].sequences
    lost = [row for row in rows if row["status"] == "decode_error"]
    assert lost[0]["frame_index"] == index
    assert len(rows) == N
    assert 1 <= len(lost) <= 12, "up to the next key frame"
    for row, sound in zip(rows, whole, strict=True):
        assert row["timestamp_ns"] == sound["timestamp_ns"]
        assert row["status"] == "decode_error" or row == sound
    assert {row["reason"] for row in lost} == {lost[0]["reason"]}
    assert (sequence["status"], sequence["n_frames"], sequence["n_decoded"]) == ("partial", N, N - len(lost))
    assert sequence["reason"] == (
        f"left out: {len(lost)} frame{'s' * (len(lost) > 1)} in 1 damaged stretch, "
        f"the first is frame {index}: {lost[0]['reason']}"
    )
    assert "length" not in sequence
    stopped = list(chunks_of(listed(root), root, damage="stop"))
    assert stopped[-1].sequences[0]["n_frames"] == index
    assert stopped[-1].sequences[0]["reason"].startswith(f"ended after {index} frames")


def test_a_gap_is_lost_wherever_faces_come_from(root):
    """The same rows where a crop is known before its frame is decoded, where boxes are carried, and where sampled."""
    broken_inside(root)
    expected = None
    for changes in (
        {"detector": "none"},
        {"detector": "tests_faces:middle"},
        {"detector": "tests_faces:middle", "choose": "all"},
    ):
        rows = [row for chunk in chunks_of(listed(root), root, **changes) for row in chunk.frames]
        found = [(row["frame_index"], row["status"]) for row in rows]
        expected = expected or found
        assert found == expected
    sampled = list(chunks_of(listed(root), root, sampling=Sampling(stride=3)))
    assert [(row["frame_index"], row["status"]) for chunk in sampled for row in chunk.frames] == expected[::3]


def test_a_killed_decoder_goes_on_behind_damage(root):
    broken_inside(root)
    expected, found = list(chunks_of(listed(root), root)), []
    for chunk in chunks_of(listed(root), root):
        found.append(chunk)
        if chunk.index in (0, 1, 2):
            child()._process.kill()
    assert content(found) == content(expected)


def test_a_second_decoder_that_gives_other_frames_says_nothing_of_the_file(clip_of, tmp_path):
    """The file is another one when the second decoder opens it."""
    one, other = clip_of(tmp_path / "a.mkv", 0), clip_of(tmp_path / "b.mkv", 1)

    def read(decoder):
        for frame in decoder.frames(one):
            if frame.frame_index == 5:
                os.replace(other, one)
                decoder._child._process.kill()

    with decode.Decoder() as decoder, pytest.raises(EnvironmentFault, match=r"frame \d+ is another one in a second"):
        read(decoder)


def test_a_second_decoder_that_ends_earlier_is_no_end(clip_of, tmp_path):
    """The file was cut when the second decoder opens it."""
    path = clip_of(tmp_path / "a.mkv", 0)
    content = path.read_bytes()

    def read(decoder):
        for frame in decoder.frames(path):
            if frame.frame_index == 40:
                path.write_bytes(content[: len(content) // 20])
                decoder._child._process.kill()

    with decode.Decoder() as decoder, pytest.raises(EnvironmentFault, match=r"decoder ended before frame \d+"):
        read(decoder)


def stills(root, n):
    for i in range(n):
        cv2.imwrite(str(root / f"{i:02d}.png"), np.full((8, 8, 3), i, np.uint8))
    return listed(root, "images")


@pytest.mark.parametrize(("left", "words"), [(False, "is gone"), (True, "is empty now")])
def test_a_source_that_goes_in_the_middle_fails_no_input(root, tmp_path, left, words):
    """As a network share: after it is unmounted its folder is empty, or gone."""
    members = stills(root, 3)
    os.rename(root, tmp_path / "elsewhere")
    if left:
        root.mkdir()
    (chunk,) = chunks_of(members, root)
    assert words in chunk.fault
    assert chunk.sequences == []
    if left:
        root.rmdir()
    os.rename(tmp_path / "elsewhere", root)
    (chunk,) = chunks_of(members, root)
    assert [row["status"] for row in chunk.sequences] == ["done"] * 3


def test_one_input_that_is_deleted_fails_and_many_in_a_row_do_not(root):
    members = stills(root, MANY_ABSENT + 2)
    for i in range(1, MANY_ABSENT):
        (root / f"{i:02d}.png").unlink()
    (chunk,) = chunks_of(members, root)
    assert [row["status"] for row in chunk.sequences] == ["done", *["failed"] * (MANY_ABSENT - 1), "done", "done"]
    (root / f"{MANY_ABSENT:02d}.png").unlink()
    (chunk,) = chunks_of(members, root)
    assert f"{MANY_ABSENT} inputs in a row are gone" in chunk.fault


def test_clips_that_are_gone_wait_until_another_is_read(root, tmp_path):
    """The folder of some inputs is a share of its own, so that the root is as it should be."""
    members = listed(root)
    (gone,) = chunks_of((replace(members[0], uri=str(root / "b.mkv")),), root)
    assert [row["status"] for row in gone.sequences] == ["failed"]
    there = list(chunks_of(members, root))
    names = [f"u{i}" for i in range(MANY_ABSENT + 1)]
    units = [Unit(name, members, ("i",)) for name in names]
    books = books_of(tmp_path / "few", *units)
    for name in names[:3]:
        assert books.add(bookkept(gone, name)) is None
    assert committed(books) == set()
    rows = [books.add(bookkept(chunk, "u3")) for chunk in there][-1]
    assert [row["status"] for row in rows] == ["failed"] * 3 + ["done"]
    assert committed(books) == set(names[:4])
    assert books.add(bookkept(gone, "u4")) is None
    assert len(books.settle()) == 1
    books = books_of(tmp_path / "many", *units)
    for name in names[: MANY_ABSENT - 1]:
        assert books.add(bookkept(gone, name)) is None
    with pytest.raises(StoreFault, match="see that the source is mounted"):
        books.add(bookkept(gone, names[-1]))
    assert committed(books) == set()


def test_a_clip_that_is_replaced_while_it_is_read_is_not_committed(root, tmp_path):
    members, chunks = listed(root), []
    books = books_of(tmp_path, Unit("u", members, ("i",)))
    for chunk in chunks_of(members, root):
        chunks.append(chunk)
        if chunk.index == 0:
            books.store.put(f"{STAGE}/u/0.parquet", b"rows of nobody knows what")
            shutil.copy(root / "a.mkv", tmp_path / "b.mkv")
            os.replace(tmp_path / "b.mkv", root / "a.mkv")
    assert (chunks[-1].changed, chunks[-1].sequences, chunks[-1].fault) == (("a.mkv",), [], None)
    assert [books.add(bookkept(chunk)) for chunk in chunks] == [None] * len(chunks)
    assert (committed(books), books.changed, books.units, books.faults) == (set(), ["a.mkv"], {}, [])
    assert books.store.names(STAGE) == []
    assert list(chunks_of(listed(root), root))[-1].sequences[0]["status"] == "done", "as the next listing finds it"


def test_a_clip_that_is_replaced_by_one_of_the_same_size_and_time_is_not_committed(root):
    members, chunks = listed(root), []
    for chunk in chunks_of(members, root):
        chunks.append(chunk)
        if chunk.index == 0:
            before = os.stat(root / "a.mkv")
            with open(root / "a.mkv", "r+b") as clip:  # other bytes in the middle
                clip.seek(before.st_size // 2)
                clip.write(bytes(100))
            os.utime(root / "a.mkv", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert listed(root) == members, "its listing shows nothing"
    assert (chunks[-1].changed, chunks[-1].sequences, chunks[-1].fault) == (("a.mkv",), [], None)


def test_a_still_that_changed_since_it_was_listed_leaves_its_pack(root, tmp_path):
    members = stills(root, 3)
    cv2.imwrite(str(root / "01.png"), np.full((9, 9, 3), 200, np.uint8))
    (chunk,) = chunks_of(members, root)
    assert chunk.changed == ("01.png",)
    assert [row["sequence_id"] for row in chunk.frames] == ["00.png", "02.png"]
    books = books_of(tmp_path, Unit("u", members, ("i0", "i1", "i2")))
    assert [row["identity"] for row in books.add(bookkept(chunk))] == ["i0", "i2"]
    assert Ledger(books.store).commits({"u"})["u"].sources[1]["sequence_id"] == "02.png"
    (chunk,) = chunks_of(listed(root, "images")[1:2], root)
    assert [row["status"] for row in chunk.sequences] == ["done"]


def test_numbered_images_that_change_while_they_are_read_are_not_committed(tmp_path):
    root = tmp_path / "source"
    (root / "S1").mkdir(parents=True)
    members = stills(root / "S1", 2) and listed(root, "image_sequences")
    assert [chunk.sequences[0]["status"] for chunk in chunks_of(members, root)] == ["done"]
    cv2.imwrite(str(root / "S1" / "01.png"), np.full((9, 9, 3), 200, np.uint8))
    assert [chunk.changed for chunk in chunks_of(members, root)] == [("S1",)]


def test_numbered_images_of_which_some_are_broken_are_partial(tmp_path):
    root = tmp_path / "source"
    (root / "S1").mkdir(parents=True)
    stills(root / "S1", 6)
    (root / "S1" / "02.png").write_bytes(b"no picture")
    (chunk,) = chunks_of(listed(root, "image_sequences"), root)
    assert chunk.sequences[0]["status"] == "partial"
    assert chunk.sequences[0]["reason"] == "1 of 6 images could not be read"
