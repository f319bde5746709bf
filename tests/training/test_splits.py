"""Splits by subject (methods 6, CV-1 to CV-3): what holds for every collection and seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.training.splits import Fold, check_subjects, holdout, leave_one_subject_out, subject_folds


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
    with pytest.raises(ValueError, match="subject 'S1' is in the datasets 'as' and 'ck'; prefix subjects"):
        check_subjects(["S1", "S2", "S1"], ["ck", "ck", "as"])
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
    with pytest.raises(ValueError, match="fold 0: expected samples to train and to test on, got 0 and 1"):
        Fold(0, np.array([], np.int64), np.array([], np.int64), np.array([1]))
    with pytest.raises(ValueError, match=r"below 1, got 1\.5"):
        holdout(["a", "b"], ["as", "as"], test=1.5)
