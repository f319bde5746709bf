import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.evaluate.stage_sequences import edit_distance, stage_f1
from fer_batch.types import Stage


def stage(name, first, last):
    return Stage(((name, ""),), first, last, last - first + 1)


def test_stages_that_overlap_by_half_are_right():
    truth = [stage("a", 0, 9), stage("b", 10, 19), stage("a", 20, 29)]
    assert stage_f1(truth, truth) == 1
    shifted = [stage("a", 0, 12), stage("b", 13, 19), stage("a", 20, 29)]  # overlaps 10/13, 7/10, 1
    assert stage_f1(shifted, truth) == 1
    assert stage_f1(shifted, truth, overlap=0.75) == pytest.approx(2 * 2 / 6)
    assert stage_f1(shifted, truth, overlap=1.0) == pytest.approx(2 / 6)


def test_stages_of_other_labels_and_second_ones_are_wrong():
    truth = [stage("a", 0, 9)]
    assert stage_f1([stage("b", 0, 9)], truth) == 0
    assert stage_f1([stage("a", 0, 4), stage("a", 5, 9)], truth) == pytest.approx(2 / 3)
    assert stage_f1([], truth) == 0
    assert math.isnan(stage_f1([], []))
    with pytest.raises(ValueError, match="overlap"):
        stage_f1(truth, truth, overlap=0)


def test_edits_by_hand():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("abc", "abc") == 0
    assert edit_distance("abc", "") == edit_distance("", "abc") == 3
    assert edit_distance([(), ("AU01",)], [("AU01",)]) == 1


@given(*[st.lists(st.sampled_from("abc"), max_size=7)] * 3)
def test_edits_are_a_distance(one, two, three):
    assert edit_distance(one, two) == edit_distance(two, one)
    assert (edit_distance(one, two) == 0) == (one == two)
    assert edit_distance(one, three) <= edit_distance(one, two) + edit_distance(two, three)
