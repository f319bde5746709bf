"""Significance of patterns: p and q are those of scipy."""

import numpy as np
import pytest
from scipy import stats

from fer_batch.prototypes.significance import benjamini_hochberg, upper_tail


def test_the_upper_tail_is_scipys():
    rng = np.random.default_rng(3)
    having = rng.integers(0, 400, 200)
    at_least = rng.integers(0, 90, 200)
    p = upper_tail(at_least, 400, having, 80)
    np.testing.assert_allclose(p, stats.hypergeom.sf(at_least - 1, 400, having, 80), rtol=1e-8, atol=0)
    assert upper_tail([40_000, 41_000, 200], 100_000, [80_000, 80_000, 250], 50_000) == pytest.approx(
        stats.hypergeom.sf([39_999, 40_999, 199], 100_000, [80_000, 80_000, 250], 50_000), rel=1e-6
    )


def test_benjamini_hochberg_is_scipys_and_leaves_out_what_was_not_tested():
    p = np.random.default_rng(1).random(40) ** 2
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
    q = benjamini_hochberg([0.04, np.nan, 0.01])
    np.testing.assert_allclose(q, [0.04, np.nan, 0.02])
    assert benjamini_hochberg([]).shape == (0,)
