"""Figures as JSON values."""

import math

import numpy as np

from fer_batch.evaluate.subject_mean import subject_mean
from fer_batch.pipeline.study.comparisons.figures import figure, kept, known, number, numbers


def test_what_is_undefined_is_none_where_it_is_kept_and_nan_where_it_is_drawn():
    assert [known(one) for one in (1, np.float32(0.5), math.nan, math.inf, None)] == [1, 0.5, None, None, None]
    assert number(2) == 2 and math.isnan(number(None)) and numbers([1, 2]) == [1, 2]
    found = kept(subject_mean([1.0, 3.0], ["a", "b"]))
    assert found == [2, None, None, 2, 2]
    drawn = figure("z", found, 0.1, "net")
    assert (drawn.method, drawn.mean, drawn.n, drawn.n_subjects, drawn.chance, drawn.network) == (
        "z",
        2,
        2,
        2,
        0.1,
        "net",
    )
    assert math.isnan(drawn.low)
