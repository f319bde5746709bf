"""The line drawing of a face."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from fer_batch.visualize.standard_face import line_face_svg, standard_landmarks, strokes, with_mesh


def test_a_line_face_follows_its_landmarks_and_stands_in_for_none():
    points = standard_landmarks(100, 100)
    assert line_face_svg(points) == line_face_svg() == line_face_svg(np.full((68, 2), np.nan))
    assert line_face_svg(points + 1) != line_face_svg()
    ET.fromstring(f"<svg>{line_face_svg()}</svg>")
    with pytest.raises(ValueError, match="68 landmarks"):
        line_face_svg(points[:67])


def test_strokes_are_the_lines_of_a_face_and_lids_and_lips_are_closed():
    points = standard_landmarks(100, 100)
    lines = strokes(points)
    assert len(lines) == 9 and sum(len(line) for line in lines) == 68 + 4
    closed = [line for line in lines if np.array_equal(line[0], line[-1])]
    assert [len(line) for line in closed] == [7, 7, 13, 9]
    np.testing.assert_array_equal(lines[0], points[:17])


def test_a_mesh_has_its_lines_and_points_where_they_are():
    image = np.full((60, 40, 3), 255, np.uint8)
    drawn = with_mesh(image, np.array([[5.0, 10], [35, 10], [20, 50]]), np.array([[0, 1, 2]])).astype(int)
    orange, green = ((drawn - colour).__abs__().sum(-1) < 120 for colour in ([213, 94, 0], [0, 158, 115]))
    assert orange[10, 5] and orange[50, 20] and not orange[30, 20]
    assert (drawn[10, 15:25] < 250).any(-1).all() and (drawn[30, 20] == 255).all() and green.sum() < 200
