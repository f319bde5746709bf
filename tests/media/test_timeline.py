"""Numbers of frames behind lost ones, from times alone."""

import numpy as np
import pytest

from fer_batch.media.timeline import Timeline, without_holes

MOST = 10**6


def rounded(n, rate, tick=1000):
    """Times of a steady clip in milliseconds, as Matroska rounds them."""
    return np.rint(np.arange(n) * tick / rate).astype(np.int64)


@pytest.mark.parametrize("rate", [25.0, 29.97, 12.5, 59.94])
@pytest.mark.parametrize("gap", [1, 7, 240])
def test_lost_frames_of_a_steady_clip_are_counted(rate, gap):
    times = rounded(600, rate)
    kept = np.delete(times, slice(100, 100 + gap))
    filled = without_holes(kept, 1, MOST)
    assert len(filled) == 600
    assert np.isin(kept, filled).all(), "times that were read are not touched"
    assert np.abs(filled - times).max() <= 1


def test_times_without_a_gap_are_as_they_are():
    uneven = np.array([0, 80, 120, 160, 500])
    np.testing.assert_array_equal(without_holes(uneven, 0, MOST), uneven)


@pytest.mark.parametrize(
    ("times", "n_gaps", "most"),
    [
        ([0, 80, *range(120, 2000, 40), *range(2200, 3000, 40)], 1, MOST),  # holes at two places, and one gap
        ([0, 40, 95, 130, 170, 290, 330], 1, MOST),  # steps of all lengths
        ([0, 40, 80, 138, 178, 218], 1, MOST),  # a hole of one and a half steps
        ([0, 40, 80, 80, 120], 0, MOST),  # two frames at once
        ([0, 40, 80, 40_000_000, 40_000_040], 1, 5000),  # more frames than the file has bytes
    ],
)
def test_what_nobody_can_know_is_not_guessed(times, n_gaps, most):
    assert without_holes(np.array(times), n_gaps, most) is None


def test_a_timeline_agrees_with_what_was_counted_or_is_not_used():
    timeline = Timeline([5, 10, 15, 20])
    assert (len(timeline), timeline.index(15), timeline.index(16), timeline.index(None)) == (4, 2, None, None)
    assert timeline.agrees(2, 5, 10)
    assert timeline.agrees(0, None, None)
    assert not timeline.agrees(2, 5, 15), "a packet before it gave no frame"
    assert not timeline.agrees(2, 0, 10)
    assert not timeline.agrees(5, 5, 20)
