import numpy as np
import pytest

from fer_batch import types
from fer_batch.regions import (
    RegionTable,
    boxes,
    centres,
    region_masks,
    region_outlines,
    region_table,
    region_words,
    regions_version,
    standard_face,
)
from fer_batch.regions.geometry import inner_corner_distance, interocular_distance, upright

S68, CANVAS = standard_face()
FACE = S68[None]

CENTRES = {  # methods 2.3, right and left on S68
    "AU01": [(97, 37), (121, 37)],
    "AU02": [(50, 36), (168, 34)],
    "AU04": [(66, 67), (152, 65)],
    "AU05": [(69, 74.5), (150.5, 73.5)],
    "AU06": [(64, 133), (157, 131)],
    "AU07": [(75, 74), (144, 73)],
    "AU09": [(99, 131), (121, 131)],
    "AU10": [(101, 190), (121, 190)],
    "AU12": [(73, 193), (151, 191)],
    "AU14": [(73, 193), (151, 191)],
    "AU15": [(73, 193), (151, 191)],
    "AU16": [(85, 208), (139, 207)],
    "AU17": [(101, 239), (123, 239)],
    "AU18": [(111, 184), (112, 216)],
    "AU20": [(71, 221.5), (155, 220)],
    "AU22": [(111, 184), (112, 216)],
    "AU23": [(111, 184), (112, 216)],
    "AU24": [(111, 184), (112, 216)],
    "AU25": [(111, 184), (112, 216)],
    "AU26": [(101, 239), (123, 239)],
    "AU27": [(111.5, 196.5), (112.5, 242.5)],
    "AU28": [(111, 184), (112, 216)],
    "AU43": [(69.3, 80.2), (150.7, 79)],
    "AU45": [(69.3, 80.2), (150.7, 79)],
}
BOXES = {  # methods 2.4
    "AU04": [(37.0, 40.9, 182.0, 80.5)],
    "AU06": [(36.7, 85.0, 86.0, 146.0), (134.0, 83.5, 183.3, 144.5)],
    "AU07": [(44.9, 65.9, 94.1, 93.1), (125.9, 64.9, 175.1, 92.1)],
    "AU09": [(86.0, 70.9, 134.0, 159.0)],
    "AU10": [(73.0, 154.2, 151.0, 192.0)],
    "AU25": [(64.9, 172.9, 159.1, 224.1)],
    "AU26": [(64.9, 181.0, 159.1, 269.0)],
    "AU27": [(56.7, 154.2, 167.3, 269.0)],
}


BOX_SIDES = ("left", "top", "right", "bottom")


def turn(points, degrees, about):
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - about) @ matrix.T + about


def level(points):
    """A face with an exactly level eye line."""
    return upright(np.asarray(points)[None])[0][0]


def test_g18_distances_of_the_standard_face():
    assert S68.shape == (68, 2)
    assert CANVAS == (275, 224)
    assert interocular_distance(FACE)[0] == pytest.approx(81.34, abs=0.005)
    assert inner_corner_distance(FACE)[0] == pytest.approx(48.01, abs=0.005)


@pytest.mark.parametrize("target", sorted(CENTRES))
def test_g18_centres_on_the_standard_face(target):
    found = centres(FACE, target)
    assert found is not None
    np.testing.assert_allclose(found[0], CENTRES[target], atol=0.51)  # the spec rounds most to pixels
    exact = target in {"AU05", "AU07", "AU10", "AU12", "AU20", "AU25", "AU27"}
    assert not exact or np.array_equal(found[0], CENTRES[target])


@pytest.mark.parametrize("target", sorted(BOXES))
def test_g18_boxes_on_the_standard_face(target):
    found = boxes(FACE, target)
    assert found is not None
    np.testing.assert_allclose(found[0], BOXES[target], atol=0.051)


def test_g18_other_targets_have_squares_of_half_an_inner_corner_distance():
    half = inner_corner_distance(FACE)[0] / 2
    found, middle = boxes(FACE, "AU12"), centres(FACE, "AU12")
    np.testing.assert_allclose(found[0, :, :2], middle[0] - half)
    np.testing.assert_allclose(found[0, :, 2:], middle[0] + half)
    assert set(region_table().targets) == set(CENTRES)


@pytest.mark.parametrize("target", ["AU01", "AU06", "AU25"])
def test_g18_regions_follow_scale_and_shift(target):
    found = boxes(FACE, target)
    np.testing.assert_allclose(boxes(FACE * 1.7, target), found * 1.7)
    np.testing.assert_allclose(boxes(FACE + [5.0, -3.0], target), found + [5, -3, 5, -3])


@pytest.mark.parametrize("target", sorted(CENTRES))
def test_g18_regions_turn_with_the_face(target):
    scale, shape = 1.0, (360, 360)
    face = level(S68) * scale + [68, 40]
    middle = np.array([180.0, 180.0])
    straight, turned = region_masks(np.stack([face, turn(face, 15, middle)]), target, shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    source = np.rint(turn(np.stack([x, y], -1).reshape(-1, 2), -15, middle)).astype(int)
    inside = ((source >= 0) & (source < 360)).all(1)
    expected = np.zeros(shape, bool)
    expected.ravel()[inside] = straight[source[inside, 1], source[inside, 0]]
    assert (expected & turned).sum() / (expected | turned).sum() >= 0.95


@pytest.mark.parametrize("target", ["AU04", "AU06", "AU12", "AU18"])
def test_masks_are_the_union_of_boxes_pixel_by_pixel(target):
    face = level(S68)
    (mask,) = region_masks(face[None], target, CANVAS)
    areas = boxes(face[None], target)[0].tolist()
    expected = [
        [any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in areas) for x in range(CANVAS[1])]
        for y in range(CANVAS[0])
    ]
    np.testing.assert_array_equal(mask, expected)


def test_pixels_on_the_edge_are_inside():
    face = np.zeros((68, 2))
    face[36:42], face[42:48] = (2, 4), (6, 4)
    face[[39, 42]] = (2, 4), (6, 4)  # icd = iod = 4, so the half side is 2
    face[48], face[54] = (3, 6), (20, 20)
    (mask,) = region_masks(face[None], "AU12", (12, 12))
    ys, xs = np.nonzero(mask)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (4, 8, 1, 5)  # the other square lies outside the image
    assert mask.sum() == 25


def test_names_with_one_digit_and_targets_without_region():
    np.testing.assert_array_equal(region_masks(FACE, "AU4", CANVAS), region_masks(FACE, "AU04", CANVAS))
    for target in ("AU13", "happiness"):
        assert region_masks(FACE, target, CANVAS) is None
        assert boxes(FACE, target) is None
        assert centres(FACE, target) is None
        assert region_outlines(FACE, target) is None


def test_frames_without_face_have_an_empty_region():
    faces = np.stack([S68, np.full_like(S68, np.nan), np.zeros_like(S68), S68])
    for target in ("AU04", "AU12"):
        masks = region_masks(faces, target, CANVAS)
        assert masks.any((1, 2)).tolist() == [True, False, False, True]
    assert region_masks(faces[:0], "AU04", CANVAS).shape == (0, *CANVAS)


def test_only_the_points_that_a_region_uses_must_be_known():
    face = S68.copy()
    face[8] = np.nan  # the chin is out of sight
    assert region_masks(face[None], "AU04", CANVAS).any()
    assert not region_masks(face[None], "AU26", CANVAS).any()


def test_many_frames_are_the_same_in_blocks():
    rng = np.random.default_rng(0)
    faces = S68 / 4 + rng.uniform(-3, 3, (300, 1, 2))
    masks = region_masks(faces, "AU06", (70, 60))
    for i in (0, 127, 128, 299):
        np.testing.assert_array_equal(masks[i], region_masks(faces[i : i + 1], "AU06", (70, 60))[0])


def test_outlines_enclose_the_mask():
    face = turn(S68, 20, np.array([112.0, 137.0]))[None]
    outlines = region_outlines(face, "AU06")
    assert outlines.shape == (1, 2, 4, 2)
    (mask,) = region_masks(face, "AU06", CANVAS)
    inside = np.zeros(CANVAS, bool)
    y, x = np.mgrid[: CANVAS[0], : CANVAS[1]]
    for corners in outlines[0]:
        edges = np.roll(corners, -1, axis=0) - corners
        sides = [e[0] * (y - c[1]) - e[1] * (x - c[0]) >= 0 for e, c in zip(edges, corners, strict=True)]
        inside |= np.all(sides, axis=0)
    np.testing.assert_array_equal(mask, inside)


def test_the_version_names_the_rules_not_the_prose():
    rules = {"name": "mine", "centres": {"mouth": [{"points": [62, 66]}]}}
    table = RegionTable.from_rules(rules)
    assert regions_version(table) == RegionTable.from_rules({**rules, "about": "what I think"}).version
    other = RegionTable.from_rules({"name": "mine", "centres": {"mouth": [{"points": [62, 65]}]}})
    assert table.version != other.version
    assert table.version.startswith("mine-")
    assert regions_version() == regions_version("default") == region_table().version
    assert region_masks(FACE, "mouth", CANVAS, table).any()
    assert region_masks(FACE, "AU04", CANVAS, table) is None


def test_every_region_has_words_and_words_are_not_rules():
    table = region_table()
    assert set(table.words) == set(table.targets)
    assert region_words("AU10") == region_words("AU010") == "the upper lip"
    assert region_words("happiness") == "the region of happiness"
    rules = {"name": "mine", "centres": {"mouth": [{"points": [62, 66]}]}}
    named = RegionTable.from_rules({**rules, "words": {"mouth": "it"}})
    assert region_words("mouth", named) == "it"
    assert named.version == RegionTable.from_rules(rules).version


def test_the_default_version_is_pinned():
    # Stored results name this version: a change of the shipped rules must show here.
    assert regions_version() == "default-fe0544d1"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"name": "x", "circles": {}}, "circles"),
        ({"centres": {}}, "name"),
        ({"name": "x", "centres": {"AU01": [{"points": [68]}]}}, r"centres\.AU01"),
        ({"name": "x", "centres": {"AU01": [{"points": [1], "up": 2}]}}, r"centres\.AU01"),
        ({"name": "x", "boxes": {"AU01": [{"left": {"points": [1]}}]}}, r"boxes\.AU01 needs left"),
        (
            {
                "name": "x",
                "boxes": {"AU01": [{side: {"points": [1], "take": "mid"} for side in BOX_SIDES}]},
            },
            r"boxes\.AU01\.left: unknown take; did you mean 'min'",
        ),
    ],
)
def test_rules_that_are_not_understood_are_named(rules, message):
    with pytest.raises(types.InputError, match=message):
        RegionTable.from_rules(rules)


def test_wrong_arguments_are_named():
    with pytest.raises(types.InputError, match="did you mean 'default'"):
        region_masks(FACE, "AU04", CANVAS, "defaults")
    with pytest.raises(ValueError, match=r"\(n, 68, 2\), got \(68, 2\)"):
        region_masks(S68, "AU04", CANVAS)
