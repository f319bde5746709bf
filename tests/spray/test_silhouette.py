"""Silhouettes are those of scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from fer_batch.spray.silhouette import silhouette


def test_silhouettes_are_scikit_learns():
    rng = np.random.default_rng(0)
    for n, n_labels in [(5, 2), (30, 4), (40, 39)]:
        points = rng.standard_normal((n, 3))
        labels = rng.permutation(np.arange(n) % n_labels)
        distance = np.linalg.norm(points[:, None] - points, axis=2)
        assert silhouette(distance, labels) == pytest.approx(silhouette_score(points, labels))
        assert silhouette(distance, 3 * labels) == pytest.approx(silhouette_score(points, labels))
