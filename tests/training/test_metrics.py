"""Scores of logits against labels (methods E-1, E-3)."""

import numpy as np

from fer_batch.training.metrics import confusion, scores

NAN = float("nan")


def test_a_target_is_detected_from_even_odds_on_and_missing_labels_do_not_count():
    logits = np.array([[0.0, -1.0, -2.0], [-0.1, 3.0, -2.0], [2.0, 1.0, -2.0]])
    labels = np.array([[1.0, 0.0, 0.0], [1.0, NAN, 0.0], [0.0, 1.0, 0.0]])
    found = scores(logits, labels, "multilabel")
    np.testing.assert_allclose(found.f1, [2 * 1 / (2 * 1 + 1 + 1), 1.0, NAN])
    assert found.mean == 0.75
    assert found.summary() == {"f1": 0.75}


def test_the_likeliest_class_is_the_answer_of_a_softmax_head():
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, -1.0], [0.0, 4.0]])
    labels = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = scores(logits, labels, "softmax")
    np.testing.assert_allclose(found.f1, [0.8, 2 / 3])
    assert found.summary()["accuracy"] == 0.75
    assert confusion(logits, labels).tolist() == [[2, 1], [0, 1]]


def test_a_sample_without_a_class_is_in_no_cell():
    assert confusion(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])).sum() == 0


def test_without_samples_nothing_is_defined():
    found = scores(np.zeros((0, 2)), np.zeros((0, 2)), "softmax")
    assert np.isnan(found.mean)
    assert set(found.summary()) == {"f1"}
