"""Rows of table `episodes` as stages and as a timeline of the whole recording."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.pipeline.report.episodes import episodes_of, stage_rows, steady_timeline
from fer_batch.pipeline.report.frames import Frames
from fer_batch.report.chips import Chip
from fer_batch.report.stages import Stage

ROW = {
    "episode_index": 0,
    "first_frame": 4,
    "last_frame": 16,
    "start_s": 0.16,
    "end_s": 0.68,
    "n_frames": 6,
    "n_missing_frames": 1,
    "text": "(AU06_A) -> (AU06_A, AU12_A)",
    "stages": ["(AU06_A)", "(AU06_A, AU12_A)"],
    "stage_first_frames": [4, 10],
    "stage_n_frames": [2, 4],
    "targets": ["AU06", "AU12"],
    "target_frames": [6, 4],
    "target_peaks": [12, 14],
    "target_evidence": [2.0, 1.5],
    "lasting": ["AU17"],
    "peak_frame": 12,
    "begins": "rest",
    "ends": "recording",
}


@pytest.fixture
def sequence():
    """Every second frame was sampled; frame 8 shows no face."""
    index = np.arange(0, 18, 2)
    frames = Frames(index, index != 8, pa.chunked_array([pa.nulls(9)]), 25.0)
    return SimpleNamespace(frames=frames, episodes=[ROW], has_episodes=True)


def test_the_stages_of_an_episode_are_rows_as_those_of_a_sequence(sequence):
    first, second = stage_rows(sequence, ROW)
    assert first == {
        "text": "(AU06_A)",
        "labels": ["AU06_A"],
        "first_frame": 4,
        "last_frame": 6,
        "n_frames": 2,
        "n_missing_frames": 1,
    }
    assert second["labels"] == ["AU06_A", "AU12_A"]
    assert (second["first_frame"], second["last_frame"], second["n_missing_frames"]) == (10, 16, 0)


def test_the_recording_as_its_episodes(sequence):
    found = steady_timeline(sequence)
    assert found.targets == ("AU06", "AU12")
    assert found.episodes == ((4, 16),)
    assert found.clusters[0] == (None, None, "A", "A", None, "A", "A", "A", "A")
    assert found.clusters[1] == (None, None, None, None, None, "A", "A", "A", "A")


def test_an_episode_is_shown_at_its_peak(sequence):
    def draw(row):
        return Stage(row["text"], row["first_frame"], row["last_frame"], row["n_frames"])

    (one,) = episodes_of(sequence, draw, Chip)
    assert one.shown.text == "(AU06_A, AU12_A)"
    assert [(target.label.text, target.peak_frame) for target in one.targets] == [("AU06", 12), ("AU12", 14)]
    assert one.lasting == ("AU17",)
    assert one.edges == "ends with the recording"
    sequence.has_episodes = False
    assert episodes_of(sequence, draw, Chip) is None
