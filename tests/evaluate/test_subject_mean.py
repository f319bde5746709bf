"""Means over images with an interval by subject."""

import numpy as np
import pytest

from fer_batch.evaluate.interval import subject_interval
from fer_batch.evaluate.subject_mean import subject_mean, subject_numbers


def test_the_mean_is_over_images_and_its_interval_by_subject():
    values, subjects = [1, 2, 3, np.nan, 5, 6, 9], ["a", "a", "b", "b", "c", "d", "d"]
    found = subject_mean(values, subjects)
    assert (found.mean, found.n, found.n_undefined, found.n_subjects) == (26 / 6, 6, 1, 4)
    low, high = subject_interval([2, 1, 1, 2], [3, 3, 5, 15])
    assert (found.low, found.high) == (low, high)
    assert subject_mean(values, subjects, bounds=(2, 4)).low >= 2
    assert subject_mean(values, subjects, bounds=(2, 4)).high == 4


def test_without_subjects_or_images_there_is_no_interval():
    few = subject_mean([1, 2, 3], ["a", "b", "b"])
    assert few.mean == 2 and np.isnan([few.low, few.high]).all()
    none = subject_mean([np.nan], ["a"])
    assert np.isnan([none.mean, none.low]).all() and (none.n, none.n_undefined, none.n_subjects) == (0, 1, 0)
    with pytest.raises(ValueError, match="one subject per image"):
        subject_mean([1, 2], ["a"])


def test_subjects_are_numbered_as_they_come():
    assert subject_numbers(["b", "a", "b", ("c", 1)]).tolist() == [0, 1, 0, 2]
