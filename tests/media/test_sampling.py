"""Which frames are kept."""

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.media.decode import Decoder
from fer_batch.media.sampling import SECOND_NS, Sampling, balanced_frames


def kept(sampling, timestamps_ns):
    sampler = sampling.sampler()
    return [i for i, t in enumerate(timestamps_ns) if sampler.keeps(t)]


def clock(fps, n):
    return [round(i * SECOND_NS / fps) for i in range(n)]


def test_default_keeps_all():
    assert kept(Sampling(), clock(25, 10)) == list(range(10))


def test_stride_counts_from_the_first_frame_of_the_window():
    assert kept(Sampling(stride=3, start_s=0.16, stop_s=0.40), clock(25, 100)) == [4, 7]


def test_fps_keeps_the_first_frame_at_or_after_each_tick():
    assert kept(Sampling(fps=10), clock(25, 10)) == [0, 3, 5, 8]  # ticks 0, 100, 200, 300 ms; frames every 40 ms


def test_fps_follows_the_clock_of_a_variable_rate_clip():
    milliseconds = [0, 10, 20, 500, 510, 990, 1400]
    assert kept(Sampling(fps=2), [t * 1_000_000 for t in milliseconds]) == [0, 3, 6]


@pytest.mark.parametrize("fps", [24, 25, 30000 / 1001, 30, 50, 60])
def test_fps_of_the_source_loses_nothing_to_millisecond_rounding(fps):
    timestamps = [round(t / 1e6) * 1_000_000 for t in clock(fps, 500)]
    assert kept(Sampling(fps=fps), timestamps) == list(range(500))


def test_max_frames_finishes():
    sampler = Sampling(max_frames=2).sampler()
    assert [sampler.keeps(t) for t in clock(25, 4)] == [True, True, False, False]
    assert sampler.finished()


def test_window_is_half_open_and_finishes():
    sampler = Sampling(stop_s=0.08).sampler()
    assert [sampler.keeps(t) for t in (0, 40_000_000, 80_000_000)] == [True, True, False]
    assert sampler.finished(80_000_000)
    assert not sampler.finished(79_999_999)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 2, "fps": 5.0}, "exclude each other"),
        ({"stride": 0}, "stride must be a whole number"),
        ({"stride": 1.5}, "stride must be a whole number"),
        ({"fps": 0.0}, "fps must be a positive number"),
        ({"fps": float("nan")}, "fps must be a positive number"),
        ({"start_s": -1.0}, "start_s"),
        ({"start_s": 2.0, "stop_s": 2.0}, "must be after"),
        ({"max_frames": 0}, "max_frames"),
        ({"slots": 3}, "slots and per_slot go together"),
        ({"slots": 0, "per_slot": 5}, "slots must be a whole number"),
        ({"slots": 3, "per_slot": 5, "stride": 2}, "give no other choice"),
        ({"slots": 3, "per_slot": 5, "max_frames": 9}, "give no other choice"),
    ],
)
def test_impossible_choices_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


@given(
    gaps=st.lists(st.integers(1, 3 * SECOND_NS), min_size=1, max_size=60),
    fps=st.floats(0.2, 100),
)
def test_fps_sampling_never_exceeds_source_or_clock_and_keeps_the_first(gaps, fps):
    timestamps = [0]
    for gap in gaps:
        timestamps.append(timestamps[-1] + gap)
    indices = kept(Sampling(fps=fps), timestamps)
    assert indices[0] == 0
    assert len(indices) <= len(timestamps)
    assert len(indices) <= timestamps[-1] / SECOND_NS * fps + 2
    assert indices == kept(Sampling(fps=fps), timestamps)


@given(n=st.integers(1, 200), stride=st.integers(1, 50))
def test_stride_is_a_slice(n, stride):
    assert kept(Sampling(stride=stride), clock(25, n)) == list(range(n))[::stride]


def test_pd_a_three_disjoint_slots_of_107_frames():
    """Feature row PD-a: a one-minute clip at 25 fps gives 321 frames."""
    frames = balanced_frames(1500)
    assert len(frames) == len(set(frames.tolist())) == 321
    for slot in range(3):
        inside = (frames >= 500 * slot) & (frames < 500 * (slot + 1))
        assert inside.sum() == 107
    assert set(np.diff(frames[:107]).tolist()) <= {4, 5}, "evenly spaced"


@given(n=st.integers(0, 2000), slots=st.integers(1, 7), per_slot=st.integers(1, 120))
def test_balanced_frames_exist_and_are_taken_once(n, slots, per_slot):
    frames = balanced_frames(n, slots, per_slot)
    assert (np.diff(frames) > 0).all()
    assert len(frames) == 0 or (frames[0] >= 0 and frames[-1] < n)
    edges = [n * slot // slots for slot in range(slots + 1)]
    for start, stop in itertools.pairwise(edges):
        assert ((frames >= start) & (frames < stop)).sum() == min(per_slot, stop - start)


def test_slots_of_a_clip():
    sampler = Sampling(slots=2, per_slot=2).sampler(9)
    assert [i for i in range(9) if sampler.keeps(i * SECOND_NS)] == balanced_frames(9, 2, 2).tolist() == [1, 3, 5, 7]
    with pytest.raises(ValueError, match="need the number of frames"):
        Sampling(slots=2, per_slot=2).sampler()


def test_slots_are_of_the_frames_a_clip_really_has(tmp_path):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 32))
    for value in range(30):
        writer.write(np.full((32, 32, 3), 8 * value, np.uint8))
    writer.release()
    with Decoder() as decoder:
        frames = list(decoder.frames(path, Sampling(slots=3, per_slot=2)))
    assert [frame.frame_index for frame in frames] == balanced_frames(30, 3, 2).tolist() == [2, 7, 12, 17, 22, 27]
    assert [round(frame.image.mean() / 8) for frame in frames] == [2, 7, 12, 17, 22, 27]


@given(
    n=st.integers(1, 400),
    fps=st.sampled_from([10.0, 25.0, 29.97, 30.0]),
    stride=st.integers(1, 7),
    clock_fps=st.sampled_from([None, 1.0, 5.0, 25.0, 60.0]),
    start=st.sampled_from([None, 0.2, 3.0, 40.0]),
    length=st.sampled_from([None, 1.0, 5.0]),
    most=st.sampled_from([None, 1, 50]),
)
def test_the_number_of_kept_frames_is_known_before_a_clip_is_read(n, fps, stride, clock_fps, start, length, most):
    stop = None if length is None else (start or 0.0) + length
    sampling = Sampling(1 if clock_fps else stride, clock_fps, start, stop, most)
    assert abs(sampling.n_kept(n, fps) - len(kept(sampling, clock(fps, n)))) <= 1, "a frame more or less at an edge"


def test_without_a_clock_frames_are_counted_by_stride_and_number():
    assert [Sampling(stride=s).n_kept(10, None) for s in (1, 3, 11)] == [10, 4, 1]
    assert Sampling(max_frames=4).n_kept(10, None) == 4
    assert Sampling(slots=3, per_slot=2).n_kept(10, None) == 6
