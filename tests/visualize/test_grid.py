"""Grids of people by classes, pairs and panels: what stands where, and what is missing."""

import numpy as np
import pytest

from fer_batch.visualize.grid import Explained, comparison_grid, methods_figure
from fer_batch.visualize.heatmap import bwr

FACE = np.full((16, 16, 3), 120, np.uint8)
MAP = np.linspace(-1, 1, 256).reshape(16, 16).astype(np.float32)
CLASSES = ("pain3", "pain4", "disgust", "happiness")
METHODS = ("deconvnet", "gradient", "guided_backprop", "grad_cam", "guided_grad_cam", "z", "preset_a_flat",
           "preset_b_flat", "epsilon", "lime")  # fmt: skip


def shown(truth, predicted="pain", methods=("z",), **more):
    return Explained(FACE, dict.fromkeys(methods, MAP), truth, predicted, **more)


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_grid_has_the_order_of_its_classes_and_titles_true_over_predicted():
    cells = [[shown(name, correct=name.startswith("pain")) for name in CLASSES] for _ in range(4)]
    cells[2][1] = Explained(reason="no image of this class")
    figure = comparison_grid(cells, ["P1", "P2", "P3", "P4"], CLASSES, "z")
    said = texts(figure)
    heads = [said.index(name) for name in CLASSES]
    assert heads == sorted(heads)
    assert said.count("pain3 / pain") == 4 and said.count("pain4 / pain") == 3
    assert said.count("✗ disgust / pain") == said.count("✗ happiness / pain") == 4
    assert said.count("no image of this\nclass") == 1
    images = figure.axes[0].images
    assert len(images) == 2 * 15
    face, drawn = (np.asarray(image.get_array()) for image in images[:2])
    np.testing.assert_array_equal(face, FACE)
    np.testing.assert_array_equal(drawn, bwr(MAP))
    assert len(comparison_grid(cells, ["P1", "P2", "P3", "P4"], CLASSES, "z", layout="map").axes[0].images) == 15


def test_the_second_view_of_lime_is_asked_for():
    cells = [[shown("pain", methods=("lime",))]]
    assert texts(comparison_grid(cells, [""], ["pain"], "lime"))[0] == "LIME positive"
    assert texts(comparison_grid(cells, [""], ["pain"], "lime", "signed_segments"))[0] == "LIME ±"


def test_a_pair_is_shown_under_every_method_and_a_missing_map_says_so():
    pair = [
        ("level 3", shown("pain3", "happiness", METHODS)),
        ("level 4", shown("pain4", "pain", ("z",), correct=True)),
    ]
    figure = methods_figure(pair, METHODS, "one person")
    said = texts(figure)
    for name in ("deconvnet", "LRP preset A flat", "LIME positive", "LIME ±"):
        assert said.count(name) == 1
    assert said.count("✗ pain3 / happiness") == said.count("pain4 / pain") == 2, "the face stands in both bands"
    assert said.count("no map of this\nmethod") == 10
    assert figure.get_size_inches()[0] < 10.1, "fits a page"


def test_a_panel_without_truth_marks_nothing():
    panel = [(f"still {i}", shown("", "pain", ("grad_cam", "lime"))) for i in range(6)]
    said = texts(methods_figure(panel, ("grad_cam", "lime")))
    assert said.count("? / pain") == 6
    assert not any("✗" in text for text in said)


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="at least one image and one method, got 1 and 0"):
        methods_figure([("a", shown("pain"))], ())
    with pytest.raises(ValueError, match="at least one"):
        comparison_grid([], [], CLASSES, "z")
