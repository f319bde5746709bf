"""Axes have room for the names beside them."""

import numpy as np
import pytest

from fer_batch.visualize.chart_axes import curve_axes, row_axes, say


@pytest.mark.parametrize("names", [["a"], ["W" * 60, "b"], [f"method {i}" for i in range(30)]])
def test_rows_have_room_for_their_names_and_are_equally_high(names):
    axes = row_axes(names, "figure", "title")
    figure = axes.figure
    figure.canvas.draw()
    boxes = [tick.get_window_extent() for tick in axes.get_yticklabels()]
    tops = np.array([box.y0 for box in boxes])
    assert (np.diff(tops) < -20).all(), "from top to bottom, apart from each other"
    say(axes, 0, "undefined")
    assert axes.texts[0].get_text() == "undefined"
    assert min(box.x0 for box in boxes) >= 0


def test_the_legend_of_many_curves_has_a_taller_figure():
    few, many = (curve_axes(["m"] * n, np.arange(3.0), None).figure.get_size_inches()[1] for n in (3, 30))
    assert many > few
