"""Every explanation method has its look, and the looks are those of the papers."""

import numpy as np
import pytest

from fer_batch.explain.methods import METHODS
from fer_batch.visualize.heatmap import bwr
from fer_batch.visualize.rendering import (
    LEGENDS,
    RENDERING,
    rendered,
    rendering,
    saliency,
    standardised,
    view_title,
    views,
)

FACE = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
MAP = np.random.default_rng(1).normal(size=(16, 16)).astype(np.float32)


def test_every_method_of_the_package_has_its_look_and_no_other_has():
    assert set(RENDERING) == set(METHODS)
    assert {look for known in RENDERING.values() for look in known.looks} <= set(LEGENDS)
    assert len({known.title for known in RENDERING.values()}) == len(RENDERING)


def test_an_unknown_method_is_blue_white_and_red_under_its_own_name():
    assert rendering("of_mine").title == "of_mine"
    (look,) = rendering("of_mine").looks
    np.testing.assert_array_equal(rendered(FACE, MAP, look), bwr(MAP))


def test_the_eleven_views_of_the_thesis_in_its_order():
    asked = ["lime", "epsilon", "z", "grad_cam", "gradient", "preset_b_flat", "deconvnet", "guided_backprop",
             "preset_a_flat", "guided_grad_cam"]  # fmt: skip
    assert [view_title(*view) for view in views(asked)] == [
        "deconvnet", "gradient (saliency)", "guided backpropagation", "Grad-CAM", "guided Grad-CAM", "LRP z",
        "LRP preset A flat", "LRP preset B flat", "LRP ε", "LIME positive", "LIME ±",
    ]  # fmt: skip
    assert [name for name, _ in views(["of_mine", "z", "z"])] == ["z", "of_mine"]


def test_display_normalisation_by_hand():
    x = np.array([[0.0, 0.0, 0.0, 4.0]])  # mean 1, standard deviation sqrt(3)
    expected = [0.5 - 0.25 / np.sqrt(3), 0.5 + 0.75 / np.sqrt(3)]
    np.testing.assert_array_equal(standardised(x)[0, [0, 3], 0], np.round(255 * np.array(expected)))
    far = np.zeros((1, 101))
    far[0, 0] = 1.0  # ten standard deviations above the mean
    assert standardised(far)[0, 0, 0] == 255
    assert (standardised(np.full((4, 4), 0.1)) == 128).all(), "a constant map, whatever its rounding"


def test_saliency_is_black_at_zero_and_white_at_the_largest_magnitude():
    assert saliency(np.array([[0.0, -2.0, 1.0]]))[0, :, 0].tolist() == [0, 255, 128]
    assert (saliency(np.zeros((2, 2))) == 0).all()


@pytest.mark.parametrize("look", LEGENDS)
def test_every_look_makes_a_picture_and_an_undefined_map_is_plain_grey(look):
    picture = rendered(FACE, MAP, look)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and len(np.unique(picture)) > 1
    grey = rendered(FACE[..., 0], np.where(MAP > 1, np.nan, MAP), look)
    assert (grey == 204).all()
    assert rendered(FACE[..., 0], MAP, look).shape[2] == 3, "a grey face will do"


def test_an_unknown_look_is_named():
    with pytest.raises(ValueError, match=r"look is one of .*'signed'.*, got 'rainbow'"):
        rendered(FACE, MAP, "rainbow")


def test_the_overlay_lies_over_the_face():
    cam = np.zeros((4, 4))
    cam[0, 0] = 1
    picture = rendered(FACE, cam, "overlay").astype(int)
    assert picture.shape == FACE.shape
    assert picture[0, 0, 0] > picture[0, 0, 2] + 60, "red where it is highest"
    assert np.ptp(picture[20:, 20:], axis=2).max() == 0, "the greyed face where it is lowest"


def test_a_variant_has_the_looks_of_its_method_and_its_own_title():
    asked = ["lime (n_samples=10)", "grad_cam (layer=a (b))", "lime", "of_mine (x=1)", "z (targets=all)"]
    assert [view_title(*view) for view in views(asked)] == [
        *("Grad-CAM (layer=a (b))", "LRP z (targets=all)", "LIME positive (n_samples=10)", "LIME ± (n_samples=10)"),
        *("LIME positive", "LIME ±", "of_mine (x=1)"),
    ]
    assert rendering("grad_cam (layer=a (b))").looks == ("overlay",)
    assert rendering("z (targets=all)").title == "LRP z (targets=all)"
