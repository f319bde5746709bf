"""Splits by subject (methods 6, CV-1 to CV-3): what holds for every collection and seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.training.splits import given as given_split
from fer_batch.training.splits import holdout, leave_one_subject_out, subject_folds
from fer_batch.training.subjects import Stated


@st.composite
def collections(draw, at_least=2):
    """Subjects and datasets of some samples, in any order; every subject of every dataset has 1 to 4 samples."""
    subjects, datasets = [], []
    for name in draw(st.lists(st.sampled_from(["as", "ck", "posed"]), min_size=1, max_size=3, unique=True)):
        for person in range(draw(st.integers(at_least, 12))):
            n = draw(st.integers(1, 4))
            subjects += [f"{name}/{person}"] * n
            datasets += [name] * n
    order = draw(st.permutations(range(len(subjects))))
    return np.array(subjects)[list(order)], np.array(datasets)[list(order)]


def parts(fold, subjects):
    return [set(subjects[rows]) for rows in (fold.train, fold.validation, fold.test)]


def check_no_leak(folds, subjects):
    for fold in folds:
        train, validation, test = parts(fold, subjects)
        assert not (train & test) and not (train & validation) and not (validation & test)
        rows = np.concatenate([fold.train, fold.validation, fold.test])
        np.testing.assert_array_equal(np.sort(rows), np.arange(len(subjects)))  # nobody is lost, nobody counts twice


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for part in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))


@settings(max_examples=60, deadline=None)
@given(collections(), st.integers(0, 2**31), st.sampled_from([0.0, 0.2]))
def test_leave_one_subject_out_tests_everybody_once_and_trains_on_other_datasets(found, seed, share):
    subjects, datasets = found
    tested = sorted(set(datasets))[-1]
    folds = leave_one_subject_out(subjects, datasets, tested, share, seed)
    check_no_leak(folds, subjects)
    assert [fold.name for fold in folds] == sorted(set(subjects[datasets == tested]))
    for fold in folds:
        assert set(subjects[fold.test]) == {fold.name}
        if share == 0:
            assert set(np.flatnonzero(datasets != tested)) <= set(fold.train)
    assert_same(folds, leave_one_subject_out(subjects, datasets, tested, share, seed))


@settings(max_examples=60, deadline=None)
@given(collections(at_least=5), st.integers(2, 5), st.integers(0, 2**31))
def test_folds_of_subjects_test_every_sample_once_and_are_of_one_size_in_each_dataset(found, k, seed):
    subjects, datasets = found
    folds = subject_folds(subjects, datasets, k, 0.2, seed)
    check_no_leak(folds, subjects)
    tested = np.concatenate([fold.test for fold in folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(subjects)))
    for name in set(datasets):
        sizes = [len(set(subjects[fold.test][datasets[fold.test] == name])) for fold in folds]
        assert max(sizes) - min(sizes) <= 1
    assert all(len(fold.validation) for fold in folds)
    assert_same(folds, subject_folds(subjects, datasets, k, 0.2, seed))


@settings(max_examples=40, deadline=None)
@given(collections(at_least=3), st.integers(0, 2**31))
def test_a_holdout_keeps_people_apart(found, seed):
    subjects, datasets = found
    (fold,) = holdout(subjects, datasets, 0.3, 0.2, seed)
    check_no_leak([fold], subjects)
    assert_same([fold], holdout(subjects, datasets, 0.3, 0.2, seed))


def test_the_order_of_samples_changes_nobody_s_part_and_another_seed_does():
    subjects = np.array([f"as/{i}" for i in range(20) for _ in range(2)])
    datasets = np.full(40, "as")
    backwards = subject_folds(subjects[::-1], datasets, 5, 0.2, 3)
    for fold, other in zip(subject_folds(subjects, datasets, 5, 0.2, 3), backwards, strict=True):
        assert parts(fold, subjects) == parts(other, subjects[::-1])
    seeds = [subject_folds(subjects, datasets, 5, 0.2, seed) for seed in (3, 4)]
    assert any(parts(a, subjects) != parts(b, subjects) for a, b in zip(*seeds, strict=True))


def test_pd_s_validation_part_is_a_fifth_of_the_training_subjects():
    subjects = np.array([f"biovid/{i:02d}" for i in range(87)])
    for fold in subject_folds(subjects, np.full(87, "biovid")):
        assert len(fold.validation) == round(0.2 * (len(fold.train) + len(fold.validation)))
        assert len(fold.test) in (17, 18)


def test_adding_a_dataset_moves_nobody_of_another():
    subjects = np.array([f"as/{i}" for i in range(10)])
    alone = subject_folds(subjects, np.full(10, "as"), 5, 0.2, 0)
    both = subject_folds(
        np.concatenate([subjects, [f"ck/{i}" for i in range(7)]]), np.array(["as"] * 10 + ["ck"] * 7), 5, 0.2, 0
    )
    for one, other in zip(alone, both, strict=True):
        np.testing.assert_array_equal(one.test, other.test[other.test < 10])


def test_what_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match="dataset 'ck' has no subject"):
        holdout(["", "S2"], ["ck", "ck"])
    with pytest.raises(ValueError, match="one of as, ck"):
        leave_one_subject_out(["a", "b"], ["as", "ck"])
    with pytest.raises(ValueError, match="no sample is of dataset 'unbc'; there are as, ck"):
        leave_one_subject_out(["a", "b"], ["as", "ck"], "unbc")
    with pytest.raises(ValueError, match="needs two subjects, got 1"):
        leave_one_subject_out(["a", "a"], ["as", "as"])
    with pytest.raises(ValueError, match="expected 2 to 3 folds"):
        subject_folds(["a", "b", "c"], ["as"] * 3, 5)
    with pytest.raises(ValueError, match=r"below 1, got 1\.5"):
        holdout(["a", "b"], ["as", "as"], test=1.5)


@st.composite
def shared(draw):
    """Samples of up to three datasets, of which `a` and `d` have the same people, each seen in one or both."""
    subjects, datasets = [], []
    for person in range(draw(st.integers(3, 12))):
        for name in draw(st.lists(st.sampled_from("ad"), min_size=1, max_size=2, unique=True)):
            n = draw(st.integers(1, 3))
            subjects += [f"biovid:{person}"] * n
            datasets += [name] * n
    others = draw(st.integers(0, 4))
    return np.array(subjects + [f"ck:{i}" for i in range(others)]), np.array(datasets + ["ck"] * others)


def spaces_of(datasets):
    return np.where(np.isin(datasets, ["a", "d"]), "biovid", datasets)


@settings(max_examples=60, deadline=None)
@given(shared(), st.integers(0, 2**31), st.sampled_from([0.0, 0.3]))
def test_people_of_two_datasets_are_in_one_part_with_all_that_both_show(found, seed, share):
    subjects, datasets = found
    spaces = spaces_of(datasets)
    for folds in (
        subject_folds(subjects, datasets, 3, share, seed, spaces),
        holdout(subjects, datasets, 0.3, share, seed, spaces),
        leave_one_subject_out(subjects, datasets, "biovid", share, seed, spaces),
    ):
        check_no_leak(folds, subjects)
    tested = np.concatenate([fold.test for fold in subject_folds(subjects, datasets, 3, share, seed, spaces)])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(subjects)))
    if set("ad") <= set(datasets):
        for fold in leave_one_subject_out(subjects, datasets, "a", share, seed, spaces):
            assert set(datasets[fold.test]) == {"a"} and set(subjects[fold.test]) == {fold.name}
            rest = np.concatenate([fold.train, fold.validation])
            assert set(rest) == set(np.flatnonzero(subjects != fold.name)), "what d shows of the person is in no part"


def test_one_space_needs_no_name_and_an_unnamed_one_is_refused():
    subjects, datasets = ["b:1", "b:2", "b:1"], ["a", "a", "d"]
    folds = leave_one_subject_out(subjects, datasets, spaces=["b"] * 3)
    assert [fold.test.tolist() for fold in folds] == [[0, 2], [1]]
    with pytest.raises(ValueError, match=r"'b:1' is in the datasets 'a' and 'd'; .*one subject space where it is the"):
        leave_one_subject_out(subjects, datasets, "a")


PEOPLE = [f"an:{i}" for i in range(12)]


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_a_split_without_a_test_part_is_judged_on_val_which_chooses_nothing(share):
    """AffectNet's official split."""
    stated = ["train"] * 8 + ["val"] * 3 + [None]
    (fold,) = given_split(stated, PEOPLE, ["an"] * 12, share)
    assert fold.test.tolist() == [8, 9, 10]
    assert len(fold.validation) == round(8 * share) and set(fold.validation) <= set(range(8))
    assert sorted([*fold.train, *fold.validation]) == list(range(8))
    assert fold.stated == Stated("val", "train" if share else "")


def test_a_split_with_a_test_part_is_validated_on_val():
    (fold,) = given_split(["train"] * 8 + ["val"] * 2 + ["test"] * 2, PEOPLE, ["an"] * 12, 0.25)
    assert (fold.validation.tolist(), fold.test.tolist(), fold.stated) == ([8, 9], [10, 11], Stated("test", "val"))
    (fold,) = given_split(["train"] * 10 + ["test"] * 2, PEOPLE, ["an"] * 12)
    assert (len(fold.validation), fold.stated) == (0, Stated("test", ""))


def test_parts_of_other_names_are_said_where_one_is_missing():
    with pytest.raises(ValueError, match=r"got 10 and 0; the sources also state 'devel'"):
        given_split(["train"] * 10 + ["devel"] * 2, PEOPLE, ["an"] * 12)
