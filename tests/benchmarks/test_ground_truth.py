"""What the figures of benchmarks/ground_truth.py say of clips that are right, and of clips that are wrong."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks" / "ground_truth.py"
spec = importlib.util.spec_from_file_location("ground_truth", SOURCE)
ground_truth = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ground_truth)
HELD = ground_truth.HOLD_FRAMES


def clip(active, intensity):
    """Rows (frame, target, active, letter, intensity) of two units."""
    return ground_truth.Clip(
        [
            (t, f"AU{a + 1:02d}", bool(active[t, a]), "A" if active[t, a] else None, float(intensity[t, a]))
            for t, a in np.ndindex(active.shape)
        ]
    )


def shown(*spans, n=20):
    active = np.zeros((n, 2), bool)
    for unit, first, stop in spans:
        active[first:stop, unit] = True
    return active


def test_a_clip_told_right_has_perfect_figures():
    true = shown((0, 4, 12), (1, 8, 15))
    figures = ground_truth.prototype_figures({"a": clip(true, 4.0 * true), "b": clip(~true, 4.0 * ~true)})
    for name in ("frames_right", "stage_f1", "same_prototype", "au_f1", "onset_within_3", "smooth_stage_f1"):
        assert figures[name] == 1, name
    for name in ("edits", "boundary_missed", "boundary_false", "unseen_runs", "onset_median", "offset_median"):
        assert figures[name] == 0, name
    assert figures["edits_of_another"] > 0
    assert figures["n_stages"] == figures["n_true_stages"]


def test_late_flickering_and_unseen_units_are_told_apart():
    true = shown((0, 4, 12), (1, 8, 15))
    late = ground_truth.prototype_figures({"a": clip(shown((0, 6, 12), (1, 8, 15)), 4.0 * true)})
    assert (late["onset_median"], late["offset_median"], late["unseen_runs"]) == (1, 0, 0)  # of 2 and 0
    assert late["boundary_missed"] == pytest.approx(2 / 4)
    blind = ground_truth.prototype_figures({"a": clip(shown((1, 8, 15)), 4.0 * true)})
    assert blind["unseen_runs"] == 0.5
    flicker = shown((0, 4, 12), (1, 8, 15), (1, 18, 19), n=24)
    true = shown((0, 4, 12), (1, 8, 15), n=24)
    flickering = ground_truth.prototype_figures({"a": clip(flicker, 4.0 * true)})
    assert flickering["edits"] > flickering["smooth_edits"] == 0
    assert flickering["n_stages"] == flickering["n_true_stages"] + 2


def test_letters_that_follow_the_cover_are_right():
    cover = ground_truth.COVER
    right = ["A"] * cover.start + ["B"] * (cover.stop - cover.start) + ["A"] * (HELD - cover.stop)
    found = ground_truth.letter_figures([(right, True), (["A"] * HELD, False), ([None] * HELD, False)])
    assert (found["rand"], found["exactly_right"], found["clusters"], found["split_controls"]) == (1, 1, 2, 0)
    assert (found["change_missed"], found["change_false"]) == (0, 0)
    assert found["active"] == pytest.approx(2 / 3)
    found = ground_truth.letter_figures([(["A"] * HELD, True), (right, False)])
    assert (found["rand"], found["exactly_right"], found["split_controls"]) == (0, 0, 1)
    assert np.isnan(found["change_missed"])


def test_toy_prototypes_are_right_without_noise_and_wrong_in_noise_alone():
    assert ground_truth.toy_prototypes_right(0.02, seeds=2) == 1
    assert ground_truth.toy_prototypes_right(20.0, seeds=2) == 0
