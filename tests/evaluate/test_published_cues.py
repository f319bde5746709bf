"""Printed figures of networks trained with maps of Action Units."""

import pytest

from fer_batch.evaluate.published_cues import LAYERS, METHODS, STRENGTHS, printed_method


@pytest.mark.parametrize(
    ("explanation", "words", "name"),
    [
        ("cam", (), "CAM"),
        ("class_map", (), "CAM"),
        ("grad_cam_pp", (), "GradCAM++"),
        ("cam", ("wildcat",), "WILDCAT"),
        ("class_map", ("ts_cam_deit_small",), "TS-CAM"),
        ("layer_cam", ("resnet50",), "LayerCAM"),
        ("lime", (), None),
        ("grad_cam", ("prm",), None),
        ("attention", ("wildcat",), None),
        ("attention", ("apvit",), "APViT"),
    ],
)
def test_a_method_is_found_by_its_explanation_or_by_how_its_network_was_trained(explanation, words, name):
    assert printed_method(explanation, words) == name


def test_every_method_gains_in_every_figure_as_printed():
    for rows in METHODS.values():
        assert len(rows) == 11
        for figures in rows.values():
            for pair in (figures.accuracy, figures.cam or (0, 1), figures.attention):
                assert 0 <= pair[0] < pair[1] <= 1


def test_the_tables_agree_where_they_print_the_same_network():
    cam = METHODS["raf_db"]["CAM"]
    assert cam is not None and (cam.accuracy[0], cam.cam[0]) == LAYERS[()] == STRENGTHS[0.0][:2]
    assert (cam.accuracy[1], cam.cam[1]) == LAYERS[5,] and cam.accuracy[1] == STRENGTHS[4.0][0]
    assert max(LAYERS, key=lambda layers: LAYERS[layers]) == (5,)
