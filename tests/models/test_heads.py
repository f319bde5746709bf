"""From logits to probabilities and active targets."""

from __future__ import annotations

import numpy as np
import torch

from fer_batch.models.heads import active, probabilities


def test_probabilities_follow_the_head():
    logits = np.array([[0.0, np.log(3.0), -1000.0], [1000.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(probabilities(logits, "multilabel"), [[0.5, 0.75, 0], [1, 0.5, 0.5]], atol=1e-7)
    soft = probabilities(torch.from_numpy(logits), "softmax")
    np.testing.assert_allclose(soft, [[0.25, 0.75, 0], [1, 0, 0]], atol=1e-7)
    assert soft.dtype == np.float32
    assert probabilities(np.zeros((0, 3)), "softmax").shape == (0, 3)


def test_g21_a_probability_of_exactly_the_threshold_is_active():
    assert active(probabilities(np.zeros((1, 1)), "multilabel"), "multilabel", 0.5).all()
    stored = np.array([[0.7, 0.69999]], np.float32)
    np.testing.assert_array_equal(active(stored, "multilabel", 0.7), [[True, False]])


def test_a_softmax_head_has_one_active_class():
    p = np.array([[0.2, 0.4, 0.4], [0.5, 0.3, 0.2]], np.float32)
    np.testing.assert_array_equal(active(p, "softmax", 0.9), [[False, True, False], [True, False, False]])
