"""Mean over classes, each counting once, and its interval by subject."""

import numpy as np
import pytest

from fer_batch.evaluate.macro_mean import macro_mean


def test_each_class_counts_once_however_many_images_it_has():
    values = [0.2, 0.4, 0.9, np.nan, 0.1]
    found = macro_mean(values, ["a", "a", "a", "a", "b"], ["p", "q", "p", "q", "p"])
    assert found.mean == pytest.approx(0.3) and (found.n, found.n_undefined, found.n_subjects) == (4, 1, 2)
    assert np.isnan(macro_mean([np.nan], ["a"], ["p"]).mean)
    with pytest.raises(ValueError, match=r"got \(2,\), 1 and 2"):
        macro_mean([0.1, 0.2], ["a"], ["p", "q"])


def test_that_classes_differ_makes_no_interval_wider():
    rng = np.random.default_rng(0)
    people, noise = np.repeat(np.arange(12), 6), rng.normal(0, 0.05, 72)
    classes = np.tile(np.arange(6), 12)
    near = macro_mean(0.5 + noise, classes.tolist(), people.tolist())
    far = macro_mean(0.5 + noise + classes, classes.tolist(), people.tolist())
    assert far.high - far.low == pytest.approx(near.high - near.low) and far.mean == pytest.approx(near.mean + 2.5)


def test_a_class_of_one_subject_has_no_interval_of_people():
    classes, people = ["a"] * 8 + ["b"] * 2, [*range(8), 0, 0]
    assert np.isnan(macro_mean(np.arange(10.0), classes, people).low)
    people[-1] = 1
    assert np.isfinite(macro_mean(np.arange(10.0), classes, people).low)


def test_the_interval_covers_the_mean_of_the_population():
    """People have levels of their own, and classes of different size: 95 % within what 400 draws leave open."""
    rng, inside, draws = np.random.default_rng(1), 0, 400
    classes = np.repeat([0, 1, 2], [12, 30, 60])
    for _ in range(draws):
        people = np.concatenate([rng.permutation(np.arange(n) % 15) for n in (12, 30, 60)])
        values = classes + rng.normal(0, 1, 15)[people] + rng.normal(0, 0.5, len(people))
        found = macro_mean(values, classes.tolist(), people.tolist())
        inside += found.low <= 1 <= found.high
    assert 0.92 <= inside / draws <= 0.985
