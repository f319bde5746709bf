import numpy as np
import pytest

from fer_batch import types
from fer_batch.spray import cluster
from fer_batch.spray.features import averaged, features
from fer_batch.spray.gram import gram, quick_gram

MAPS = np.array([[[3.0, -1.0], [0.0, 4.0]], [[1.0, 1.0], [1.0, -1.0]]])


def test_l1_divides_by_the_sum_of_magnitudes():
    rows, defined = features(MAPS)
    np.testing.assert_allclose(rows, [[3 / 8, -1 / 8, 0, 4 / 8], [0.25, 0.25, 0.25, -0.25]])
    assert defined.all()


def test_signed_divides_by_the_signed_sum():
    rows, _ = features(MAPS, normalise="signed")
    np.testing.assert_allclose(rows, [[3 / 6, -1 / 6, 0, 4 / 6], [0.5, 0.5, 0.5, -0.5]])


def test_absolute_takes_magnitudes_first():
    rows, _ = features(MAPS, normalise="absolute")
    np.testing.assert_allclose(rows, [[3 / 8, 1 / 8, 0, 4 / 8], [0.25] * 4])


def test_maps_without_a_divisor_are_undefined():
    maps = np.stack([MAPS[0], np.zeros((2, 2)), np.full((2, 2), np.nan), MAPS[0] * [[1, np.inf], [1, 1]]])
    rows, defined = features(maps)
    assert defined.tolist() == [True, False, False, False]
    assert rows.shape == (1, 4)
    balanced = np.array([[[0.1, -0.3], [0.2, 0.0]]])  # sums to rounding, not to zero
    assert features(balanced)[1].all()
    assert not features(balanced, normalise="signed")[1].any()


def test_very_small_and_very_large_maps_keep_their_shape():
    rows, defined = features(np.stack([MAPS[0] * 1e-300, MAPS[0] * 4e307]))
    assert defined.all()
    np.testing.assert_allclose(rows[0], rows[1])


def test_many_maps_are_the_same_in_blocks():
    maps = np.random.default_rng(0).standard_normal((600, 3, 3))
    maps[[0, 255, 256, 599]] = 0
    rows, defined = features(maps)
    expected = maps.reshape(600, 9)[defined]
    np.testing.assert_allclose(rows, expected / np.abs(expected).sum(1, keepdims=True))
    assert np.flatnonzero(~defined).tolist() == [0, 255, 256, 599]


def test_averaged_is_the_mean_over_the_covered_area():
    image = np.arange(16.0).reshape(1, 4, 4)
    np.testing.assert_allclose(averaged(image, 2), [[[2.5, 4.5], [10.5, 12.5]]])
    # 3 pixels to 2: each target covers one and a half
    np.testing.assert_allclose(averaged(np.array([[[0.0, 3.0, 6.0]]]), 2), [[[1.0, 5.0]]])
    np.testing.assert_array_equal(averaged(image, 9), image)


def test_averaged_keeps_mean_and_proportions():
    image = np.random.default_rng(1).random((2, 30, 21))
    small = averaged(image, 10)
    assert small.shape == (2, 10, 7)
    np.testing.assert_allclose(small.mean((1, 2)), image.mean((1, 2)))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint8, np.uint64, np.bool_])
def test_integer_maps_are_clustered_as_the_same_numbers_in_float64(dtype):
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 2, (2, 6, 6)) * 60
    maps = (centres[np.arange(16) // 8] + rng.integers(0, 9, (16, 6, 6))).astype(dtype)
    maps[3] = 0
    found, expected = cluster(maps), cluster(maps.astype(np.float64))
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.eigenvalues, expected.eigenvalues)
    assert found.labels[3] == -1
    for path in (gram, quick_gram):
        np.testing.assert_array_equal(path(maps).products, path(maps.astype(np.float64)).products)
    np.testing.assert_array_equal(features(maps)[0], features(maps.astype(np.float64))[0])


def test_the_smallest_integer_keeps_its_sign():
    maps = np.array([[[np.iinfo(np.int64).min, 0]], [[np.iinfo(np.int64).min + 1, 0]]] * 4)
    assert cluster(maps).n_clusters == 1


def test_wrong_arguments_are_named():
    with pytest.raises(types.InputError, match="did you mean 'absolute'"):
        features(MAPS, normalise="absolut")
    for odd in (MAPS[0], [MAPS[0], MAPS[1][:1]], np.array([MAPS[0], MAPS[1][:1]], dtype=object)):
        for path in (features, gram, quick_gram, cluster):
            with pytest.raises(ValueError, match=r"one size as one array \(n, h, w\)"):
                path(odd)
    with pytest.raises(types.InputError, match="downsize"):
        features(MAPS, downsize=0)
    for odd in (MAPS.astype(complex), MAPS.astype(str), MAPS.astype(object)):
        with pytest.raises(ValueError, match="real numbers"):
            cluster(odd)
