import numpy as np
import pytest

from fer_batch.regions.face_parts import NAMES, PARTS, PLACES, face_parts, place_shares
from fer_batch.regions.geometry import standard_face

POINTS, (HEIGHT, WIDTH) = standard_face()
FOUND = face_parts(POINTS[None], HEIGHT, WIDTH)[0]


@pytest.mark.parametrize("name", [name for name in PARTS if "jaw" not in name and name != "chin"])
def test_landmarks_lie_in_their_part(name):
    x, y = POINTS[list(PARTS[name])].astype(int).T
    assert {NAMES[part] for part in FOUND[y, x]} == {name}


def test_every_part_is_there_and_corners_are_surroundings():
    assert set(np.unique(FOUND)) == set(range(len(NAMES)))
    corners = FOUND[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert {NAMES[part] for part in corners} == {"surroundings"}


def test_parts_move_with_the_face():
    moved = face_parts(POINTS[None] + [5, -3], HEIGHT, WIDTH)[0]
    np.testing.assert_array_equal(moved[10:-20, 10:-10], FOUND[13:-17, 5:-15])


def test_parts_scale_with_the_face():
    small = face_parts(POINTS[None] / 2, HEIGHT // 2, WIDTH // 2)[0]
    assert (small == FOUND[: 2 * (HEIGHT // 2) : 2, ::2]).mean() > 0.97


def test_a_mirrored_face_has_mirrored_parts():
    pairs = {name.replace("right", "left"): name for name in NAMES if "right" in name}
    swap = np.array([NAMES.index(pairs.get(n, n.replace("right", "left") if "right" in n else n)) for n in NAMES])
    order = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38,
             37, 36, 41, 40, *range(54, 47, -1), 59, 58, 57, 56, 55, *range(64, 59, -1), 67, 66, 65]  # fmt: skip
    mirrored = POINTS[order] * [-1, 1] + [WIDTH - 1, 0]
    found = face_parts(mirrored[None], HEIGHT, WIDTH)[0]
    assert (swap[found[:, ::-1]] == FOUND).mean() > 0.99


def test_other_points_are_refused():
    with pytest.raises(ValueError, match="68"):
        face_parts(np.zeros((67, 2)), 4, 4)


def test_places_are_all_parts_and_evidence_is_where_it_lies():
    assert sorted(name for names in PLACES.values() for name in names) == sorted(NAMES)
    rows, columns = np.mgrid[:35, :28]
    for place, part in (("mouth", "mouth"), ("eyes", "left eye"), ("brows", "right brow"), ("nose", "nose")):
        x, y = POINTS[list(PARTS[part])].mean(axis=0) / 8
        relevance = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 2.0) - 0.01
        shares = place_shares(relevance)
        assert max(shares, key=lambda name: shares[name]) == place
        assert sum(shares.values()) == pytest.approx(1)
    assert set(place_shares(np.full((35, 28), -1.0)).values()) == {0.0}
