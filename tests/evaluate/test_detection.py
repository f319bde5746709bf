import numpy as np
import pytest
from sklearn import metrics

from fer_batch.evaluate import classification, f1

NAN = np.nan


def test_g21_f1():
    predicted = np.array([[1, 0], [1, 0], [1, 0], [0, 0], [0, 0]], bool)
    truth = np.array([[1, 0], [1, 0], [0, 0], [1, 0], [0, 0]], float)
    found = f1(predicted, truth)
    np.testing.assert_allclose(found.f1, [2 / 3, NAN])
    counts = found.true_positives, found.false_positives, found.false_negatives, found.true_negatives
    assert [c.tolist() for c in counts] == [[2, 0], [1, 0], [1, 0], [1, 5]]
    assert (found.mean, found.n_defined) == (pytest.approx(2 / 3), 1)


def test_missing_labels_do_not_count():
    found = f1([[True], [True], [False], [False]], [[1.0], [NAN], [NAN], [1.0]])
    np.testing.assert_allclose(found.f1, [2 / 3])
    assert found.n.tolist() == [2]


def test_f1_of_nothing():
    found = f1(np.empty((0, 2), bool), np.empty((0, 2)))
    assert np.isnan(found.f1).all()
    assert np.isnan(found.mean)


def test_f1_is_scikit_learns():
    rng = np.random.default_rng(0)
    predicted, truth = rng.random((50, 4)) < 0.4, (rng.random((50, 4)) < 0.5).astype(float)
    np.testing.assert_allclose(f1(predicted, truth).f1, metrics.f1_score(truth, predicted, average=None))


def test_intensities_are_not_taken_for_occurrence():
    with pytest.raises(ValueError, match="occurrence"):
        f1([[True]], [[3.0]])
    with pytest.raises(ValueError, match="one shape"):
        f1([[True]], [[1.0, 0.0]])


def test_classification_is_scikit_learns():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 80)
    predicted = np.where(rng.random(80) < 0.6, truth, rng.integers(0, 3, 80))
    found = classification(predicted, truth, 3)
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(truth, predicted))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    precision, recall, score, support = metrics.precision_recall_fscore_support(truth, predicted)
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.f1, score)
    np.testing.assert_array_equal(found.support, support)
    assert found.weighted(found.f1) == pytest.approx(metrics.f1_score(truth, predicted, average="weighted"))
    np.testing.assert_allclose(found.row_normalised.sum(1), 1)


def test_classes_that_do_not_occur_are_undefined():
    found = classification([0, 0, 1], [0, 0, -1], 3)
    assert found.confusion.sum() == 2
    np.testing.assert_allclose(found.recall, [1, NAN, NAN])
    np.testing.assert_allclose(found.f1, [1, NAN, NAN])
    assert np.isnan(found.row_normalised[1:]).all()
    assert found.weighted(found.recall) == 1
    assert np.isnan(classification([], [], 2).accuracy)


@pytest.mark.parametrize(("predicted", "truth"), [([3], [0]), ([0], [3]), ([-1], [0]), ([0, 1], [0])])
def test_class_numbers_out_of_range_are_refused(predicted, truth):
    with pytest.raises(ValueError, match="expected"):
        classification(predicted, truth, 3)
