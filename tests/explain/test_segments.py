"""Superpixels (methods 7.4)."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut
from skimage.transform import resize

from fer_batch.explain.segments import quickshift_segments, slic_segments


@pytest.fixture(scope="module")
def face():
    return resize(astronaut()[:200, 130:330], (224, 224), anti_aliasing=True)


def test_sh_f_a_face_of_224_has_20_to_40_slic_segments(face):
    labels = slic_segments(face)
    assert 20 <= labels.max() + 1 <= 40
    assert labels.shape == (224, 224)
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_segments_of_grey_and_flat_pictures(face):
    small = face[::4, ::4]
    np.testing.assert_array_equal(slic_segments(small[..., :1]), slic_segments(np.repeat(small[..., :1], 3, axis=2)))
    labels = quickshift_segments(small)
    assert labels.max() > 3
    np.testing.assert_array_equal(labels, quickshift_segments(small))
    with pytest.raises(ValueError, match=r"\(H, W, 3\) or \(H, W, 1\)"):
        slic_segments(small[..., :2])
