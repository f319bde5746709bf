"""Normalisation and the Top-X-Relevance projection (methods RV-2, RV-4)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fer_batch.visualize.projection import normalise, top_relevance

G09 = np.array([[4.0, -1, 3], [3, 0, 2], [1, -5, 3]])
maps = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7),
    elements=st.one_of(st.integers(-4, 4).map(float), st.floats(-1e6, 1e6, allow_nan=False, width=32)),
)
shares = st.one_of(st.floats(0.5, 99.5), st.sampled_from([10.0, 25.0, 50.0]))


@pytest.mark.parametrize(
    ("share", "ties", "kept", "mass"),
    [
        (10, "all", [4], 4 / 16),
        (25, "all", [4], 4 / 16),
        (25, "stable", [4], 4 / 16),
        (26, "stable", [4, 3], 0.4375),
        (26, "all", [4, 3, 3, 3], 0.8125),
        (44, "stable", [4, 3, 3], 10 / 16),
        (82, "stable", [4, 3, 3, 3, 2], 0.9375),
        (100, "stable", [4, 3, 3, 3, 2, 1], 1.0),
        (0, "all", [], 0.0),
    ],
)
def test_g09_top_x_keeps_the_published_pixels(share, ties, kept, mass):
    projection = top_relevance(G09, share, ties)
    assert sorted(projection[projection > 0], reverse=True) == kept
    assert projection.sum() / 16 == pytest.approx(mass)
    assert set(projection.ravel()) <= set(G09.ravel())


def test_g09_stable_takes_the_first_of_equals_in_row_major_order():
    np.testing.assert_array_equal(top_relevance(G09, 26, "stable"), [[4, 0, 3], [0, 0, 0], [0, 0, 0]])


def test_g09_a_map_without_positive_relevance_projects_to_nothing():
    assert not top_relevance(-np.abs(G09)).any()


def test_g09_normalisation():
    np.testing.assert_allclose(normalise(G09), [[0.8, -0.2, 0.6], [0.6, 0, 0.4], [0.2, -1, 0.6]])
    np.testing.assert_allclose(normalise(G09, two_sided=True), [[1, -0.2, 0.75], [0.75, 0, 0.5], [0.25, -1, 0.75]])


@given(maps, shares, st.randoms(use_true_random=False))
def test_g09_keeping_all_ties_commutes_with_any_permutation_of_pixels(relevance, share, random):
    order = list(range(relevance.size))
    random.shuffle(order)
    permuted = relevance.ravel()[order].reshape(relevance.shape)
    np.testing.assert_array_equal(
        top_relevance(permuted, share), top_relevance(relevance, share).ravel()[order].reshape(relevance.shape)
    )


@given(maps, shares)
def test_the_projection_is_the_smallest_set_that_reaches_the_share(relevance, share):
    stable = top_relevance(relevance, share, "stable")
    kept, positive = np.sort(stable[stable > 0]), relevance[relevance > 0]
    assert (kept.size > 0) == (positive.size > 0)
    if kept.size:
        mass = positive.sum()
        assert kept.sum() >= share / 100 * mass * (1 - 1e-9)
        assert kept[1:].sum() < share / 100 * mass * (1 + 1e-9), "one pixel fewer would have done"
        assert np.sort(positive)[::-1][: kept.size].sum() == pytest.approx(kept.sum())


@given(maps)
def test_normalised_maps_reach_one_and_keep_signs(relevance):
    for two_sided in (False, True):
        values = normalise(relevance, two_sided=two_sided)
        np.testing.assert_array_equal(np.sign(values), np.sign(relevance))
        assert np.abs(values).max() == (1.0 if relevance.any() else 0.0)


def test_maps_of_a_batch_are_independent_of_each_other():
    batch = np.stack([G09, 100 * G09, np.zeros_like(G09)])
    np.testing.assert_allclose(normalise(batch)[1], normalise(G09))
    np.testing.assert_allclose(top_relevance(batch, 26)[1], 100 * top_relevance(G09, 26))
    assert not normalise(batch)[2].any()
    assert not top_relevance(batch)[2].any()


def test_an_undefined_map_stays_undefined_and_leaves_its_neighbours_alone():
    broken = G09.copy()
    broken[1, 1] = np.inf
    for function in (normalise, top_relevance):
        result = function(np.stack([broken, G09]))
        assert np.isnan(result[0]).all()
        np.testing.assert_array_equal(result[1], function(G09))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((np.ones(4),), "expected maps"), ((G09, 25, "some"), "ties"), ((G09, float("nan")), "percentage")],
)
def test_what_cannot_be_projected_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        top_relevance(*arguments)
