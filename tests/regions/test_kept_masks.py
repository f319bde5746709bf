"""What is kept of a face: its Action Units' regions or the whole of it, and the same whatever it shows."""

import numpy as np
import pytest

from fer_batch.regions import kept_masks, region_masks, standard_face
from fer_batch.regions.face_parts import NAMES, face_parts

SIDE = 96
FACE = standard_face()[0] * [SIDE / 224, SIDE / 275]
UNITS = ("AU04", "AU12", "AU17")


def test_regions_and_a_margin_about_them_are_kept_and_what_is_far_is_not():
    (mask,) = kept_masks(FACE[None], UNITS, (SIDE, SIDE))
    regions = np.any([region_masks(FACE[None], unit, (SIDE, SIDE))[0] for unit in UNITS], 0)
    assert mask[regions].min() > 0.99
    assert mask.min() >= 0 and mask.max() <= 1
    (bare,) = kept_masks(FACE[None], UNITS, (SIDE, SIDE), 0.0)
    assert (bare > 0.5).sum() == pytest.approx(regions.sum(), rel=0.03)
    assert (mask > 0.5).sum() > (bare > 0.5).sum()
    assert mask[[0, 0, -1, -1], [0, -1, 0, -1]].max() == 0


def test_a_whole_face_has_all_of_its_parts():
    (mask,) = kept_masks(FACE[None], None, (SIDE, SIDE))
    parts = face_parts(FACE[None], SIDE, SIDE)[0]
    inside = parts != NAMES.index("surroundings")
    assert (mask[inside] > 0.5).mean() > 0.99
    assert mask[[0, 0], [0, -1]].max() == 0


def test_masks_move_with_the_face_and_without_one_nothing_is_kept():
    nothing = np.full((68, 2), np.nan)
    for units in (UNITS, None):
        one, other, gone = kept_masks(np.stack([FACE, FACE + [3, 2], nothing]), units, (SIDE, SIDE))
        np.testing.assert_allclose(other[12:-10, 13:-10], one[10:-12, 10:-13], atol=1e-6)
        assert np.isinf(gone).all()


def test_targets_without_a_region_and_a_negative_margin_are_refused():
    with pytest.raises(ValueError, match="none of the targets smile, AU99 has a region"):
        kept_masks(FACE[None], ("smile", "AU99"), (SIDE, SIDE))
    with pytest.raises(ValueError, match="margin must be a share >= 0"):
        kept_masks(FACE[None], None, (SIDE, SIDE), -0.1)
