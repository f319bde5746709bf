"""The matrix of cosines says every figure in its cell, below them the mean of classes and a constant map."""

import numpy as np
import pytest

from fer_batch.visualize.cosine_matrix import cosine_matrix_figure
from fer_batch.visualize.figure import save

ROWS, COLUMNS = ("anger", "a_long_name_of_a_class_$x$"), ("1 relu", "5 layer4", "grad_cam (layer=features.norm5_of_it)")


def drawn(values, **more):
    return cosine_matrix_figure(values, ROWS, COLUMNS, [7, 12345], mean=[0.1, 0.2, 0.3], constant=[0.5] * 3, **more)


def test_cells_rows_and_names_are_where_they_belong():
    figure = drawn([[0.11, 0.85, np.nan], [0.21, 0.22, 0.23]], title="net")
    (axes,) = figure.axes
    cells = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert cells[0, 1] == "0.85" and cells[0, 2] == "-" and cells[2, 2] == "0.30" and cells[3, 0] == "0.50"
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "anger\nn = 7" and names[2:] == ["mean of classes", "constant map"]
    assert names[1].endswith("n = 12,345") and axes.get_xticklabels()[1].get_text() == "5 layer4"
    whole, tight = figure.bbox, figure.get_tightbbox(figure.canvas.get_renderer())
    assert tight.x0 >= 0 and tight.y0 >= 0
    assert tight.x1 <= whole.width / figure.dpi and tight.y1 <= whole.height / figure.dpi
    assert save(figure) == save(drawn([[0.11, 0.85, np.nan], [0.21, 0.22, 0.23]], title="net"))


def test_what_does_not_fit_its_names_is_refused():
    with pytest.raises(ValueError, match=r"expected cosines \(2, 3\) and 3 means, got \(1, 3\)"):
        drawn([[0.1, 0.2, 0.3]])
