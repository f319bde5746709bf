"""Measures of stages by hand."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_batch.types import Stage


@pytest.fixture(scope="module")
def measures():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        import stage_measures
    finally:
        sys.path.pop(0)
    return stage_measures


def stage(name, first, last):
    return Stage(((name, ""),), first, last, last - first + 1)


def test_stages_that_overlap_by_half_are_right(measures):
    truth = [stage("a", 0, 9), stage("b", 10, 19), stage("a", 20, 29)]
    assert measures.stage_f1(truth, truth) == 1
    shifted = [stage("a", 0, 12), stage("b", 13, 19), stage("a", 20, 29)]  # overlaps 10/13, 7/10, 1
    assert measures.stage_f1(shifted, truth) == 1
    assert measures.stage_f1(shifted, truth, overlap=0.75) == pytest.approx(2 * 2 / 6)
    assert measures.stage_f1(shifted, truth, overlap=1.0) == pytest.approx(2 / 6)


def test_stages_of_other_labels_and_second_ones_are_wrong(measures):
    truth = [stage("a", 0, 9)]
    assert measures.stage_f1([stage("b", 0, 9)], truth) == 0
    assert measures.stage_f1([stage("a", 0, 4), stage("a", 5, 9)], truth) == pytest.approx(2 / 3)
    assert measures.stage_f1([], truth) == 0
    assert math.isnan(measures.stage_f1([], []))
    with pytest.raises(ValueError, match="overlap"):
        measures.stage_f1(truth, truth, overlap=0)


def test_boundary_error_goes_both_ways(measures):
    assert measures.boundary_error([5, 9, 30], [4, 10]) == (pytest.approx(1.0), pytest.approx((1 + 1 + 20) / 3))
    assert measures.boundary_error([4, 10], [4, 10]) == (0, 0)
    assert np.isnan(measures.boundary_error([], [4])).all()
