import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.spray import gram as gram_module
from fer_batch.spray.features import direction, features
from fer_batch.spray.gram import QUICK_ERROR, gram, quick_gram, squared_distances


@pytest.mark.parametrize("normalise", ["l1", "signed", "absolute"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_products_are_those_of_the_features(normalise, dtype):
    maps = np.random.default_rng(0).standard_normal((7, 40, 30)).astype(dtype)
    maps[2] = 0
    maps[4, 3, 3] = np.nan
    maps[5, 0, 0] = np.inf
    rows, defined = features(maps, normalise=normalise)
    found = gram(maps, normalise=normalise)
    np.testing.assert_allclose(found.products, rows @ rows.T, rtol=1e-9, atol=1e-9 * np.abs(rows @ rows.T).max())
    np.testing.assert_allclose(found.position, rows @ direction(1200), rtol=1e-7, atol=1e-12)
    assert found.defined.tolist() == defined.tolist() == [True, True, False, True, False, False, True]


def test_products_do_not_depend_on_blocks(monkeypatch):
    maps = np.random.default_rng(1).standard_normal((5, 9, 11)).astype(np.float32)
    whole = gram(maps)
    monkeypatch.setattr(gram_module, "_NARROWEST", 7)
    monkeypatch.setattr(gram_module, "_BLOCK_BYTES", 0)
    np.testing.assert_allclose(gram(maps).products, whole.products, rtol=1e-12)
    np.testing.assert_allclose(gram(maps).position, whole.position, rtol=1e-9)


def test_maps_are_averaged_first():
    maps = np.random.default_rng(2).standard_normal((4, 12, 8))
    rows, _ = features(maps, downsize=6)
    np.testing.assert_allclose(gram(maps, downsize=6).products, rows @ rows.T, atol=1e-14)


def test_very_small_and_very_large_maps_keep_their_shape():
    shape = np.random.default_rng(3).standard_normal((4, 4))
    for dtype, scales in ((np.float64, (1e-300, 1, 4e306)), (np.float32, (1e-37, 1, 1e37))):
        found = gram(np.stack([shape * scale for scale in scales]).astype(dtype))
        assert found.defined.all()
        np.testing.assert_allclose(found.products, found.products[1, 1], rtol=1e-5)


def test_a_signed_sum_that_is_rounding_is_no_divisor():
    balanced = np.array([[[0.1, -0.3], [0.2, 0.0]]])
    assert gram(balanced).defined.all()
    assert not gram(balanced, normalise="signed").defined.any()
    assert gram(balanced, normalise="signed").products.shape == (0, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_equal_maps_are_nearer_than_a_step(seed, n):
    rng = np.random.default_rng(seed)
    shape = rng.standard_normal((20, 20))
    found = gram((shape * rng.uniform(1e-3, 1e3, (n, 1, 1))).astype(np.float32))
    assert np.sqrt(squared_distances(found.products).max()) < 0.5e-6 * np.sqrt(found.products[0, 0])


def kinds(n=24, side=112):
    """Maps of several kinds, whose rounding errors cancel more or less."""
    rng = np.random.default_rng(0)
    segment = rng.integers(0, 30, (side // 8, side // 8)).repeat(8, 0).repeat(8, 1)
    noise = rng.standard_normal((n, side, side))
    return {
        "noise": noise,
        "positive": rng.random((n, side, side)),
        "segments": rng.standard_normal((n, 30))[:, segment],
        "attention": rng.random((n, 7, 7)).repeat(side // 7, 1).repeat(side // 7, 2),
        "sparse": noise * (rng.random((n, side, side)) < 0.01),
        "two values": rng.uniform(0.1, 1, (n, 1, 1)) * (rng.random((n, 30)) < 0.5)[:, segment],
        "constant": rng.uniform(0.1, 1, (n, 1, 1)) * np.ones((1, side, side)),
        "nearly equal": noise[:1] + 1e-3 * noise,
    }


@pytest.mark.parametrize("kind", kinds(1))
def test_quick_products_err_by_no_more_than_they_say(kind):
    maps = kinds()[kind].astype(np.float32)
    quick, exact = quick_gram(maps), gram(maps)
    length = np.sqrt(exact.products.diagonal())
    assert quick.error == QUICK_ERROR
    assert (np.abs(quick.products - exact.products) <= QUICK_ERROR * length * length[:, None]).all()
    np.testing.assert_array_equal(quick.defined, exact.defined)
    np.testing.assert_allclose(quick.position, exact.position, atol=1e-6 * length.max() * np.sqrt(maps[0].size))


def test_quick_products_of_undefined_extreme_or_other_maps_are_exact():
    maps = np.random.default_rng(1).standard_normal((5, 6, 7)).astype(np.float32)
    maps[3] = 0
    assert quick_gram(maps).error > 0
    assert quick_gram(maps).defined.tolist() == [True, True, True, False, True]
    spoiled, large, small = maps.copy(), maps.copy(), maps.copy()
    spoiled[1, 2, 2] = np.nan
    large[1] *= np.float32(1e30)
    small[1] *= np.float32(1e-30)
    for odd in (spoiled, large, small, maps.astype(np.float16), maps.astype(np.float64), maps[:, :0]):
        found, exact = quick_gram(odd), gram(odd)
        assert found.error == 0
        np.testing.assert_array_equal(found.products, exact.products)
        np.testing.assert_array_equal(found.defined, exact.defined)


def test_maps_in_any_memory_layout_have_the_same_quick_products():
    maps = np.random.default_rng(2).standard_normal((6, 9, 10)).astype(np.float32)
    turned = np.asfortranarray(maps)
    np.testing.assert_array_equal(quick_gram(turned).products, quick_gram(maps).products)
