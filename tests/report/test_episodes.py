"""An episode as its page says it: when, between what, and every target in numbers."""

import pytest

from fer_batch.report.chips import Chip
from fer_batch.report.episodes import Episode, EpisodeTarget, episodes_table
from fer_batch.report.stages import Stage

STAGES = (Stage("(AU06_A)", 3, 5, 3), Stage("(AU06_A, AU12_A)", 6, 9, 4))


def episode(**changes):
    values = {"text": "(AU06_A) -> (AU06_A, AU12_A)", "stages": STAGES, "first_frame": 3, "last_frame": 9}
    return Episode(**{**values, "n_frames": 7, "peak": 1, "peak_frame": 8, **changes})


def test_an_episode_is_shown_by_the_stage_of_its_peak():
    assert episode().shown is STAGES[1]


@pytest.mark.parametrize(
    ("begins", "ends", "said"),
    [
        ("rest", "rest", ""),
        ("gap", "rest", "begins after missing frames"),
        ("recording", "gap", "begins with the recording, ends before missing frames"),
        ("rest", "recording", "ends with the recording"),
    ],
)
def test_what_cuts_an_episode_is_said(begins, ends, said):
    assert episode(begins=begins, ends=ends).edges == said


def test_without_a_clock_its_time_is_its_frames():
    assert episode().when == "frames 3–9"
    assert episode(start_s=0.12, end_s=0.4).when == "0.12–0.40 s"


def test_every_target_has_a_row():
    chips = [EpisodeTarget(Chip(name), n, 8, 2.5) for name, n in (("AU06", 7), ("AU12", 4))]
    table = episodes_table([episode(), episode(targets=tuple(chips), n_missing_frames=1, start_s=0.12, end_s=0.4)])
    assert table.rows == (
        (2, 3, 9, 0.28, 7, 1, 8, "AU06", 7, 8, 2.5),
        (2, 3, 9, 0.28, 7, 1, 8, "AU12", 4, 8, 2.5),
    )
    assert len(table.columns) == len(table.rows[0])
    assert episodes_table([]) is None
