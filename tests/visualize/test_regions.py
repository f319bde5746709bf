import numpy as np
import pytest

from fer_batch.visualize.regions import outlined, sheet

GREY = np.full((60, 80, 3), 128, np.uint8)
BOX = np.array([[[10, 20], [50, 20], [50, 45], [10, 45]]], float)


def test_the_outline_is_drawn_where_the_box_is_and_nowhere_else():
    drawn = outlined(GREY, BOX)
    changed = (drawn != 128).any(2)
    assert changed[20, 30]
    assert changed[30, 10]
    assert not changed[24:41, 14:46].any()  # inside
    assert not changed[:16].any()
    assert not changed[:, 56:].any()
    assert (GREY == 128).all()


def test_a_fill_tints_the_inside():
    drawn = outlined(GREY, BOX, colour="#ff0000", fill=0.5)
    np.testing.assert_allclose(drawn[32, 30].astype(int), [192, 64, 64], atol=2)
    np.testing.assert_array_equal(drawn[50, 70], 128)


def test_boxes_without_landmarks_are_left_out():
    np.testing.assert_array_equal(outlined(GREY, np.full((2, 4, 2), np.nan)), GREY)
    with pytest.raises(ValueError, match=r"\(b, 4, 2\)"):
        outlined(GREY, BOX[0])
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        outlined(GREY[..., 0], BOX)


def test_a_sheet_shows_every_picture_whole():
    pictures = [(f"AU{i:02d}", np.full((20, 30, 3), 10 * i, np.uint8)) for i in range(1, 6)]
    page = sheet(pictures, columns=3)
    for _, picture in pictures:
        assert (page == picture[0, 0]).all(2).sum() >= 20 * 30
