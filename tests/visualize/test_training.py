"""The picture of a training shows every fold's curve, and says where a target has no figure."""

import numpy as np
import pytest

from fer_batch.visualize.figure import save
from fer_batch.visualize.training import curves_figure, training_figure


def axes_of(figure):
    return {axes.get_label(): axes for axes in figure.axes}


def test_curves_of_folds_of_any_length_and_targets_without_a_figure():
    curves = {
        ("train", "loss"): [[1.0, 0.5, 0.25], [0.8, 0.4]],
        ("validation", "loss"): [[1.1, 0.7, 0.6], [0.9, 0.6]],
        ("validation", "f1"): [[0.2, 0.4, np.nan], [0.3, 0.5]],
        ("train", "learning_rate"): [[1.0] * 3, [1.0] * 2],
    }
    f1 = np.array([[0.5, np.nan, 0.9], [0.7, np.nan, np.nan]])
    figure = training_figure(curves, ["AU01", "AU04", "AU27"], f1, "posed")
    axes = axes_of(figure)
    assert set(axes) == {"loss", "f1", "targets"}
    drawn = [line.get_ydata().tolist() for line in axes["loss"].lines]
    assert [1.0, 0.5, 0.25] in drawn and [0.8, 0.4] in drawn
    assert [0.9, 0.45, 0.25] in drawn  # the median over the folds that got so far
    assert [text.get_text() for text in axes["targets"].texts] == ["undefined"]
    means = [line.get_ydata() for line in axes["targets"].lines if len(set(line.get_ydata())) == 1]
    assert any(np.allclose(y, 0.6) for y in means)
    assert save(figure) == save(training_figure(curves, ["AU01", "AU04", "AU27"], f1, "posed"))


def test_one_fold_of_one_epoch_is_a_dot():
    figure = training_figure({("train", "loss"): [[1.0]]}, ["pain"], np.array([[0.5]]))
    (line,) = axes_of(figure)["loss"].lines
    assert line.get_marker() == "o"
    assert set(axes_of(figure)) == {"loss", "targets"}


def test_curves_of_a_training_of_classes_are_its_loss_and_accuracy():
    curves = {
        ("train", "loss"): [[1.2, 0.1]],
        ("validation", "loss"): [[1.1, 1.6]],
        ("train", "accuracy"): [[0.6, 0.998]],
        ("validation", "accuracy"): [[0.61, 0.625]],
        ("validation", "f1"): [[0.6, 0.6]],
        ("train", "minimised"): [[2.2, 1.1]],
    }
    figure = curves_figure(curves, "fold 5")
    axes = axes_of(figure)
    assert list(axes) == ["loss", "accuracy"]
    assert {line.get_label(): line.get_ydata().tolist() for line in axes["accuracy"].lines} == {
        "train": [0.6, 0.998], "validation": [0.61, 0.625]}  # fmt: skip
    assert set(axes_of(training_figure(curves, ["pain"], np.array([[0.5]])))) == {"loss", "accuracy", "targets"}
    with pytest.raises(ValueError, match=r"expected curves of loss, accuracy or f1, got \['minimised'\]"):
        curves_figure({("train", "minimised"): [[1.0]]})
