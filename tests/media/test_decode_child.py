"""The decoding process: what it imports, holds and leaves behind."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import av
import numpy as np
import pytest

from fer_batch.media.decode import Decoder


@pytest.fixture(scope="module")
def decoder():
    with Decoder(timeout_s=30.0) as decoder:
        yield decoder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """40 frames of 64x48 whose brightness is 6 * index, in lossless FFV1."""
    path = tmp_path_factory.mktemp("clip") / "ramp.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        for i in range(40):
            image = np.full((48, 64, 3), 6 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_leaving_early_leaves_no_process_and_the_next_file_works(clip):
    with Decoder() as decoder:
        for _ in decoder.frames(clip):
            process = decoder._child._process
            break
        assert len(list(decoder.frames(clip))) == 40
        last = decoder._child._process
    assert process.poll() is not None
    assert last.poll() is not None


def repeated(source, target, n_rounds):
    """Write the packets of a clip again and again."""
    with av.open(str(source)) as container, av.open(str(target), "w") as out:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        copy, times = out.add_stream_from_template(stream), [packet.pts for packet in packets]
        step = times[-1] - times[0] + (times[1] - times[0])
        for number in range(n_rounds):
            for packet, pts in zip(packets, times, strict=True):
                packet.stream, packet.time_base = copy, stream.time_base
                packet.pts = packet.dts = pts + number * step
                out.mux(packet)
    return target


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_long_clip_needs_no_more_memory_than_a_short_one(clip, tmp_path):
    def pss_bytes(decoder):
        lines = Path(f"/proc/{decoder._child._process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))

    long = repeated(clip, tmp_path / "long.mkv", 150)
    used = {}
    with Decoder() as decoder:
        for frame in decoder.frames(long):
            if frame.frame_index in (500, 5500):
                used[frame.frame_index] = pss_bytes(decoder)
    assert frame.frame_index == 5999
    assert frame.timestamp_ns == 5999 * 40_000_000
    assert decoder.summary.reason is None
    assert used[5500] - used[500] < 8 << 20  # 5,000 frames are 46 MB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("thread", [False, True])
def test_the_child_dies_with_its_parent(clip, tmp_path, thread):
    os.mkfifo(tmp_path / "endless.mp4")
    program = textwrap.dedent(f"""
        import threading, time
        from fer_batch.media.decode import Decoder
        decoder = Decoder(timeout_s=100)
        def work():
            list(decoder.frames({str(clip)!r}))
            print(decoder._child._process.pid, flush=True)
            list(decoder.frames({str(tmp_path / "endless.mp4")!r}))
        if {thread}:
            threading.Thread(target=work).start()
            time.sleep(100)
        work()
    """)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(child)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_child_imports_neither_torch_nor_opencv():
    program = (
        "import sys, fer_batch.media.decode_child; print(sorted({'torch', 'cv2', 'ray', 'dask'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
