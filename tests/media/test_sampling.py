"""Which frames are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.media.sampling import SECOND_NS, Sampling


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
