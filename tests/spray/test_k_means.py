"""k-means, against scikit-learn and by hand."""

import itertools

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from fer_batch.spray.k_means import k_means
from fer_batch.spray.silhouette import silhouette


def groups(n, n_groups, spread, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, n_groups, n)
    label[:n_groups] = np.arange(n_groups)
    return np.eye(n_groups)[label] + spread * rng.standard_normal((n, n_groups)), label


def inertia(points, labels, weights=None):
    mass = np.ones(len(points)) if weights is None else weights
    return sum(
        (
            mass[labels == k, None] * (points[labels == k] - np.average(points[labels == k], 0, mass[labels == k])) ** 2
        ).sum()
        for k in np.unique(labels)
    )


@pytest.mark.parametrize("n_groups", [2, 5, 20])
def test_separate_groups_are_found(n_groups):
    for seed in range(5):
        points, label = groups(200, n_groups, 0.05, seed)
        assert adjusted_rand_score(label, k_means(points, n_groups, seed=seed)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_no_partition_has_a_smaller_sum_of_squares(seed):
    rng = np.random.default_rng(seed)
    points, weights = rng.standard_normal((9, 2)), rng.integers(1, 4, 9).astype(float)
    least = min(
        inertia(points, np.array((0, *rest)), weights) for rest in itertools.product(range(3), repeat=len(points) - 1)
    )
    assert inertia(points, k_means(points, 3, weights=weights, seed=seed), weights) == pytest.approx(least, rel=1e-9)


def test_labels_are_those_of_the_nearest_mean():
    for seed in range(5):  # without clear groups, where scikit-learn's default tolerance stops before that
        points = np.random.default_rng(seed).standard_normal((400, 3))
        labels = k_means(points, 8, seed=seed)
        means = np.stack([points[labels == k].mean(axis=0) for k in range(8)])
        distance = np.linalg.norm(points[:, None] - means, axis=2)
        np.testing.assert_array_equal(labels, distance.argmin(axis=1))


def test_a_weight_is_so_many_points():
    points, _ = groups(60, 4, 0.3, 0)
    count = np.random.default_rng(1).integers(1, 6, 60)
    repeated = np.repeat(points, count, axis=0)
    labels = k_means(points, 4, weights=count)
    theirs = KMeans(4, n_init=30, random_state=0).fit(repeated).inertia_
    assert inertia(points, labels, count) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_fewer_distinct_points_than_clusters():
    points = np.array([[0.0, 0.0]] * 4 + [[1.0, 0.0]] * 3)
    labels = k_means(points, 5)
    assert len(set(labels[:4])) == len(set(labels[4:])) == 1
    assert labels[0] != labels[4]
    assert k_means(np.ones((3, 2)), 1).tolist() == [0, 0, 0]
    almost = points + 1e-15 * np.random.default_rng(0).standard_normal(points.shape)
    np.testing.assert_array_equal(k_means(almost, 5), labels)


def test_the_same_seed_gives_the_same_labels():
    points, _ = groups(100, 5, 0.5, 7)
    np.testing.assert_array_equal(k_means(points, 5, seed=3), k_means(points, 5, seed=3))


def test_a_silhouette_by_hand():
    distance = np.abs(np.subtract.outer([0.0, 1.0, 5.0], [0.0, 1.0, 5.0]))
    # a = 1, 1; b = 5, 4; a cluster of one counts 0
    assert silhouette(distance, np.array([0, 0, 1])) == pytest.approx((0.8 + 0.75 + 0) / 3)
    assert np.isnan(silhouette(distance, np.zeros(3, int)))
    assert np.isnan(silhouette(distance, np.arange(3)))
    assert silhouette(np.zeros((4, 4)), np.array([0, 0, 1, 1])) == 0
