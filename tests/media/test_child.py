"""Decoding processes that are killed, stopped, crash or lack memory: what comes all the same, and who is at fault."""

import os
import signal
import threading
import time
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from fer_batch.media import decode
from fer_batch.media.align import crop_matrix
from fer_batch.media.decode import TRIES, Decoder
from fer_batch.media.sampling import Sampling
from fer_batch.types import EnvironmentFault, MediaError

N = 120


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """120 frames of 320x240 with predicted frames in between, no two alike: three times what is sent ahead."""
    path = tmp_path_factory.mktemp("clip") / "noise.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for small in np.random.default_rng(0).integers(0, 256, (N, 6, 8, 3)).astype(np.uint8):
            image = np.repeat(np.repeat(small, 40, 0), 40, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def undisturbed(clip):
    """Rows of every frame, and the summary."""
    with Decoder() as decoder:
        return [row_of(frame) for frame in decoder.frames(clip)], decoder.summary


def row_of(frame):
    return frame.frame_index, frame.timestamp_ns, frame.image.copy()


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """No pause for the machine to recover: here nothing is short of memory."""
    monkeypatch.setattr(decode, "PAUSE_S", 0.01)


def end(decoder, number):
    os.kill(decoder._child._process.pid, number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
def test_frames_are_those_of_an_undisturbed_decode_whenever_the_child_is_ended(clip, undisturbed, number):
    found = []
    with Decoder(timeout_s=1.0 if number == signal.SIGSTOP else 30.0) as decoder:
        for frame in decoder.frames(clip):
            found.append(row_of(frame))
            if frame.frame_index in (3, 61):
                end(decoder, number)
        assert decoder.summary == undisturbed[1]
    assert [row[:2] for row in found] == [row[:2] for row in undisturbed[0]]
    assert len(found) == N
    for one, other in zip(found, undisturbed[0], strict=True):
        np.testing.assert_array_equal(one[2], other[2])


def test_sampled_crops_go_on_where_they_were(clip):
    rng = np.random.default_rng(1)
    matrices = {i: crop_matrix((*rng.uniform(0, 100, 2), *rng.uniform(150, 230, 2)), 24) for i in range(0, N, 2)}
    for sampling in (Sampling(fps=8.0), Sampling(slots=3, per_slot=9)):
        with Decoder() as decoder:
            expected = list(decoder.crops(clip, 24, matrices, sampling))
            found = []
            for cut in decoder.crops(clip, 24, matrices, sampling):
                found.append(cut)
                if len(found) == 5:
                    end(decoder, signal.SIGKILL)
        assert len(expected) > 20
        assert any(cut.image is None for cut in expected)
        for one, other in zip(found, expected, strict=True):
            assert replace(one, image=None) == replace(other, image=None)
            np.testing.assert_array_equal(one.image, other.image)


def killed_again_and_again(decoder, number, done):
    """Ends every child of this process as soon as it looks at a file."""
    while not done.is_set():
        child = decoder._child
        if child is not None and child._position.place >= 0 and child.alive():
            child._process.send_signal(number)
        time.sleep(0.005)


@pytest.fixture
def ended():
    """A decoder whose children are ended again and again while the function runs."""

    def run(number, work):
        done = threading.Event()
        with Decoder(timeout_s=30.0) as decoder:
            killer = threading.Thread(target=killed_again_and_again, args=(decoder, number, done))
            killer.start()
            try:
                return work(decoder)
            finally:
                done.set()
                killer.join()

    return run


@pytest.fixture
def endless(tmp_path):
    """A file that never comes to an end: it opens only when someone writes."""
    os.mkfifo(tmp_path / "endless.mp4")
    return tmp_path / "endless.mp4"


@pytest.mark.parametrize("what", ["video", "image"])
def test_kills_from_outside_are_never_the_files_fault(ended, endless, what):
    def work(decoder):
        list(decoder.frames(endless)) if what == "video" else decoder.image(endless)

    with pytest.raises(EnvironmentFault, match=rf"{TRIES} decoders were lost over .*SIGKILL\); see that"):
        ended(signal.SIGKILL, work)


def test_two_crashes_at_one_place_are_the_files_fault(ended, endless):
    with pytest.raises(MediaError, match=r"the decoder ended with SIGSEGV.*, twice at the same place$"):
        ended(signal.SIGSEGV, lambda decoder: decoder.image(endless))


def test_a_decoder_that_cannot_start_says_nothing_of_the_file(clip):
    with Decoder(memory_bytes=20 << 20) as decoder, pytest.raises(EnvironmentFault, match="ended before it began"):
        list(decoder.frames(clip))


def test_a_file_that_needs_more_memory_than_the_limit_is_at_fault(tmp_path, clip):
    Image.fromarray(np.zeros((6000, 9000, 3), np.uint8)).save(tmp_path / "large.bmp")
    with Decoder(memory_bytes=420 << 20) as decoder:
        with pytest.raises(MediaError, match="more memory than the 420 MiB it may use, twice at the same place"):
            decoder.image(tmp_path / "large.bmp")
        assert sum(1 for _ in decoder.frames(clip)) == N
