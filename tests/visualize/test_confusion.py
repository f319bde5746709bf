"""The picture of a confusion matrix says counts, or shares of the true class, in the right cells."""

import numpy as np
import pytest

from fer_batch.visualize.confusion import confusion_figure
from fer_batch.visualize.figure import save

NAMES = ("pain", "disgust", "happiness")
COUNTS = np.array([[3237, 798, 657], [700, 3515, 600], [0, 0, 0]])


def cells(figure):
    (axes,) = figure.axes
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}


def test_counts_and_shares_are_of_true_rows_and_predicted_columns():
    raw, normalised = (confusion_figure(COUNTS, NAMES, normalise, "fold 5") for normalise in (False, True))
    assert cells(raw)[0, 1] == "798" and cells(raw)[0, 0] == "3,237" and cells(raw)[1, 0] == "700"
    assert cells(normalised)[0, 1] == "0.17" and cells(normalised)[1, 1] == "0.73"
    assert cells(normalised)[2, 2] == "-", "a class that does not occur has no shares"
    (axes,) = raw.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert axes.get_yticklabels()[0].get_text() == "pain\nn = 4,692"
    assert [label.get_text() for label in axes.get_xticklabels()] == list(NAMES)
    assert save(raw) == save(confusion_figure(COUNTS, NAMES, False, "fold 5")) != save(normalised)


def test_every_label_lies_within_the_picture():
    names = [f"a_rather_long_name_of_class_{i}" for i in range(8)]
    figure = confusion_figure(np.eye(8, dtype=int) * 12345, names, title="many")
    whole, tight = figure.bbox, figure.get_tightbbox(figure.canvas.get_renderer())
    width, height = whole.width / figure.dpi, whole.height / figure.dpi
    assert tight.x0 >= 0 and tight.y0 >= 0 and tight.x1 <= width and tight.y1 <= height


@pytest.mark.parametrize("wrong", [np.zeros((2, 3)), np.zeros(3), -np.eye(3), np.zeros((2, 2))])
def test_what_is_no_confusion_matrix_of_these_names_is_refused(wrong):
    with pytest.raises(ValueError, match=r"expected counts of shape \(3, 3\) for 3 names"):
        confusion_figure(wrong, NAMES)
