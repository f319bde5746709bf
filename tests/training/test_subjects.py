"""Subjects of a collection: checked, grouped by space, drawn, and cut into the parts of a fold."""

import numpy as np
import pytest

from fer_batch.training.subjects import Fold, by_space, check_subjects, checked, fold_of, some_of, stream


def test_a_subject_of_two_spaces_or_without_an_id_is_refused():
    with pytest.raises(ValueError, match="subject 'S1' is in the datasets 'as' and 'ck'; prefix subjects"):
        check_subjects(["S1", "S2", "S1"], ["ck", "ck", "as"])
    with pytest.raises(ValueError, match="a sample of dataset 'ck' has no subject"):
        check_subjects(["", "S2"], ["ck", "ck"])
    with pytest.raises(ValueError, match=r"one shape \(N,\), got \(2,\), \(1,\) and \(1,\)"):
        checked(["a", "b"], ["as"], None)
    with pytest.raises(ValueError, match="no samples"):
        checked([], [], None)


def test_the_space_of_a_subject_is_its_dataset_unless_another_is_named():
    people, sets, spaces = checked(["a", "b", "a"], ["x", "y", "z"], ["p", "q", "p"])
    assert sets.tolist() == ["x", "y", "z"]
    assert by_space(people, spaces) == [("p", ["a"]), ("q", ["b"])]
    assert checked(["a"], ["x"], None)[2].tolist() == ["x"]


@pytest.mark.parametrize(
    ("n", "share", "expected"), [(5, 0.2, 1), (5, 0.01, 1), (5, 0.99, 4), (1, 0.5, 0), (4, 0.0, 0)]
)
def test_some_are_at_least_one_and_never_all(n, share, expected):
    own = [f"s{i}" for i in range(n)]
    chosen = some_of(own, share, stream(0, "x"))
    assert len(chosen) == expected
    assert chosen <= set(own)


def test_a_share_of_all_is_refused():
    with pytest.raises(ValueError, match=r"below 1, got 1\.5"):
        some_of(["a"], 1.5, stream(0))


def test_streams_of_one_seed_differ_by_what_they_are_for():
    assert stream(0, "a", "b").random() == stream(0, "a", "b").random()
    assert len({stream(0, "ab").random(), stream(0, "a", "b").random(), stream(1, "ab").random()}) == 3


def test_a_fold_has_every_sample_once_and_only_judged_ones_are_tested():
    people = np.array(["a", "a", "b", "c", "d", "d"])
    judged = np.array([True, False, True, True, True, True])
    fold = fold_of(0, people, np.full(6, "x"), {"a"}, 0.4, 0, "a", judged)
    assert fold.test.tolist() == [0]
    assert set(people[fold.train]) | set(people[fold.validation]) == {"b", "c", "d"}
    assert len(set(people[fold.validation])) == 1
    assert not set(people[fold.train]) & set(people[fold.validation])


def test_a_fold_without_samples_is_refused():
    with pytest.raises(ValueError, match="fold 0: expected samples to train and to test on, got 0 and 1"):
        Fold(0, np.array([], np.int64), np.array([], np.int64), np.array([1]))
