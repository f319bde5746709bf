"""How alike maps are between classes (methods PD-m)."""

import numpy as np
import pytest

from fer_batch.evaluate.discrimination import class_discrimination

SUBJECTS = ["a", "a", "b", "c", "d", "d"]


def test_two_identical_maps_correlate_to_1_whatever_their_scale():
    one = np.random.default_rng(0).normal(size=(6, 1, 5, 4))
    found = class_discrimination(np.concatenate([one, 3 * one], 1), SUBJECTS)
    assert found.pairs == ((0, 1),)
    for mean in (found.overall, *found.by_pair):
        np.testing.assert_allclose([mean.mean, mean.low, mean.high], 1)
        assert (mean.n, mean.n_subjects, mean.n_undefined) == (6, 4, 0)


def test_pairs_and_their_mean():
    a, b = np.array([[1.0, 2, 3, 4]]), np.array([[2.0, 1, 4, 3]])
    maps = np.tile(np.stack([a, -a, b]), (6, 1, 1, 1))
    found = class_discrimination(maps, SUBJECTS)
    assert found.pairs == ((0, 1), (0, 2), (1, 2))
    np.testing.assert_allclose([pair.mean for pair in found.by_pair], [-1, 0.6, -0.6])
    assert found.overall.mean == pytest.approx(-1 / 3)
    assert class_discrimination(maps, SUBJECTS, centred=False).by_pair[1].mean == pytest.approx(28 / 30)


def test_undefined_maps_are_counted_and_left_out():
    maps = np.random.default_rng(1).normal(size=(6, 3, 4, 4))
    maps[0, 1], maps[1], maps[2, 2, 0, 0] = 0, 7, np.nan
    found = class_discrimination(maps, SUBJECTS)
    assert found.n_undefined_maps == 5
    assert (found.overall.n, found.overall.n_undefined) == (5, 1)  # an image with one pair left counts
    assert [pair.n for pair in found.by_pair] == [4, 4, 3]
    expected = np.corrcoef(maps[0].reshape(3, -1))[0, 2]
    rest = class_discrimination(maps[[3, 4, 5]], SUBJECTS[3:]).overall.mean * 3
    left = np.corrcoef(maps[2].reshape(3, -1))[0, 1]
    assert found.overall.mean == pytest.approx((expected + left + rest) / 5)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="two or more classes"):
        class_discrimination(np.ones((2, 1, 3, 3)), ["a", "b"])
    with pytest.raises(ValueError, match="a subject per image"):
        class_discrimination(np.ones((2, 2, 3, 3)), ["a"])


def test_images_with_other_numbers_of_classes_are_refused():
    images = [np.random.default_rng(n).normal(size=(n, 3, 3)) for n in (2, 3)]
    with pytest.raises(ValueError, match="the same classes on every image, got images with 2, 3"):
        class_discrimination(images, ["a", "b"])
