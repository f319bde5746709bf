"""Packets of real files: what ends them, and where they go on."""

import av
import av.logging
import numpy as np
import pytest

from fer_batch.media.packets import Packets

N, EVERY = 40, 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """An AVI of 40 frames, a key frame in eight, and its packets."""
    path = tmp_path_factory.mktemp("clip") / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"g": str(EVERY)})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(N):
            image = np.add.outer(np.arange(48) + i, np.arange(192)).reshape(48, 64, 3).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode())
    return path


def read(path, work):
    """What a function gives of the packets of a file."""
    with av.logging.Capture(True) as logs, av.open(str(path)) as container:
        return work(Packets(container, container.streams.video[0], logs, lambda: None))


def numbers(packets):
    return [packet.dts for packet in packets.sound() if packet is not None]


def test_a_sound_file_ends_with_a_flush_and_does_not_go_on(clip):
    def work(packets):
        found = list(packets.sound())
        return [None if packet is None else packet.dts for packet in found], packets.damage, packets.resume()

    assert read(clip, work) == ([*range(N), None], None, False)


def test_who_leaves_at_a_packet_goes_on_at_the_next_key_frame(clip):
    def work(packets):
        for packet in packets.sound():
            if packet.dts == EVERY - 1:  # the key frame behind it was read already
                break
        assert packets.resume()
        return numbers(packets)

    assert read(clip, work) == list(range(EVERY, N))


def test_an_avi_numbers_frames_behind_a_gap_by_its_index(clip, tmp_path):
    with av.open(str(clip)) as container:
        places = [packet.pos for packet in container.demux(container.streams.video[0]) if packet.size]
    content = bytearray(clip.read_bytes())
    gap = slice(places[10] - 8, places[13] - 8)  # three whole chunks
    content[gap] = bytes(gap.stop - gap.start)
    (tmp_path / "gap.avi").write_bytes(content)

    def work(packets):
        before, damage = numbers(packets), packets.damage
        assert packets.resume()
        return before, damage, numbers(packets), packets.damage

    before, damage, behind, later = read(tmp_path / "gap.avi", work)
    assert before in (list(range(9)), list(range(10))), "the packet before the gap may hold part of it"
    assert "missing" in damage
    assert (behind, later) == (list(range(2 * EVERY, N)), None)
    plain = [packet.dts for packet in read(tmp_path / "gap.avi", lambda packets: list(packets._demuxed)) if packet.size]
    assert plain[-1] < N - 1, "FFmpeg itself counts too few"
