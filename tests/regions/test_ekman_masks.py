"""Ekman masks on the standard face (methods 2.5)."""

import cv2
import numpy as np
import pytest

from fer_batch.facs import EXPRESSIONS
from fer_batch.regions import expression_masks, expression_outlines, standard_face

S68, (HEIGHT, WIDTH) = standard_face()
MASKS = expression_masks()
AREAS = {"anger": 0.2496, "disgust": 0.2345, "fear": 0.3, "happiness": 0.2144, "sadness": 0.3091, "surprise": 0.2372}
# In words: what lies in each mask, and what does not, as landmarks or places (methods 2.5).
INSIDE = {
    "anger": [(112, 30), (69, 80), (151, 80), (111, 250)],
    "disgust": [(109, 118), (60, 150), (160, 150), (111, 180)],
    "fear": [(112, 30), (69, 80), (62, 160), (160, 160)],
    "happiness": [(69, 80), (60, 130), (160, 130), (60, 210), (165, 210)],
    "sadness": [(112, 30), (15, 60), (208, 60), (60, 150), (75, 195)],
    "surprise": [(70, 30), (152, 30), (110, 159), (111, 200), (111, 250)],
}
OUTSIDE = {
    "anger": [(60, 180), (111, 130)],
    "disgust": [(112, 30), (111, 240)],
    "fear": [(109, 138), (111, 200), (111, 240)],
    "happiness": [(112, 30), (111, 200), (109, 145)],
    "sadness": [(111, 240), (109, 145), (111, 200)],
    "surprise": [(109, 90), (60, 150), (8, 60)],
}


@pytest.mark.parametrize("expression", AREAS)
def test_masks_have_the_published_area_and_place(expression):
    mask = MASKS[expression]
    assert mask.shape == (HEIGHT, WIDTH) and mask.dtype == bool
    assert mask.mean() == pytest.approx(AREAS[expression], abs=0.001)
    assert all(mask[y, x] for x, y in INSIDE[expression])
    assert not any(mask[y, x] for x, y in OUTSIDE[expression])


def test_there_is_one_for_each_basic_expression():
    assert set(MASKS) == set(EXPRESSIONS) - {"neutral"}


@pytest.mark.parametrize("canvas", [(138, 112), (69, 56), (550, 448)])
def test_other_sizes_are_the_same_masks(canvas):
    for expression, mask in expression_masks(canvas).items():
        assert mask.mean() == pytest.approx(AREAS[expression], abs=0.006)
        back = cv2.resize(mask.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR) >= 0.5
        assert (back & MASKS[expression]).sum() / (back | MASKS[expression]).sum() > 0.9


def test_outlines_follow_the_landmarks():
    outlines, moved = expression_outlines(S68, WIDTH), expression_outlines(S68 + [0, 10], WIDTH)
    fear, lower = outlines["fear"][0], moved["fear"][0]
    np.testing.assert_array_equal(fear[0], [50, 0])  # above the brow, at the border
    np.testing.assert_array_equal(fear[4], [167, 118])  # below the eye, at the height of the nose
    np.testing.assert_array_equal(fear[13], [55, 198])  # midway between 4 and 48, truncated
    np.testing.assert_array_equal(lower[2:] - fear[2:], np.broadcast_to([0, 10], (len(fear) - 2, 2)))
    with pytest.raises(ValueError, match=r"\(68, 2\)"):
        expression_outlines(S68[:60], WIDTH)
