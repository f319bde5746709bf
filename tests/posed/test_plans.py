"""Plans of clips: Action Units that go together, neutral at both ends, occurrence by level."""

import numpy as np
import pytest

from fer_batch.facs import EXPRESSIONS
from fer_batch.posed import plans as posed
from fer_batch.posed.face import POSED_AUS


@pytest.mark.parametrize(("intensity", "expected"), [(0.0, 0.0), (0.01, None), (1.99, None), (2.0, 1.0), (5.0, 1.0)])
def test_occurrence_is_undefined_between_absent_and_level_b(intensity, expected):
    value = posed.occurrence(intensity)
    assert np.isnan(value) if expected is None else value == expected


def test_a_dropped_jaw_parts_the_lips_and_a_stretch_is_not_a_drop():
    assert posed.with_implied({26: 3.0}) == {26: 3.0, 25: 3.0}
    assert posed.with_implied({26: 3.0, 27: 2.0, 25: 4.0}) == {26: 0.0, 27: 2.0, 25: 4.0}
    assert posed.with_implied({12: 3.0}) == {12: 3.0}


def test_plans_start_and_end_neutral_and_hold_several_stages():
    plans = posed.plan_clips(12, seed=3)
    assert {p.emotion for p in plans} == {*EXPRESSIONS, ""}
    for plan in plans:
        assert not plan.intensities[:2].any()
        assert not plan.intensities[-2:].any()
        active = plan.intensities >= 2
        stages = 1 + np.any(active[1:] != active[:-1], axis=1).sum()
        expected = set(posed.with_implied(dict.fromkeys(posed.emotion_aus(plan.emotion), 3.0)))
        if plan.emotion == "neutral":
            assert stages == 1
        elif plan.emotion:
            assert {POSED_AUS[i] for i in np.flatnonzero(active.any(0))} == expected
            assert stages >= 2 * len(posed.emotion_aus(plan.emotion)) - 1
