"""The linear model of LIME (methods G-14) against scikit-learn and plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from fer_batch.explain.lime import drawn_samples
from fer_batch.explain.surrogate import cosine_distance, forward_selection, image_distance, proximity, ridge

EVERY = np.array(list(itertools.product((1, 0), repeat=3)), float)


LINEAR = (0.1 + EVERY @ [0.5, -0.3, 0.0])[:, None]


def test_g14_weights_of_samples():
    samples = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
    expected = [0.000335, 0.135335, 0.503440, 0.866240, 1]
    np.testing.assert_allclose(proximity(cosine_distance(samples)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("alpha", "weights", "intercept"),
    [(0.0, [0.5, -0.3, 0], 0.1), (1.0, [0.241148, -0.159527, -0.009273], 0.188080)],
)
def test_g14_ridge_over_all_samples_of_three_segments(alpha, weights, intercept):
    found, offset = ridge(EVERY, LINEAR, proximity(cosine_distance(EVERY)), alpha)
    np.testing.assert_allclose(found[0], weights, atol=1e-6)
    np.testing.assert_allclose(offset[0], intercept, atol=1e-6)


def test_ridge_of_several_targets_equals_scikit_learn():
    rng = np.random.default_rng(0)
    z, y, v = rng.integers(0, 2, (60, 9)).astype(float), rng.normal(size=(60, 3)), rng.random(60)
    for alpha in (1.0, 0.3):
        expected = Ridge(alpha=alpha).fit(z, y, sample_weight=v)
        found, offset = ridge(z, y, v, alpha)
        np.testing.assert_allclose(found, expected.coef_, rtol=1e-9)
        np.testing.assert_allclose(offset, expected.intercept_, rtol=1e-9)


def forward_selection_in_loops(z, y, v, n):
    """As the lime package does it: a regression for every candidate."""
    used = []
    for _ in range(min(n, z.shape[1])):
        best, top = 0, -np.inf
        for feature in range(z.shape[1]):
            if feature in used:
                continue
            columns = used + [feature]
            score = Ridge(alpha=0).fit(z[:, columns], y, sample_weight=v).score(z[:, columns], y, sample_weight=v)
            if score > top:
                best, top = feature, score
        used.append(best)
    return used


@pytest.mark.parametrize("seed", range(4))
def test_forward_selection_equals_a_regression_for_every_candidate(seed):
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 2, (80, 12)).astype(float)
    z[:, 3] = z[:, 7]  # two that cannot be told apart
    y, v = z @ rng.normal(size=12) + rng.normal(size=80), rng.random(80)
    expected = forward_selection_in_loops(np.delete(z, 7, 1), y, v, 5)
    found = forward_selection(np.delete(z, 7, 1), y, v, 5)
    assert found.tolist() == expected
    assert len(set(forward_selection(z, y, v, 99).tolist())) == 12


def test_relative_distance_of_images_equals_that_of_composed_images():
    rng = np.random.default_rng(0)
    image, hidden = rng.random((2, 3, 6, 5))
    labels = rng.integers(0, 4, (6, 5))
    labels.flat[:4] = range(4)
    samples = drawn_samples(8, 4, rng)
    change = ((image - hidden) ** 2).sum(0)
    found = image_distance(samples, np.bincount(labels.ravel(), change.ravel()), (image**2).sum())
    for sample, distance in zip(samples, found, strict=True):
        shown = np.where(sample[labels], image, hidden)
        assert distance == pytest.approx(np.linalg.norm(shown - image) / np.linalg.norm(image))
    assert found[0] == 0
