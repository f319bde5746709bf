"""Measures of similarity against the libraries that define them."""

import numpy as np
import pytest
from scipy import stats
from skimage.metrics import structural_similarity

from fer_batch.evaluate.map_similarity import MEASURES


def random_maps(seed, n=10):
    return np.random.default_rng(seed).normal(size=(n, 12, 12)).astype(np.float32)


def test_measures_are_those_of_scipy_and_scikit_image():
    a, b = random_maps(0), np.round(random_maps(1), 1)  # rounded: with ties
    b = b + 0.5 * a.round(1)
    pairs = [(x.ravel(), y.ravel()) for x, y in zip(a, b, strict=True)]
    expected = {
        "pearson": [stats.pearsonr(x, y)[0] for x, y in pairs],
        "spearman": [stats.spearmanr(x, y)[0] for x, y in pairs],
        "spearman_of_size": [stats.spearmanr(abs(x), abs(y))[0] for x, y in pairs],
        "ssim": [
            structural_similarity(x / abs(x).max(), y / abs(y).max(), data_range=2)
            for x, y in zip(a.astype(float), b.astype(float), strict=True)
        ],
    }
    for name, measure in MEASURES.items():
        np.testing.assert_allclose(measure(a, b), expected[name], rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(measure(a, 3 * a), 1, rtol=1e-6)


@pytest.mark.parametrize("name", MEASURES)
def test_measures_of_undefined_maps(name):
    a, b = random_maps(0, 4), random_maps(1, 4)
    b[1], b[2, 0, 0] = 0, np.nan
    assert np.isnan(MEASURES[name](a, b)).tolist() == [False, True, True, False]
    assert np.isnan(MEASURES[name](b, a)).tolist() == [False, True, True, False]
