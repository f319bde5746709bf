"""The posed collection to train on: every subject shows every unit, and no unit beside one that it excludes."""

import numpy as np
import pytest

from fer_batch.posed.clips import write_clips
from fer_batch.posed.face import POSED_AUS
from fer_batch.posed.people import APART, expression_units, plan_expressions, plan_people
from fer_batch.posed.plans import occurrence


def test_every_subject_shows_every_unit_and_frames_are_as_many_as_asked():
    plans = plan_people(6, 3, 20, seed=2)
    assert len(plans) == 18
    for subject in range(6):
        own = np.concatenate([plan.intensities for plan in plans if plan.subject == subject])
        assert len(own) == 60
        shown = (own >= 2).any(0)
        # a jaw drop is coded as a stretch where the mouth stretches: they are in different clips
        assert shown.all(), [au for au, there in zip(POSED_AUS, shown, strict=True) if not there]
    for plan in plans:
        present = {
            au for au, column in zip(POSED_AUS, plan.intensities.T, strict=True) if occurrence(column.max()) == 1
        }
        assert not any({a, b} <= present for a, b in APART)


def test_plans_repeat_and_differ_between_subjects_and_seeds():
    one, two, other = plan_people(2, seed=1), plan_people(2, seed=1), plan_people(2, seed=2)
    np.testing.assert_array_equal(one[3].intensities, two[3].intensities)
    assert not np.array_equal(one[0].intensities, other[0].intensities)
    assert not np.array_equal(one[0].intensities, one[3].intensities)
    with pytest.raises(ValueError, match="at least 2 clips of 12 frames a subject, got 1 of 20"):
        plan_people(2, 1)


def test_plans_are_written_as_clips(tmp_path):
    paths = write_clips(tmp_path, size=64, plans=plan_people(1, 2, 12))
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["P001/01_mixed.mp4", "P001/02_mixed.mp4"]
    assert len((tmp_path / "P001/01_mixed.annotations.csv").read_text().splitlines()) == 1 + 12 * len(POSED_AUS)


def test_every_subject_shows_every_expression_from_the_first_quarter_on():
    names = ("pain3", "pain4", "disgust", "happiness")
    plans = plan_expressions(5, names, n_frames=16, seed=3)
    assert [(plan.subject, plan.emotion) for plan in plans] == [(who, name) for who in range(5) for name in names]
    for plan in plans:
        units = set(expression_units(plan.emotion))
        shown = {POSED_AUS[i] for i in np.flatnonzero(plan.intensities[4:].min(0) > 0)}
        assert len(units & shown) >= min(len(units), 2) and len(shown - units) <= 2
    level = {name: np.mean([p.intensities.max() for p in plans if p.emotion == name]) for name in ("pain3", "pain4")}
    assert level["pain3"] < level["pain4"]


@pytest.mark.parametrize(
    ("expressions", "frames", "words"),
    [(("sad",), 16, "unknown expression 'sad'"), (("pain",), 8, "at least 12 frames")],
)
def test_what_cannot_be_posed_is_said(expressions, frames, words):
    with pytest.raises(ValueError, match=words):
        plan_expressions(2, expressions, frames)
