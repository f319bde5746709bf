"""Charts of intervals, curves and durations: what is drawn is what was given, the undefined is said."""

import numpy as np
import pytest

from fer_batch.visualize.comparisons import Curve, curves_figure, durations_figure, intervals_figure

NAMES = ["LRP z", "a $name$ <b>", "guided backpropagation"]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def dots(axes):
    return [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "o"]


def test_every_method_has_its_dot_its_interval_and_its_chance():
    figure = intervals_figure(NAMES, [0.5, np.nan, 0.9], [0.4, np.nan, np.nan], [0.6, np.nan, np.nan], "r", chance=0.2)
    axes = figure.axes[0]
    assert dots(axes) == [[0.5, 0.0], [0.9, 2.0]]
    lines = [line.get_xydata().tolist() for line in axes.lines]
    assert [[0.4, 0.0], [0.6, 0.0]] in lines
    assert sum(np.ptp(line, axis=0)[0] > 0 for line in map(np.asarray, lines)) == 1, "no interval where there is none"
    assert [line for line in lines if np.allclose(np.asarray(line)[:, 0], 0.2)] and "undefined" in texts(axes)
    low, high = axes.get_xlim()
    assert low <= 0 and high >= 0.9
    assert [tick.get_text() for tick in axes.get_yticklabels()] == NAMES


def test_names_stay_in_the_figure():
    figure = intervals_figure([*NAMES, "x" * 200], [0.1] * 4, [0.0] * 4, [0.2] * 4, "r", title="t" * 300)
    renderer = figure.canvas.get_renderer()
    figure.canvas.draw()
    ticks = figure.axes[0].get_yticklabels()
    assert all(tick.get_window_extent(renderer).x0 >= 0 for tick in ticks)
    assert figure.texts[0].get_window_extent(renderer).x1 <= figure.bbox.x1


@pytest.mark.parametrize("n", [1, 11])
def test_curves_are_drawn_with_chance_and_reference(n):
    curves = {f"method {i}": Curve(np.linspace(1, i / 11, 5)) for i in range(n)}
    curves["z"] = Curve([1, 0.8, 0.6, np.nan, 0.2], np.zeros(5), np.ones(5))
    figure = curves_figure(
        range(5), curves, "layers", "r", chance=(-0.1, 0.1), reference=Curve([1] * 5), ticks=list("abcde")
    )
    axes = figure.axes[0]
    assert len(axes.lines) == n + 2
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert drawn["method 0"] == np.linspace(1, 0, 5).tolist()
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert set(names) == {*(f"method {i}" for i in range(n)), "LRP z", "random order", "chance"}
    figure.canvas.draw()
    box = axes.get_legend().get_window_extent()
    assert box.x1 <= figure.bbox.x1 and box.y0 >= 0
    below = [tick.get_window_extent() for tick in axes.get_xticklabels()]
    assert min(tick.y0 for tick in below) >= 0


def test_near_durations_are_bars_and_far_ones_dots_on_a_logarithmic_axis():
    near = durations_figure(["a", "b"], [0.02, 0.03]).axes[0]
    assert [bar.get_width() for bar in near.patches] == [0.02, 0.03] and near.get_xscale() == "linear"
    assert near.get_xlim()[0] == 0
    far = durations_figure(["a", "LIME", "c"], [0.02, 12.34, np.nan], published={"LIME": (480, 480)}).axes[0]
    assert not far.patches and far.get_xscale() == "log"
    assert dots(far) == [[0.02, 0.0], [12.34, 1.0]]
    assert {"0.02 s", "12.3 s", "not measured", "open: published"} <= set(texts(far))
    assert [480.0] in [line.get_xdata().tolist() for line in far.lines if line.get_marker() == "D"]
    assert far.get_xlim()[1] > 480


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: intervals_figure(["a"], [1, 2], [0], [1], "r"), r"shape \(1,\).*got \[\(2,\)"),
        (lambda: durations_figure([], []), "at least one"),
        (lambda: curves_figure([0, 1], {"z": Curve([1])}, "x", "y"), "curves of 2 points.*'z': 1"),
        (lambda: curves_figure([0, 1], {}, "x", "y"), "at least one"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_another_level_than_chance_has_its_name():
    axes = intervals_figure(["a"], [0.5], [0.4], [0.6], "own", chance=0.35, chance_name="margin 0.35").axes[0]
    assert "┆ margin 0.35" in texts(axes) and "┆ chance" not in texts(axes)
