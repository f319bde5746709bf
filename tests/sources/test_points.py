"""Landmarks of other schemes in the 68 points."""

import numpy as np
import pytest

from fer_batch.sources.points import to_68


def test_49_points_have_no_jaw():
    points = np.stack([np.arange(49.0), -np.arange(49.0)], 1)
    face = to_68(points)
    assert np.isnan(face[:17]).all()
    assert np.isfinite(face[17:]).all()
    for own, other in ((0, 17), (9, 26), (10, 27), (18, 35), (19, 36), (30, 47), (31, 48), (42, 59)):
        assert face[other, 0] == own  # methods 2.1
    assert face[[61, 62, 63, 65, 66, 67], 0].tolist() == [43, 44, 45, 46, 47, 48]
    with pytest.raises(ValueError, match=r"expected 49, 66 or 68 landmarks .* \(5, 2\)"):
        to_68(np.zeros((5, 2)))
