import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.prototypes.stages import (
    find_stages,
    first_shown,
    label_set,
    label_sets,
    letter,
    parse_stage,
    stage_text,
    without_short_runs,
)


def test_letters_count_as_columns_of_a_spreadsheet():
    assert [letter(i) for i in (0, 1, 25, 26, 27, 51, 52, 701, 702)] == [
        "A",
        "B",
        "Z",
        "AA",
        "AB",
        "AZ",
        "BA",
        "ZZ",
        "AAA",
    ]
    with pytest.raises(ValueError, match="-1"):
        letter(-1)


def test_stage_text_sorts_by_number_then_letter_then_name():
    labels = [("surprise", "A"), ("AU12", "A"), ("AU02", "AA"), ("AU02", "B"), ("anger", ""), ("AU4", ""), ("AU02", "")]
    assert stage_text(labels) == "(AU02, AU02_B, AU02_AA, AU4, AU12_A, anger, surprise_A)"
    assert stage_text([]) == "(NONE)"


def test_label_sets_tell_inactive_from_undefined():
    letters = {"AU02": ["A", "", None], "AU01": [None, "A", None]}
    assert list(map(stage_text, label_sets(3, letters))) == ["(AU02_A)", "(AU01_A, AU02)", "(NONE)"]
    assert label_sets(2, {}) == [(), ()]
    with pytest.raises(ValueError, match="expected 2 letters of AU01, got 1"):
        label_sets(2, {"AU01": ["A"]})


@pytest.mark.parametrize("target", ["NONE", "", "a,b", "a -> b", "(a)", " a"])
def test_targets_that_could_not_be_read_back_are_refused(target):
    with pytest.raises(ValueError, match="target"):
        label_set([(target, "A")])


@given(
    st.sets(
        st.tuples(
            st.sampled_from(["AU01", "AU02", "AU12", "happiness", "very happy", "left_hand"]),
            st.sampled_from(["", "A", "B", "AB"]),
        )
    )
)
def test_stage_text_reads_back(labels):
    assert parse_stage(stage_text(labels)) == label_set(labels)


def test_a_known_target_may_end_like_a_letter():
    assert parse_stage("(MOUTH_A, MOUTH_A_B)") == (("MOUTH", "A"), ("MOUTH_A", "B"))
    assert parse_stage("(MOUTH_A, MOUTH_A_B)", ["MOUTH_A"]) == (("MOUTH_A", ""), ("MOUTH_A", "B"))


A, B = (("AU01", "A"),), (("AU02", "A"),)


def test_letters_are_listed_as_the_label_sets_show_them_first():
    sets = [(), (("AU01", ""),), (("AU01", "B"), ("AU02", "A")), (("AU01", "A"),), (("AU01", "B"),)]
    assert first_shown(sets, "AU01") == ["B", "A"]
    assert first_shown(sets, "AU04") == []


def test_stages_are_maximal_runs():
    found = find_stages(range(6), [(), A, A, B, B, ()])
    assert [(s.labels, s.first_frame, s.last_frame, s.n_frames, s.n_missing_frames) for s in found] == [
        ((), 0, 0, 1, 0),
        (A, 1, 2, 2, 0),
        (B, 3, 4, 2, 0),
        ((), 5, 5, 1, 0),
    ]
    assert find_stages([], []) == []


def test_missing_frames_are_counted_once_and_never_invented():
    # every second frame was sampled
    found = find_stages([4, 10, 14, 16, 20, 22], [A, A, A, A, B, B], range(2, 26, 2))
    assert [(s.first_frame, s.last_frame, s.n_frames, s.n_missing_frames) for s in found] == [
        (4, 16, 4, 5),  # 2 before it, 6, 8 and 12 in it, 18 after it
        (20, 22, 2, 1),  # 24
    ]


def test_missing_frames_between_two_stages_count_in_the_first_of_them():
    found = find_stages([0, 1, 10, 11], [A, A, B, B], range(12))
    assert [(s.first_frame, s.last_frame, s.n_missing_frames) for s in found] == [(0, 1, 8), (10, 11, 0)]


def test_unsorted_labels_are_one_set():
    assert len(find_stages([0, 1], [A + B, B + A])) == 1


def test_find_stages_refuses_what_is_no_sequence():
    with pytest.raises(ValueError, match="rise strictly"):
        find_stages([1, 0], [A, A])
    with pytest.raises(ValueError, match="rise strictly"):
        find_stages([0, 0], [A, A])
    with pytest.raises(ValueError, match="got 1 for 2"):
        find_stages([0, 1], [A])
    with pytest.raises(ValueError, match=r"\[1\]"):
        find_stages([0, 1], [A, A], [0, 2])


@given(st.lists(st.tuples(st.sampled_from([(), A, B]), st.booleans())))
def test_stages_account_for_every_ok_frame(frames):
    ok = [i for i, (_, fine) in enumerate(frames) if fine]
    sets = [labels for labels, fine in frames if fine]
    stages = find_stages(ok, sets, range(len(frames)))
    rebuilt = [stage.labels for stage in stages for i in ok if stage.first_frame <= i <= stage.last_frame]
    assert rebuilt == sets
    if stages:
        assert sum(s.n_frames + s.n_missing_frames for s in stages) == len(frames)
    bounds = [0, *(s.first_frame for s in stages[1:]), len(frames)]
    for stage, (begin, end) in zip(stages, itertools.pairwise(bounds), strict=False):
        assert stage.n_missing_frames == sum(not fine for _, fine in frames[begin:end])
        assert {stage.first_frame, stage.last_frame} <= set(ok)
    assert all(a.labels != b.labels for a, b in itertools.pairwise(stages))


def test_short_runs_join_the_run_before_them():
    assert without_short_runs([A, A, B, A, A], 2) == [A] * 5
    assert without_short_runs([B, A, A, B, B, ()], 2) == [A, A, A, B, B, B]
    assert without_short_runs([A, B], 2) == [A, B]
    assert without_short_runs([A, B], 1) == [A, B]
    assert without_short_runs([], 3) == []
