"""Means of clusters and the frames nearest to them."""

import numpy as np

from fer_batch.spray import cluster_means, exemplars

SIDE = 12


def blob(y, x, side=SIDE, sigma=1.5):
    rows, columns = np.mgrid[:side, :side]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))


def test_cluster_means_are_means_of_members():
    maps = np.random.default_rng(0).standard_normal((6, 3, 3))
    labels = np.array([0, 1, 0, -1, 1, 1])
    means = cluster_means(maps, labels)
    np.testing.assert_allclose(means, [(maps[0] + maps[2]) / 2, (maps[1] + maps[4] + maps[5]) / 3], atol=1e-6)
    assert cluster_means(maps, np.full(6, -1)).shape == (0, 3, 3)


def test_the_exemplar_is_the_member_nearest_to_the_mean():
    maps = np.stack([blob(3, x) for x in (2, 3, 4)] + [np.zeros((SIDE, SIDE))] + [blob(9, 9)])
    assert exemplars(maps, np.array([0, 0, 0, -1, 1])).tolist() == [1, 4]
