"""A face that one person cannot have is another's."""

import numpy as np

from fer_batch.media.identity_switch import IdentitySwitches
from fer_batch.media.landmarks import Face


def numbers_of(places, looks=None, how="detected"):
    """Numbers of a face of 40 px that is at these x in turn, None where it is not seen; of one look or these."""
    switches, faces = IdentitySwitches(max_gap=3), {}
    found = []
    for place, look in zip(places, looks or [0] * len(places), strict=True):
        image = np.full((60, 400, 3), 90, np.uint8)
        if place is None:
            found.append(switches.add(image, None, how))
            continue
        texture = np.random.default_rng(look).integers(0, 256, (40, 40, 3))
        image[10:50, place : place + 40] = faces.setdefault(look, texture)
        found.append(switches.add(image, Face((place, 10.0, place + 39.0, 49.0), None, 1.0), how))
    return found


def test_a_face_that_one_person_cannot_have_is_anothers():
    assert numbers_of([10, 20, 30, 60]) == [0] * 4, "who walks is the same"
    assert numbers_of([10, 200, 10, 12], [0, 1, 0, 0]) == [0, 1, 2, 2]
    assert numbers_of([10, 200, 10]) == [0] * 3, "who looks the same is the same"
    assert numbers_of([10, 12, 11], [0, 1, 0]) == [0] * 3, "at the same place it may be a turned head"
    assert numbers_of([10, 200, 10], [0, 1, 0], "tracked") == [0] * 3, "carried by its landmarks it is the same"


def test_who_was_away_for_long_keeps_the_number():
    assert numbers_of([10, None, None, 200], [0, 0, 0, 1]) == [0, 0, 0, 1]
    assert numbers_of([10, None, None, None, 200], [0, 0, 0, 0, 1]) == [0] * 5
