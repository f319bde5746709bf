"""Relevance as colour."""

import cv2
import numpy as np
import pytest

from fer_batch.regions import standard_face
from fer_batch.types import InputError, MapStyle
from fer_batch.visualize.heatmap import bwr, coloured, faded, jet, overlay, project_onto, resize_face
from fer_batch.visualize.standard_face import line_face, standard_landmarks

FACE = np.full((32, 32, 3), 200, np.uint8)


def spot(x: int, y: int, size: int = 32) -> np.ndarray:
    relevance = np.zeros((size, size))
    relevance[y - 1 : y + 2, x - 1 : x + 2] = 1
    return relevance


def test_zero_is_white_and_the_ends_are_blue_and_red():
    np.testing.assert_array_equal(bwr(np.array([[-2.0, 0.0, 2.0]])), [[[0, 0, 255], [255, 255, 255], [255, 0, 0]]])


def test_an_empty_map_is_white_and_an_undefined_one_grey():
    picture = bwr(np.stack([np.zeros((2, 2)), np.full((2, 2), np.nan)]))
    assert (picture[0] == 255).all()
    assert (picture[1] == 204).all()


def test_an_overlay_colours_only_where_there_is_relevance():
    relevance = spot(8, 8) - spot(24, 24)
    picture = overlay(FACE, relevance).astype(int)
    red, blue, none = picture[8, 8], picture[24, 24], picture[8, 24]
    assert red[0] > red[2] + 100
    assert blue[2] > blue[0] + 100
    assert none[0] == none[1] == none[2]


def test_projections_wear_their_own_colours_over_a_grey_face():
    face = FACE.copy()
    face[..., 0] = 90
    picture = project_onto(face, [(spot(8, 8), (0.0, 0.0, 1.0)), (spot(24, 24), (1.0, 0.5, 0.0))]).astype(int)
    assert picture[8, 8, 2] > picture[8, 8, 0] + 100
    assert picture[24, 24, 0] > picture[24, 24, 2] + 100
    assert np.ptp(picture[8, 24]) == 0


@pytest.mark.parametrize("size", [8, 32, 128])
def test_a_projection_lands_at_the_same_place_of_the_face_for_every_grid_of_the_map(size):
    relevance = spot(size // 4, size // 2, size) * 3
    colour = project_onto(FACE, [(relevance, (1.0, 0.0, 0.0))]).astype(int)
    y, x = np.nonzero(colour[..., 0] > colour[..., 2] + 60)
    assert x.size
    # The middle of a pixel is at the same share of both grids.
    assert abs(x.mean() - ((size // 4 + 0.5) / size * 32 - 0.5)) < 0.6
    assert abs(y.mean() - ((size // 2 + 0.5) / size * 32 - 0.5)) < 0.6


def test_single_pixels_of_a_large_map_are_not_lost_on_a_small_face():
    relevance = np.zeros((160, 160))
    relevance[81, 83] = 1
    picture = project_onto(FACE, [(relevance, (0.0, 0.0, 1.0))]).astype(int)
    assert (picture[..., 2] > picture[..., 0] + 60).any()


def test_an_undefined_map_leaves_the_face_as_it_is():
    np.testing.assert_array_equal(project_onto(FACE, [(np.full((4, 4), np.nan), (1.0, 0, 0))]), faded(FACE))


def test_grey_faces_are_accepted_and_others_refused():
    assert resize_face(np.zeros((4, 6), np.uint8), 8, 8).shape == (8, 8, 3)
    with pytest.raises(ValueError, match="uint8"):
        resize_face(np.zeros((4, 6, 3), np.float32), 8, 8)


@pytest.mark.parametrize(("height", "width"), [(112, 112), (275, 224), (60, 200)])
def test_the_standard_face_fits_its_crop_undistorted_and_is_drawn_there(height, width):
    points = standard_landmarks(height, width)
    assert (points >= 0).all()
    assert (points <= [width, height]).all()
    face, canvas = standard_face()
    scale = min(height / canvas[0], width / canvas[1])
    np.testing.assert_allclose(points - points[30], (face - face[30]) * scale)
    picture = line_face(height, width)
    assert picture.shape == (height, width, 3)
    x, y = np.round(points[62]).astype(int)
    assert picture[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].min() < 200, "a line at the lips"


def test_given_landmarks_are_drawn_where_they_are():
    moved = standard_landmarks(112, 112) * 0.5
    picture = line_face(112, 112, moved)
    assert picture[70:, 70:].min() == 255
    assert picture[:56, :56].min() < 200
    np.testing.assert_array_equal(line_face(112, 112, np.full((68, 2), np.nan)), line_face(112, 112))
    with pytest.raises(ValueError, match="68"):
        line_face(112, 112, moved[:5])


def test_jet_has_the_colours_of_opencv():
    ramp = np.linspace(-3, 5, 256)[None]
    expected = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_JET)[..., ::-1]
    assert np.abs(jet(ramp).astype(int) - expected).max() <= 6
    assert (jet(np.full((2, 2), 7.0)) == [0, 0, 128]).all()
    assert len(np.unique(jet(np.full((2, 2), np.nan)))) == 1


def test_a_style_decides_normalisation_and_colours():
    maps = np.array([[-1.0, 0.0, 4.0]])
    np.testing.assert_array_equal(coloured(maps, MapStyle()), bwr(maps))
    assert coloured(maps, MapStyle())[0, 0].tolist() == [191, 191, 255]
    assert coloured(maps, MapStyle("two_sided"))[0, 0].tolist() == [0, 0, 255]
    np.testing.assert_array_equal(coloured(maps, MapStyle(colours="jet")), jet(maps))


def test_an_overlay_in_jet_leaves_the_face_where_the_map_is_lowest():
    face = np.full((8, 8, 3), 90, np.uint8)
    maps = np.zeros((8, 8))
    maps[0, 0], maps[4, 4] = 1, 0.5
    shown = overlay(face, maps, MapStyle(colours="jet"))
    np.testing.assert_array_equal(shown[7, 7], faded(face)[7, 7])
    assert shown[0, 0, 0] > shown[0, 0, 2]
    assert shown[4, 4].argmax() == 1, "half of the scale is green"
    two = overlay(face, np.array([[-1.0, 4.0]] * 2), MapStyle("two_sided"))
    assert two[0, 0].tolist()[2] > overlay(face, np.array([[-1.0, 4.0]] * 2))[0, 0].tolist()[0]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"normalise": "both"}, "one_sided or two_sided"),
        ({"colours": "hot"}, "bwr or jet"),
        ({"top_x": 0}, "above 0"),
        ({"top_x": float("nan")}, "above 0"),
        ({"normalise": "two_sided", "colours": "jet"}, "goes with colours: bwr"),
    ],
)
def test_styles_that_there_are_not(values, said):
    with pytest.raises(InputError, match=said):
        MapStyle(**values)
