import numpy as np
import pytest

from fer_batch.prototypes.moments import MOMENTS, moments


def named(active, intensity):
    found = moments(np.array(active, bool), np.array(intensity, float))
    return "".join("-" if place < 0 else MOMENTS[place][1] for place in found)  # n: onset, p: apex, f: offset


@pytest.mark.parametrize(
    ("active", "intensity", "expected"),
    [
        ([0, 1, 1, 1, 1, 0], [0, 1, 2, 5, 1, 0], "-n-pf-"),
        ([0, 1, 1, 1, 1], [0, 1, 2, 3, 4], "-n--p"),  # CK+ ends at the apex
        ([1, 1, 1, 1, 0], [9, 3, 2, 1, 0], "p--f-"),
        ([1, 1, 1], [1, 2, 1], "-p-"),
        ([0, 1, 1, 0, 1, 1, 1, 0], [0, 9, 9, 0, 1, 2, 1, 0], "----npf-"),  # two frames are no episode
        ([0, 1, 1, 1, 0], [0, 9, 1, 9, 0], "-npf-"),  # the three are different frames
        ([0, 1, 1, 1, 1, 1, 0], [0, 1, 4, 4, 4, 1, 0], "-n-p-f-"),  # of a plateau the middle
        ([0, 0], [1, 2], "--"),
        ([], [], ""),
    ],
)
def test_an_episode_has_one_frame_of_each_moment_that_is_seen(active, intensity, expected):
    assert named(active, intensity) == expected


def test_an_episode_played_at_half_speed_has_as_many_moments():
    active, intensity = np.array([0, 1, 1, 1, 1, 1, 0], bool), np.array([0.0, 1, 3, 5, 4, 2, 0])
    slow = moments(np.repeat(active, 2), np.repeat(intensity, 2))
    assert np.bincount(slow[slow >= 0]).tolist() == [1, 1, 1]
    assert intensity[np.flatnonzero(slow == 1) // 2] == 5


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="of the same frames"):
        moments(np.zeros(3, bool), np.zeros(2))


def test_a_frame_without_intensity_is_no_apex():
    nan = float("nan")
    assert named([0, 1, 1, 1, 1, 1, 0], [0, 1, nan, 2, 1, 1, 0]).count("p") == 1
    assert named([0, 1, 1, 1, 1, 1, 0], [nan] * 7).count("p") == 1
