"""The timeline for print: runs by cluster, stages, missing and annotated frames."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from fer_batch.visualize.figure import save
from fer_batch.visualize.timeline import timeline
from fer_batch.visualize.timeline_layout import Timeline

STARTS = (0, 1, 3, 5, 9, 12, 14, 16)  # of the stages of the toy sequence


def test_g01_the_timeline_colours_runs_by_cluster_and_marks_the_stages(toy_timeline):
    figure = timeline(toy_timeline())
    rows = figure.axes[0]
    assert [label.get_text() for label in rows.get_yticklabels()] == ["AU01", "AU02", "AU04"], "AU12 is never active"
    bars = [c for c in rows.collections if c.get_paths()]
    colours = {to_hex(c.get_facecolor()[0]): len(c.get_paths()) for c in bars}
    assert colours == {"#0072b2": 1, "#e69f00": 2, "#f0e442": 1, "#009e73": 1}
    letters = [text.get_text() for text in rows.texts if text.get_text() in ("A", "B")]
    assert sorted(letters) == ["A", "A", "A", "A", "B"]
    boundaries = [line.get_xdata()[0] for line in rows.lines if line.get_gid() == "stage-boundary"]
    assert boundaries == [*STARTS[1:]]


def test_missing_frames_are_hatched_and_named(toy_timeline):
    ok = np.ones(18, bool)
    ok[6:8] = False
    figure = timeline(toy_timeline(ok=ok))
    missing = [patch for patch in figure.axes[0].patches if patch.get_gid() == "missing"]
    assert [(p.get_x(), p.get_width()) for p in missing] == [(6, 2)]
    assert "no usable face" in figure.axes[1].get_xlabel()


def test_ground_truth_is_a_line_under_its_row_even_where_the_network_sees_nothing(toy_timeline):
    truth = np.zeros((4, 18), bool)
    truth[0, 2:5] = truth[3, 9] = True
    figure = timeline(toy_timeline(annotated=truth))
    rows = figure.axes[0]
    assert [label.get_text() for label in rows.get_yticklabels()] == ["AU01", "AU02", "AU04", "AU12"]
    lines = [path.get_extents() for c in rows.collections if c.get_gid() == "annotated" for path in c.get_paths()]
    assert [(box.x0, box.x1, int(box.y0)) for box in lines] == [(2, 5, 0), (9, 10, 3)]
    assert "annotated" in figure.axes[1].get_xlabel()
    assert "annotated" not in timeline(toy_timeline()).axes[1].get_xlabel()


def test_sampled_frames_keep_their_own_numbers(toy_timeline):
    starts = tuple(5 * first for first in STARTS)
    figure = timeline(toy_timeline(frames=np.arange(0, 90, 5), stage_starts=starts, fps=None), probability=False)
    (rows,) = figure.axes
    figure.canvas.draw()
    assert [t.get_text() for t in rows.get_xticklabels()][:3] == ["0", "5", "10"]
    assert "every 5th frame" in rows.get_xlabel()
    boundaries = [line.get_xdata()[0] for line in rows.lines if line.get_gid() == "stage-boundary"]
    assert boundaries == [*STARTS[1:]]


@pytest.mark.parametrize(
    "data",
    [
        Timeline(np.arange(0), np.zeros(0, bool), (), ()),
        Timeline(np.arange(3), np.zeros(3, bool), ("AU01",), ((None,) * 3,)),
        Timeline(np.arange(3), np.ones(3, bool), ("AU01",), (("", None, "AB"),), (0, 1, 2)),
        Timeline(np.array([7]), np.ones(1, bool), ("$x^{$ <b>",), (("A",),), (7,), np.array([[np.nan]])),
    ],
    ids=["no frame", "no face", "letters", "one frame, a name that looks like mathematics"],
)
def test_awkward_sequences_still_give_a_picture(data):
    assert save(timeline(data)).startswith(b"\x89PNG")


def test_a_timeline_without_a_face_says_so(toy_timeline, texts_of):
    silent = {"clusters": ((None,) * 18,) * 4, "probability": None}
    assert "no target is ever active" in texts_of(timeline(toy_timeline(**silent)))
    assert "no face was found in any frame" in texts_of(timeline(toy_timeline(**silent, ok=np.zeros(18, bool))))
