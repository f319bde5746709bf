"""A rendered face: Action Units move what they name, identities differ, what cannot be posed is refused."""

import numpy as np
import pytest

from fer_batch.posed.face import POSED_AUS, Pose, identity, render_frame

# AU: (landmarks of the right and left side or the midline, direction (outward, down), None for either)
DIRECTIONS = {
    1: ((21, 22), (None, -1)),
    2: ((18, 25), (None, -1)),
    4: ((21, 22), (-1, 1)),
    5: ((37, 44), (None, -1)),
    6: ((41, 46), (None, -1)),
    7: ((41, 46), (None, -1)),
    9: ((31, 35), (None, -1)),
    10: ((50, 52), (None, -1)),
    12: ((48, 54), (1, -1)),
    15: ((48, 54), (None, 1)),
    17: ((57, 57), (None, -1)),
    20: ((48, 54), (1, None)),
    23: ((48, 54), (-1, None)),
    25: ((66, 66), (None, 1)),
    26: ((8, 8), (None, 1)),
    27: ((8, 8), (None, 1)),
}


def frontal(au_intensities, seed=0, size=320):
    return render_frame(identity(seed), au_intensities, Pose(), size)


@pytest.mark.parametrize("au", POSED_AUS)
@pytest.mark.parametrize("seed", [0, 3])
def test_an_action_unit_moves_its_landmarks_the_right_way(au, seed):
    neutral, moved = frontal({}, seed)[1], frontal({au: 5.0}, seed)[1]
    (right, left), (outward, down) = DIRECTIONS[au]
    shift = moved - neutral
    for index, sign in ((right, -1), (left, 1)):
        if outward is not None:
            assert shift[index, 0] * sign * outward > 1.0
        if down is not None:
            assert shift[index, 1] * down > 1.0


def test_every_action_unit_changes_the_picture_more_with_intensity():
    neutral = frontal({})[0].astype(int)
    for au in POSED_AUS:
        two, five = (np.abs(frontal({au: i})[0].astype(int) - neutral).mean() for i in (2.0, 5.0))
        assert 0.02 < two < five, au


def test_neutral_is_a_closed_mouth_and_25_26_27_open_it_further_and_further():
    gaps, chins = [], []
    for pose in ({}, {25: 5.0}, {25: 5.0, 26: 5.0}, {25: 5.0, 27: 5.0}):
        landmarks = frontal(pose)[1]
        gaps.append(landmarks[66, 1] - landmarks[62, 1])
        chins.append(landmarks[8, 1])
    assert gaps[0] < 2.0
    assert np.all(np.diff(gaps) > 4.0)
    assert chins[1] == chins[0] < chins[2] - 8 < chins[3] - 16


def test_a_mirrored_identity_has_mirrored_landmarks():
    from dataclasses import replace

    who = replace(identity(1), mirror=False)
    plain, landmarks = render_frame(who, {12: 3.0})
    flipped, flipped_landmarks = render_frame(replace(who, mirror=True), {12: 3.0})
    np.testing.assert_array_equal(flipped, plain[:, ::-1])
    np.testing.assert_allclose(flipped_landmarks[[8, 36, 48]], landmarks[[8, 45, 54]] * (-1, 1) + (319, 0))


def test_rendering_refuses_what_it_cannot_pose():
    with pytest.raises(ValueError, match=r"no AU14"):
        frontal({14: 3.0})
    with pytest.raises(ValueError, match=r"AU12 in 0\.\.5, got 6"):
        frontal({12: 6.0})


def test_identities_differ_and_are_reproducible():
    first, second = identity(5), identity(6)
    identity.cache_clear()
    again = identity(5)
    np.testing.assert_array_equal(first.texture, again.texture)
    np.testing.assert_array_equal(first.rest, again.rest)
    assert np.abs(first.rest - second.rest).max() > 0.5
    assert np.abs(first.texture.astype(int) - second.texture).mean() > 5
