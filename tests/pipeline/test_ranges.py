"""Totals from some parts: the range holds the true total as often as it says."""

import numpy as np

from fer_batch.pipeline.ranges import Range, ratio_total


def test_the_interval_holds_the_total_as_often_as_it_says():
    """Inputs whose rates differ by a third; an interval of Student's t from six of three hundred of them."""
    rng, held = np.random.default_rng(0), 0
    sizes = rng.integers(50, 500, 300).astype(float)
    rates = rng.normal(1.0, 0.33, 300).clip(0.05)
    for _ in range(400):
        chosen = rng.choice(300, 6, replace=False)
        found = ratio_total((sizes * rates)[chosen], sizes[chosen], sizes.sum())
        held += found.low <= (sizes * rates).sum() <= found.high
    assert 0.89 <= held / 400 <= 0.99


def test_one_input_alone_shows_no_spread():
    assert ratio_total([3.0], [10], 100) == Range(30.0, 15.0, 60.0)
    assert ratio_total([], [], 100) == ratio_total([0.0], [10], 100) == Range.exactly(0.0)
