"""The simulation behind the interval of mu: its truth is chance, and its table says what does not hold."""

import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def simulation():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        import verdict_interval
    finally:
        sys.path.pop(0)
    return verdict_interval


def test_scenarios_of_tuning_and_report_have_nothing_in_common(simulation):
    assert not set(simulation.tuning()) & set(simulation.reported())


@pytest.mark.parametrize("shape", ["symmetric", "right", "left", "one mu"])
@pytest.mark.parametrize("sizes", ["unequal", "more where mu is high"])
def test_the_mean_over_frames_of_a_simulated_population_is_the_truth(simulation, shape, sizes):
    scenario = simulation.Scenario(50, sizes, shape, 0.0 if shape == "one mu" else 0.5, 10.0)
    frames, sums, truth = simulation.drawn(scenario, 4000, np.random.default_rng(0))
    assert sums.sum() / frames.sum() == pytest.approx(truth, rel=0.01)


def test_the_table_tells_candidates_apart_and_names_what_is_not_held(simulation):
    scenario = simulation.Scenario(4, "equal", "symmetric", 0.3, 10.0)
    names = ("percentile bootstrap (before)", "CR1, t of G - 1", "**chosen**")
    found = {(name, scenario): simulation.figures(name, scenario, 3, 1.0) for name in names}
    before, student, chosen = found.values()
    assert before.false > 0.05 > 0.03 > max(student.false, chosen.false)
    assert before.covered < 0.85 < chosen.covered
    wrong = simulation.Figures(0.07, 0.9, 0.2, 1.0)
    text = simulation.table({**found, ("**chosen**", simulation.Scenario(9, "equal", "left", 0.3, 10.0)): wrong})
    assert "| subjects | 4 | 9 |" in text
    assert "In 1 of 2 scenarios" in text
    assert "skewed to the left; frames: equal. 7.0 % with 9 subjects" in text
