"""Steady activity: what is kept, filled and left out, told by hand on short rows."""

import numpy as np
import pytest

from fer_batch.prototypes.activity import hysteresis, longer, runs, smoothed, without_short


def row(text):
    """Activity of one target, a character for each frame: `#` active; `|` begins another segment."""
    pieces = text.split("|")
    segment = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    return np.array([character == "#" for piece in pieces for character in piece], bool), segment


def text(active, segment):
    pieces = [active[segment == number] for number in np.unique(segment)]
    return "|".join("".join("#" if on else "." for on in piece) for piece in pieces)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("..####..", "..####.."),
        ("..##..##....", "..######...."),  # the break is shorter than three frames
        ("..##....", "........"),  # and so is the activity
        ("..###...###.", "..###...###."),
        ("#..###", "######"),
        ("..##|##..", "....|...."),  # what is missing between them is no evidence that it went on
        ("####.|.####", "####.|.####"),  # nor is a break filled that may be longer than what is seen of it
        (".", "."),
        ("", ""),
    ],
)
def test_breaks_are_filled_before_short_activity_is_left_out(given, kept):
    active, segment = row(given)
    assert text(without_short(active, segment, 3), segment) == kept
    assert text(active, segment) == given


def test_a_run_of_one_frame_leaves_everything_as_it_is():
    active = np.random.default_rng(0).random(200) < 0.5
    assert (without_short(active, np.zeros(200, np.int64), 1) == active).all()


def test_a_target_is_active_as_long_as_it_stays_above_the_lower_threshold_if_it_reaches_the_higher():
    evidence = np.array([-3, -0.5, 1, -0.5, -0.9, -2, -0.5, -0.2, -3, 2.0])
    segment = np.zeros(10, np.int64)
    assert text(hysteresis(evidence, segment, 0, -1), segment) == ".####....#"
    assert text(hysteresis(evidence, segment, 0, 0), segment) == "..#......#"
    assert text(hysteresis(evidence, np.repeat([0, 1], [3, 7]), 0, -1), np.repeat([0, 1], [3, 7])) == ".##|......#"
    assert hysteresis(np.zeros(0), np.zeros(0, np.int64), 0, -1).shape == (0,)


def test_undefined_evidence_is_no_activity():
    evidence = np.array([1, np.nan, 1.0])
    assert hysteresis(evidence, np.zeros(3, np.int64), 0, -1).tolist() == [True, False, True]


def test_smoothing_is_the_mean_of_the_frames_that_there_are_and_stops_at_a_gap():
    evidence = np.array([[0.0, 1], [3, 1], [6, 1], [100, 1], [0, 1]])
    found = smoothed(evidence, np.array([0, 0, 0, 1, 1]), 3)
    assert np.allclose(found[:, 0], [1.5, 3, 4.5, 50, 50])
    assert np.allclose(found[:, 1], 1)
    assert (smoothed(evidence, np.zeros(5, np.int64), 1) == evidence).all()


def test_runs_end_where_a_value_or_a_segment_does():
    start, stop = runs(np.array([1, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 1]))
    assert start.tolist() == [0, 2, 3]
    assert stop.tolist() == [2, 3, 5]
    assert [one.tolist() for one in runs(np.zeros(0), np.zeros(0, np.int64))] == [[], []]


@pytest.mark.parametrize(
    ("given", "lasting"),
    [("..####..###.", "..####......"), ("####.#", "####.."), ("##|##.##", "##|##..."), ("....", "...."), ("", "")],
)
def test_activity_of_more_than_three_frames_lasts_gaps_or_not(given, lasting):
    active, segment = row(given)
    assert text(longer(active, 3), segment) == lasting


def test_a_hole_in_the_evidence_is_a_hole_and_no_more():
    evidence = np.zeros((60, 1))
    evidence[5:15], evidence[25], evidence[40:50] = 3.0, np.nan, 3.0
    found = smoothed(evidence, np.zeros(60, np.int64), 5)
    assert np.flatnonzero(np.isnan(found[:, 0])).tolist() == [25]
    assert found[45, 0] == pytest.approx(3) and found[24, 0] == pytest.approx(0)
