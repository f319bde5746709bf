"""Frames that are held back, delivered or dropped on decoders that complain as told; files with damage inside."""

from types import SimpleNamespace

import av
import numpy as np
import pytest

from fer_batch.media.clip import Clip


def clip(script, codec="h264", reorder_depth=2):
    """A clip whose decoder gives each (frame number or None, complaint, is_corrupt) of `script`."""
    clip = Clip("unused")
    clip._joining = False
    clip._stream = SimpleNamespace(codec_context=SimpleNamespace(name=codec, reorder_depth=reorder_depth))
    clip.n_read = 0

    def decoded():
        for number, complaint, corrupt in script:
            clip.n_read += 1
            yield None if number is None else SimpleNamespace(number=number, is_corrupt=corrupt), complaint

    clip._decoded = decoded
    return clip


def delivered(clip):
    return [frame.number for frame in clip._frames_before_damage()]


def test_silence_delivers_each_frame_at_once():
    quiet = clip([(i, None, False) for i in range(5)])
    for frame in quiet._frames_before_damage():
        assert quiet.n_read == frame.number + 1
    assert quiet.damage is None


def test_a_harmless_complaint_loses_nothing():
    noisy = clip([(i, "mmco: unref short failure" if i == 3 else None, False) for i in range(12)])
    assert delivered(noisy) == list(range(12))
    assert noisy.damage is None


def test_frames_between_a_complaint_and_the_damaged_picture_are_dropped():
    script = [(i, "error while decoding MB" if i == 4 else None, i == 6) for i in range(12)]
    damaged = clip(script)
    assert delivered(damaged) == [0, 1, 2, 3]
    assert damaged.damage == "error while decoding MB"


def test_a_complaint_without_a_frame_counts():
    damaged = clip([(0, None, False), (None, "lost", False), (1, None, False), (2, None, True)])
    assert delivered(damaged) == [0]
    assert damaged.damage == "lost"


def test_endless_harmless_complaints_hold_back_no_more_than_the_window():
    noisy = clip([(i, "co located POCs unavailable", False) for i in range(100)])
    for frame in noisy._frames_before_damage():
        assert noisy.n_read - frame.number <= 2 + 2 + 1
    assert frame.number == 99


@pytest.mark.parametrize("codec", ["hevc", "vp9", "gif"])
def test_codecs_that_mark_nothing_end_at_the_first_complaint(codec):
    damaged = clip([(i, "bad" if i == 4 else None, False) for i in range(9)], codec=codec)
    assert delivered(damaged) == [0, 1, 2, 3]
    assert damaged.damage == "bad"


N, EVERY = 96, 12  # frames, and from one key frame to the next
FORMS = {
    "mp4": ("libx264", "yuv420p"),  # with B-frames, and a table of all frames
    "mkv": ("libx264", "yuv420p"),
    "ts": ("mpeg2video", "yuv420p"),
    "avi": ("mpeg4", "yuv420p"),
    "webm": ("libvpx", "yuv420p"),  # times in whole milliseconds
}


@pytest.fixture(scope="module", params=FORMS)
def whole(request, tmp_path_factory):
    """A clip of 96 frames of 96x72, no two alike, with a key frame in twelve; its frames and its packets."""
    suffix, (codec, pixels) = request.param, FORMS[request.param]
    if codec not in av.codec.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    path = tmp_path_factory.mktemp("whole") / f"clip.{suffix}"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", format="mpegts" if suffix == "ts" else None) as container:
        stream = container.add_stream(codec, rate=25, options={"g": str(EVERY), "keyint_min": str(EVERY)})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 96, 72, pixels, 1_000_000
        base = np.repeat(np.repeat(rng.integers(0, 200, (9, 12, 3)), 8, 0), 8, 1)
        for i in range(N):
            image = (np.roll(base, i, 1) + rng.integers(0, 40, base.shape)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size, p.is_keyframe) for p in container.demux(container.streams.video[0]) if p.size]
    assert [i for i, (_, _, key) in enumerate(packets) if key] == list(range(0, N, EVERY))
    return path, frames_of(path)[0], packets


def frames_of(path, skip=False):
    """Timestamp and picture of each frame by index, a picture of None where it is lost; and why."""
    with Clip(str(path), skip) as clip:
        found = {
            i: (ns, None if frame is None else frame.to_ndarray(format="rgb24")) for i, ns, frame in clip.timed_frames()
        }
        return found, clip.reason(True), clip.partial(True)


def with_noise(whole, tmp_path, start, n_bytes):
    """The clip with some bytes written over, from the start of a packet on."""
    path, _, packets = whole
    content = bytearray(path.read_bytes())
    place = packets[start][0]
    content[place : place + n_bytes] = np.random.default_rng(1).bytes(n_bytes)
    broken = tmp_path / path.name
    broken.write_bytes(content)
    return broken


@pytest.mark.parametrize("n_packets", [1, 5])
def test_behind_a_damaged_stretch_frames_have_their_true_index_and_time(whole, tmp_path, n_packets):
    """One packet that begins with noise, and five of which most containers find nothing any more."""
    path, truth, packets = whole
    if (path.suffix, n_packets) == (".webm", 1):
        pytest.skip("VP8 decodes noise to something, and nobody can notice")
    start = 3 * EVERY + 5
    n_bytes = min(packets[start][1], 600) if n_packets == 1 else packets[start + n_packets][0] - packets[start][0]
    broken = with_noise(whole, tmp_path, start, n_bytes)
    stopped, why, partial = frames_of(broken)
    assert 2 * EVERY < len(stopped) < 4 * EVERY
    assert partial
    assert why.startswith(f"ended after {len(stopped)} frames")
    found, why, partial = frames_of(broken, skip=True)
    assert list(found) == list(range(N)), "lost frames are among them"
    assert {i: ns for i, (ns, _) in found.items()} == {i: ns for i, (ns, _) in truth.items()}
    lost = [i for i, (_, image) in found.items() if image is None]
    assert lost == list(range(len(stopped), lost[-1] + 1))
    assert set(range(5 * EVERY, N)).isdisjoint(lost), "of the second key frame behind it at the latest"
    for index, (_, image) in found.items():
        if image is not None:
            np.testing.assert_array_equal(image, truth[index][1])
    assert partial
    assert why.startswith(f"left out: {len(lost)} frames in 1 damaged stretch, the first is frame {lost[0]}: ")


def test_frames_that_cannot_be_numbered_are_not_delivered(tmp_path):
    """Of a clip with uneven times that lost packets, nobody knows how many."""
    path = tmp_path / "uneven.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=1000, options={"g": "6"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        times = np.cumsum(np.random.default_rng(2).integers(20, 90, 60))
        for ms, image in zip(times, np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3)), strict=True):
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24").reformat(format="bgr0")
            frame.pts = int(ms)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    truth, why, _ = frames_of(path, skip=True)
    assert (len(truth), why) == (60, None)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40_000] = bytes(40_000)
    path.write_bytes(content)
    found, why, partial = frames_of(path, skip=True)
    assert found.keys() == frames_of(path)[0].keys()
    assert 15 < len(found) < 31
    assert why.endswith("; frames behind it cannot be numbered")
    assert partial


def test_a_clip_without_a_sound_frame_gives_no_lost_ones(whole, tmp_path):
    path, _, packets = whole
    if path.suffix != ".mp4":
        pytest.skip("one container is enough")
    content = bytearray(path.read_bytes())
    for place, size, _ in packets:
        content[place : place + size] = bytes(size)
    (tmp_path / path.name).write_bytes(content)
    found, _, partial = frames_of(tmp_path / path.name, skip=True)
    assert (found, partial) == ({}, True)


def test_a_demuxer_that_is_lost_and_silent_hides_no_tail(tmp_path):
    path = tmp_path / "a.flv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flv", rate=25, options={"g": str(EVERY)})
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        for i in range(N):
            image = np.full((72, 96, 3), 2 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode())
    assert frames_of(path)[1:] == (None, False)
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(container.streams.video[0]) if packet.size]
    content = bytearray(path.read_bytes())
    content[places[40] : places[40] + 12] = bytes([255] * 12)  # of the header of a tag, its length too
    path.write_bytes(content)
    found, why, partial = frames_of(path)
    assert (len(found), partial) == (40, True)
    assert why == "ended after 40 frames: flv: nothing is found behind 1.6 s"


def test_an_flv_whose_sound_goes_on_is_whole(tmp_path):
    path = tmp_path / "a.flv"
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("flv", rate=25), container.add_stream("aac", rate=44100)
        video.width, video.height, video.pix_fmt = 96, 72, "yuv420p"
        for i in range(25):
            image = np.full((72, 96, 3), 2 * i, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")))
        container.mux(video.encode())
        add_sound(container, sound, 4.0)
    found, why, partial = frames_of(path)
    assert (len(found), why, partial) == (25, None, False)


def add_sound(container, stream, seconds):
    for at in range(0, round(44100 * seconds), 1024):
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts = 44100, at
        container.mux(stream.encode(silence))
    container.mux(stream.encode())


def write_fragmented(path, with_sound):
    """96 frames, no two alike, with a key frame and so a fragment in twelve."""
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(str(path), "w", options=flags) as container:
        video = container.add_stream("mpeg4", rate=25, options={"g": str(EVERY), "sc_threshold": "1000000000"})
        video.width, video.height, video.pix_fmt = 96, 72, "yuv420p"
        if with_sound:
            add_sound(container, container.add_stream("aac", rate=44100), 4.0)
        for i in range(N):
            image = np.full((72, 96, 3), 2 * i, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")))
        container.mux(video.encode())


@pytest.fixture(scope="module")
def fragmented(tmp_path_factory):
    """A fragmented MP4, what is read from it, and where its `moof` are."""
    path = tmp_path_factory.mktemp("fragmented") / "a.mp4"
    write_fragmented(path, with_sound=False)
    content = path.read_bytes()
    places, at = [], 0
    while at < len(content):
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        places += [(at, size)] if kind == b"moof" else []
        at += size
    return path, frames_of(path), places


@pytest.mark.parametrize("with_sound", [False, True])
def test_a_fragmented_mp4_is_whole(tmp_path, with_sound):
    write_fragmented(tmp_path / "a.mp4", with_sound)
    found, why, partial = frames_of(tmp_path / "a.mp4")
    assert (len(found), why, partial) == (N, None, False)


def renamed(content, at, size):
    content[at + 4 : at + 8] = b"free"


def overwritten(content, at, size):
    content[at + 8 : at + size] = b"\xff" * (size - 8)


@pytest.mark.parametrize("hurt", [renamed, overwritten])
def test_frames_behind_a_lost_fragment_keep_their_index(fragmented, tmp_path, hurt):
    path, (truth, _, _), places = fragmented
    content = bytearray(path.read_bytes())
    hurt(content, *places[-4])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    stopped, why, partial = frames_of(broken)
    assert partial
    assert why == f"ended after {len(stopped)} frames: mp4: fragment {len(places) - 3} is missing or damaged"
    found, why, partial = frames_of(broken, skip=True)
    assert list(found) == list(range(N))
    assert partial
    lost = [i for i, (_, image) in found.items() if image is None]
    assert EVERY <= len(lost) <= EVERY + 2
    assert lost[0] == len(stopped)
    assert f"the first is frame {lost[0]}: mp4: fragment " in why
    for index, (ns, image) in found.items():
        assert ns == truth[index][0]
        assert image is None or np.array_equal(image, truth[index][1])


def test_a_fragmented_mp4_that_lost_its_end_is_partial(fragmented, tmp_path):
    path, _, places = fragmented
    content = bytearray(path.read_bytes())
    overwritten(content, *places[-1])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    for skip in (False, True):
        found, why, partial = frames_of(broken, skip)
        assert EVERY < len(found) < N
        assert partial
        assert f"mp4: fragment {len(places)} is missing or damaged" in why


def test_each_lost_frame_has_the_cause_of_its_own_stretch(fragmented, tmp_path):
    path, _, places = fragmented
    content = bytearray(path.read_bytes())
    renamed(content, *places[2])
    overwritten(content, *places[5])
    (tmp_path / "a.mp4").write_bytes(content)
    causes = {}
    with Clip(str(tmp_path / "a.mp4"), True) as clip:
        for index, _, frame in clip.timed_frames():
            if frame is None:
                causes[index // EVERY] = clip.cause
    assert {stretch: causes[stretch] for stretch in (2, 5)} == {
        2: "mp4: fragment 3 is missing or damaged",
        5: "mp4: fragment 6 is missing or damaged",
    }
