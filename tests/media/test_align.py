"""Crops: golden matrices, round trips, the eye line."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.media.align import (
    apply_affine,
    crop,
    crop_matrix,
    eye_angle,
    face_box,
    inside,
    whole_frame_matrix,
)


def face(angle=0.0, scale=1.0, centre=(100.0, 80.0)):
    """68 points with eyes 40 px apart on a line that falls by `angle` radians to the right."""
    points = np.random.default_rng(0).uniform(-40, 40, (68, 2))
    points[36:42] = np.array([-20.0, -10.0]) + np.random.default_rng(1).uniform(-3, 3, (6, 2))
    points[42:48] = points[36:42] + [40.0, 0.0]
    cos, sin = np.cos(angle), np.sin(angle)
    return (scale * points @ np.array([[cos, sin], [-sin, cos]]) + centre).astype(np.float32)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1.0, 2.0, 8.5, 3.0), (1, 2, 8.5, 3)),
        ((-5.0, 2.0, 30.0, 90.0), (0, 2, 9, 4)),
        ((-5.0, -5.0, -1.0, 3.0), None),
        ((10.0, 0.0, 12.0, 3.0), None),
    ],
)
def test_the_part_of_a_box_that_is_in_the_picture(box, expected):
    assert inside(box, 5, 10) == expected


def test_the_box_is_tight():
    assert face_box(np.array([[3.0, 9.0], [1.0, 4.0], [7.0, 5.0]])) == (1.0, 4.0, 7.0, 9.0)


def test_a_box_of_the_crops_size_is_a_shift():
    np.testing.assert_allclose(crop_matrix((10, 20, 13, 23), 4, margin=0.0), [[1, 0, -10], [0, 1, -20]])


def test_golden_outer_edges_meet():
    # 10 px wide plus 20 % on each side is 14 px: source x from 3 - 0.5 - 2 to 12 + 0.5 + 2 becomes -0.5 to 27.5.
    matrix = crop_matrix((3, 3, 12, 12), 28, margin=0.2)
    np.testing.assert_allclose(matrix, [[2, 0, -1.5], [0, 2, -1.5]])
    np.testing.assert_allclose(apply_affine(matrix, np.array([[0.5, 0.5], [14.5, 14.5]])), [[-0.5, -0.5], [27.5, 27.5]])


def test_the_square_takes_the_longer_side_and_keeps_the_centre():
    matrix = crop_matrix((0, 0, 9, 19), 20, margin=0.0)
    np.testing.assert_allclose(matrix, [[1, 0, 5], [0, 1, 0]])


@pytest.mark.parametrize("degrees", [-170, -35, -3, 0.3, 12, 90])
def test_pp2_eyes_end_on_a_horizontal_line(degrees):
    points = face(np.deg2rad(degrees), 1.7)
    assert np.rad2deg(eye_angle(points)) == pytest.approx(degrees, abs=1e-3)
    matrix = crop_matrix(face_box(points), 112, align="eyes", landmarks=points)
    assert abs(np.rad2deg(eye_angle(apply_affine(matrix, points)))) < 0.01


def test_a_turned_face_gives_the_same_crop_points_as_an_upright_one():
    upright, turned = face(), face(0.4, 2.5, (300.0, 200.0))
    inside = [
        apply_affine(crop_matrix(face_box(points), 112, margin=0.0, align="eyes", landmarks=points), points)
        for points in (upright, turned)
    ]
    # The one pixel that an inclusive box adds is smaller on the larger face.
    np.testing.assert_allclose(inside[0], inside[1], atol=1.5)


@given(
    left=st.floats(-500, 500),
    top=st.floats(-500, 500),
    width=st.floats(1, 900),
    height=st.floats(1, 900),
    size=st.integers(8, 300),
    margin=st.floats(0, 1),
)
def test_round_trip_and_face_inside_the_crop(left, top, width, height, size, margin):
    box = (left, top, left + width, top + height)
    matrix = crop_matrix(box, size, margin)
    corners = np.array([[left, top], [left + width, top + height]])
    mapped = apply_affine(matrix, corners)
    half = matrix[0, 0] / 2 if matrix[0, 0] < 1 else 0.0  # what shrinks is cut at whole source pixels
    assert mapped.min() >= -0.5 - half - 1e-3
    assert mapped.max() <= size - 0.5 + half + 1e-3
    np.testing.assert_allclose(mapped.sum(0), size - 1, atol=2 * half + 1e-2)  # centred
    inverse = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))[:2]
    np.testing.assert_allclose(apply_affine(inverse, mapped), corners, atol=0.05)


def test_the_whole_frame_fits_centred_with_its_aspect():
    matrix = whole_frame_matrix(240, 320, 32)
    np.testing.assert_allclose(matrix[:, :2], np.eye(2) / 10)
    np.testing.assert_allclose(
        apply_affine(matrix, np.array([[-0.5, -0.5], [319.5, 239.5]])), [[-0.5, 3.5], [31.5, 27.5]]
    )
    image = np.full((240, 320, 3), 200, np.uint8)
    cut = crop(image, matrix, 32)
    assert (cut[4:28] == 200).all()
    assert (cut[:4] == 0).all()
    assert (cut[28:] == 0).all()


def test_an_unscaled_crop_copies_pixels_and_is_black_outside():
    image = np.random.default_rng(0).integers(1, 256, (30, 40, 3)).astype(np.uint8)
    cut = crop(image, crop_matrix((-4, 10, 5, 19), 10, margin=0.0), 10)
    np.testing.assert_array_equal(cut[:, 4:], image[10:20, :6])
    assert (cut[:, :4] == 0).all()


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_a_whole_number_of_source_pixels_is_averaged(factor):
    image = np.random.default_rng(0).integers(0, 256, (factor * 12, factor * 12, 3)).astype(np.uint8)
    cut = crop(image, crop_matrix((0, 0, factor * 12 - 1, factor * 12 - 1), 12, margin=0.0), 12)
    means = image.reshape(12, factor, 12, factor, 3).mean((1, 3))
    assert np.abs(cut - means).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("box", [None, (30, 20, 209, 179), (-60, 40, 199, 300), (150, 100, 400, 380), (0, 0, 299, 239)])
@pytest.mark.parametrize(("size", "tolerance"), [(48, 5.0), (100, 3.0)])  # four times smaller and more: halved first
def test_shrinking_averages_areas_also_at_the_edge_of_the_frame(box, size, tolerance):
    image = np.random.default_rng(0).integers(0, 256, (240, 301, 3)).astype(np.uint8)
    matrix = whole_frame_matrix(240, 301, size) if box is None else crop_matrix(box, size)
    fine = matrix * 20
    fine[:, 2] += 19 / 2
    sampled = cv2.warpAffine(image, fine, (size * 20, size * 20), flags=cv2.INTER_NEAREST)
    means = sampled.reshape(size, 20, size, 20, 3).mean((1, 3))
    difference = np.abs(crop(image, matrix, size) - means)
    assert difference.mean() < tolerance  # of noise with a standard deviation of 74


def test_a_small_frame_is_enlarged_without_a_dark_edge():
    image = np.random.default_rng(0).integers(100, 256, (30, 41, 3)).astype(np.uint8)
    matrix = whole_frame_matrix(30, 41, 123)
    cut = crop(image, matrix, 123)
    warped = cv2.warpAffine(image, matrix, (123, 123), flags=cv2.INTER_LINEAR)
    shown = np.flatnonzero(cut.any((1, 2)))
    assert (shown[0], shown[-1]) == (18, 107)  # 30 rows of 3, centred to the source pixel
    inside = slice(20, 106), slice(2, 121)
    assert np.abs(cut[inside].astype(int) - warped[inside]).max() <= 2
    assert cut[18:108].min() >= 95


def test_a_crop_beside_the_frame_is_black():
    image = np.full((50, 60, 3), 255, np.uint8)
    assert not crop(image, crop_matrix((200, 300, 299, 399), 20), 20).any()


@pytest.mark.parametrize("align", ["none", "eyes"])
def test_fine_stripes_do_not_alias(align):
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, ::2] = 255
    points = face(0.3 if align == "eyes" else 0.0, 4.0, (200.0, 200.0))
    cut = crop(image, crop_matrix(face_box(points), 64, margin=0.0, align=align, landmarks=points), 64)
    # An area of three stripes and a bit holds at most a stripe more of one colour; point sampling shows 0 and 255.
    assert np.abs(cut[16:48, 16:48].astype(int) - 127).max() < 48


def test_a_picture_of_landmarks_lands_on_the_mapped_landmarks():
    points = face(0.5, 2.0, (180.0, 160.0))
    image = np.zeros((330, 360, 3), np.uint8)
    cv2.circle(image, tuple(int(v) for v in points[30].round()), 6, (255, 255, 255), -1)
    matrix = crop_matrix(face_box(points), 112, align="eyes", landmarks=points)
    cut = crop(image, matrix, 112)[..., 0].astype(float)
    y, x = np.indices(cut.shape)
    found = [(cut * x).sum() / cut.sum(), (cut * y).sum() / cut.sum()]
    np.testing.assert_allclose(found, apply_affine(matrix, points.round())[30], atol=0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"box": (5, 5, 4, 9)}, "left <= right"),
        ({"box": (0, 0, float("nan"), 9)}, "left <= right"),
        ({"box": (0, 0, 9, 9), "size": 0}, "size must be at least 1"),
        ({"box": (0, 0, 9, 9), "margin": -0.1}, "margin at least 0"),
        ({"box": (0, 0, 9, 9), "align": "eyes"}, "needs landmarks"),
        ({"box": (0, 0, 9, 9), "align": "nose"}, "align must be"),
        ({"box": (0, 0, 9, 9), "align": "eyes", "landmarks": np.zeros((5, 2))}, "68 landmarks"),
    ],
)
def test_impossible_crops_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        crop_matrix(**{"size": 16, **arguments})


def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        crop(np.zeros((4, 4)), np.eye(3)[:2], 4)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        crop(np.zeros((4, 4, 3), np.uint8), np.eye(3), 4)
