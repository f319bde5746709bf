"""Regions in the order of their relevance, and elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.explain.region_order import (
    grid_segments,
    moved_masks,
    pixel_steps,
    random_ranks,
    region_relevance,
    removal_ranks,
    removed_sets,
)
from fer_batch.types import InputError


def test_squares_with_a_rest():
    assert grid_segments((3, 5), 2).tolist() == [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]


def test_relevance_of_regions():
    labels = np.array([[[0, 0, 2], [0, -1, 2]]])
    maps = np.array([[[1.0, 2, 5], [6, 100, 7]]])[None]
    np.testing.assert_allclose(region_relevance(maps, labels, 3)[0, 0], [3, np.nan, 6])
    np.testing.assert_allclose(region_relevance(maps, labels, 3, "sum")[0, 0], [9, np.nan, 12])
    with pytest.raises(InputError, match="mean or sum"):
        region_relevance(maps, labels, 3, "median")


def test_ranks_have_the_most_relevant_first_and_absent_regions_last():
    ranks = removal_ranks(np.array([[0.1, np.nan, 0.7, -1], [3, 2, 1, 0]]))
    assert ranks.tolist() == [[1, 3, 0, 2], [0, 1, 2, 3]]


def test_ties_are_in_no_order_of_their_numbers_and_the_same_for_all_methods():
    one, other = removal_ranks(np.zeros((2, 40, 30)))
    np.testing.assert_array_equal(one, other)
    assert abs(one.mean(0) - 14.5).max() < 6  # sd of a mean of 40 ranks: 1.4


def test_random_orders_are_permutations_of_what_is_there():
    present = np.arange(8) < np.array([[8], [5]])
    ranks = random_ranks(present, 200, seed=3)
    np.testing.assert_array_equal(np.sort(ranks, -1), np.broadcast_to(np.arange(8), ranks.shape))
    assert (ranks[:, 1, 5:] >= 5).all()
    assert abs(ranks[:, 1, :5].mean(0) - 2).max() < 0.5
    np.testing.assert_array_equal(ranks, random_ranks(present, 200, seed=3))
    assert (ranks != random_ranks(present, 200, seed=4)).any()


def test_steps_remove_shares_of_what_each_image_has():
    present = np.arange(6) < np.array([[6], [3]])
    removed = removed_sets(random_ranks(present, 2), present, 3)
    assert removed.shape == (2, 2, 4, 6)
    assert removed.sum(-1).tolist() == [[[0, 2, 4, 6], [0, 1, 2, 3]]] * 2
    assert (removed[:, :, 1:] >= removed[:, :, :-1]).all()
    assert not removed[:, 1, :, 3:].any()


def test_pixels_in_groups():
    assert pixel_steps(np.array([[[3.0, 1, 2], [9, 9, 0]]]), 2).tolist() == [[[1, 2, 1], [0, 0, 2]]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_a_moved_region_keeps_its_shape_and_lies_elsewhere(seed):
    rng = np.random.default_rng(seed)
    mask, face = np.zeros((24, 20), bool), np.zeros((24, 20), bool)
    face[2:23, 1:19] = True
    y, x = rng.integers(2, 14), rng.integers(1, 10)
    mask[y : y + 4, x : x + 5] = rng.random((4, 5)) < 0.7
    mask[y, x] = True
    for within in (None, face):
        moved = moved_masks(mask, 5, seed, within)
        assert moved.shape == (5, 24, 20) and not (moved & mask).any()
        assert len({one.tobytes() for one in moved}) == 5
        for one in moved:
            shift = np.argwhere(one)[0] - np.argwhere(mask)[0]
            np.testing.assert_array_equal(one, np.roll(mask, shift, (0, 1)))
            assert within is None or not (one & ~within).any()


def test_a_region_without_room_elsewhere_has_none():
    mask = np.zeros((6, 6), bool)
    assert moved_masks(mask, 3).shape == (0, 6, 6)
    mask[:, :4] = True
    assert moved_masks(mask, 3).shape == (0, 6, 6)
    mask[:] = False
    mask[:3] = True
    assert (moved_masks(mask, 3) == ~mask).all() and len(moved_masks(mask, 3)) == 3
