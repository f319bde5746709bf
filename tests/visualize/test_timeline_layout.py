"""The layout of a timeline, which figure and SVG both draw."""

import numpy as np
import pytest

from fer_batch.visualize.timeline_layout import Bar, Timeline, layout, runs


def test_a_timeline_refuses_rows_that_do_not_match_its_frames(toy_timeline):
    with pytest.raises(ValueError, match="18 frames"):
        toy_timeline(ok=np.ones(17, bool))
    with pytest.raises(ValueError, match="ascend"):
        toy_timeline(frames=np.zeros(18, int))


def test_runs_cover_every_active_frame_once():
    letters = ["A", "A", None, "", "", "B", "A"]
    assert list(runs(letters)) == [(0, 2, "A"), (3, 2, ""), (5, 1, "B"), (6, 1, "A")]
    assert list(runs([])) == []


def test_a_timeline_by_hand():
    data = Timeline(
        frames=np.array([10, 12, 14, 16, 18, 20]),
        ok=np.array([True, True, False, True, True, True]),
        targets=("AU01", "AU02", "a target with a long name"),
        clusters=(("A", "A", "A", "A", None, ""), (None,) * 6, (None, None, None, None, None, "B")),
        stage_starts=(10, 12, 18),
        threshold=0.5,
        fps=2.0,
        annotated=np.array([[0, 1, 1, 0, 0, 0], [0] * 6, [0] * 6], dtype=bool),
    )
    plan = layout(data)
    assert [(row.index, row.name) for row in plan.rows] == [(0, "AU01"), (2, "a target with a l…")]
    # the stage that starts at frame 12 cuts the run of A after its first column
    assert plan.rows[0].bars == (Bar(0, 4, "A", (1, 3)), Bar(5, 1, "", (5, 1)))
    assert plan.rows[0].annotated == ((1, 2),)
    assert plan.missing == ((2, 1),)
    assert plan.stages == ((1, 0, 1), (2, 1, 4), (3, 4, 6))
    assert plan.empty == ""
    assert plan.curve_title == "probability, 0 to 1, dashed: threshold 0.5"
    assert plan.tick(data, 3) == ("16", "8.00 s")
    assert list(plan.notes.values()) == [
        "every 2th frame was analysed", "black line: annotated", "hatched: no usable face"
    ]  # fmt: skip


def test_episodes_are_numbered_in_the_place_of_stages():
    frames = np.arange(0, 40, 2)
    letters = tuple("A" if 3 <= i <= 6 or i >= 15 else None for i in range(20))
    data = Timeline(frames, np.ones(20, bool), ("AU12",), (letters,), episodes=((6, 12), (30, 38)))
    plan = layout(data)
    assert plan.numbered == "episode"
    assert plan.stages == ((1, 3, 7), (2, 15, 20))
    assert [(bar.start, bar.length) for bar in plan.rows[0].bars] == [(3, 4), (15, 5)]
