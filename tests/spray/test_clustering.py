"""Clusters of maps: groups are found, whatever their order, scale and precision."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch import types
from fer_batch.spray import cluster
from fer_batch.spray.rules import RULES

SIDE = 12
DTYPES = st.sampled_from([np.float32, np.float64])  # products are float32 for the one, float64 for the other


def blob(y, x, side=SIDE, sigma=1.5):
    rows, columns = np.mgrid[:side, :side]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))


def sequence(groups, seed=0, noise=0.05):
    """One noisy map per entry of `groups`, whose value says where the blob is."""
    centres = [(3, 3), (8, 8), (3, 9)]
    rng = np.random.default_rng(seed)
    return np.stack([blob(*centres[g]) + noise * rng.standard_normal((SIDE, SIDE)) for g in groups])


def partition(labels):
    """Labels renamed by first occurrence."""
    names: dict[int, int] = {}
    return [-1 if label < 0 else names.setdefault(label, len(names)) for label in labels]


GROUPS = [1] * 5 + [0] * 6 + [1] * 3 + [2] * 5


def test_groups_are_found_and_numbered_by_first_occurrence():
    found = cluster(sequence(GROUPS))
    assert found.labels.tolist() == partition(GROUPS)
    assert found.n_clusters == 3
    assert (found.rule, found.n_neighbors) == ("near_zero_gap", 3)
    assert found.eigenvalues.shape == (19,)
    assert np.isclose(found.eigengap, found.eigenvalues[3] - found.eigenvalues[2])
    assert found.eigengap > 0.1
    assert found.silhouette > 0.5


@pytest.mark.parametrize("rule", ["near_zero", "eigengap", "near_zero_gap"])
def test_every_rule_finds_two_clear_groups(rule):
    found = cluster(sequence([0] * 8 + [1] * 8), rule=rule)
    assert found.labels.tolist() == [0] * 8 + [1] * 8
    assert found.rule == rule


@pytest.mark.parametrize("options", [{"symmetry": "max"}, {"normalise": "absolute"}, {"downsize": 6}])
def test_options_find_the_same_groups(options):
    assert cluster(sequence(GROUPS), **options).labels.tolist() == partition(GROUPS)


def test_weakly_linked_groups_are_separated_by_the_embedding():
    for seed in range(5):
        found = cluster(sequence([0] * 10 + [1] * 10, seed), n_neighbors=10, rule="eigengap")
        assert found.eigenvalues[1] > 0  # one neighbour of every map is in the other group
        assert found.labels.tolist() == [0] * 10 + [1] * 10


def test_one_group_is_one_cluster():
    for seed in range(10):
        found = cluster(sequence([0] * 18, seed, noise=0.3))
        assert found.n_clusters == 1
        assert found.eigengap == found.eigenvalues[1] > 0.1, "the gap after the only zero"
        assert np.isnan(found.silhouette)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_maps_are_one_cluster(n):
    found = cluster(sequence([0, 1, 2, 0][:n]))
    assert found.labels.tolist() == [0] * n
    assert found.n_neighbors == min(3, n - 1)
    assert found.eigenvalues.shape == (n,)
    assert np.isnan(found.eigengap) == (n == 1), "one map has one eigenvalue"


def test_no_map_is_no_cluster():
    found = cluster(np.empty((0, 4, 4), np.float32))
    assert found.labels.shape == (0,)
    assert (found.n_clusters, found.n_neighbors) == (0, 0)


def test_undefined_maps_have_no_cluster():
    found = cluster(np.stack([np.zeros((4, 4)), np.full((4, 4), np.nan)]))
    assert found.labels.tolist() == [-1, -1]
    assert found.n_clusters == 0


def test_identical_maps_are_one_cluster():
    rng = np.random.default_rng(5)
    one = blob(3, 3).astype(np.float32)
    for n in (2, 18, 60):
        scales = rng.uniform(0.1, 10, n).astype(np.float32)
        assert cluster(one * scales[:, None, None]).n_clusters == 1


def test_repeated_frames_do_not_hide_the_groups():
    maps = np.stack([blob(3, 3)] * 9 + [blob(8, 8)] * 9)
    assert cluster(maps).labels.tolist() == [0] * 9 + [1] * 9


@pytest.mark.parametrize("seed", [*range(8), 13, 29])  # 0 and 4, 13, 29 fail without care for equal maps
def test_equal_maps_share_a_cluster_in_any_frame_order(seed):
    rng = np.random.default_rng(seed)
    base = rng.standard_normal((rng.integers(3, 9), 3, 3)) + 2 * rng.standard_normal((1, 3, 3))
    shown = rng.integers(0, len(base), rng.integers(8, 30))
    options = {"rule": "near_zero", "tau": rng.uniform(0.1, 0.9), "n_neighbors": int(rng.integers(2, 6))}
    labels = cluster(base[shown], **options).labels
    assert len(set(zip(shown, labels, strict=True))) == len(set(shown))
    order = rng.permutation(len(shown))
    assert cluster(base[shown[order]], **options).labels.tolist() == partition(labels[order])


def test_more_parts_than_clusters_allowed_are_joined_by_likeness():
    centres = [(2, 2), (2, 4), (9, 9), (9, 7)]
    maps = np.repeat(np.stack([blob(*c, sigma=1.0) for c in centres]), 4, axis=0)
    assert cluster(maps).labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert cluster(maps, max_clusters=2).labels.tolist() == [0] * 8 + [1] * 8
    assert cluster(maps, max_clusters=1).labels.tolist() == [0] * 16


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2), min_size=2, max_size=24), st.booleans(), DTYPES)
def test_frame_order_only_renames(seed, groups, repeated, dtype):
    maps = sequence(groups, seed, noise=0.2).astype(dtype)
    if repeated:
        maps = np.concatenate([maps, maps[:3]])
    order = np.random.default_rng(seed).permutation(len(maps))
    forward, shuffled = cluster(maps), cluster(maps[order])
    assert partition(forward.labels[order]) == shuffled.labels.tolist()
    np.testing.assert_allclose(forward.eigenvalues, shuffled.eigenvalues, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2), min_size=2, max_size=24), DTYPES)
def test_the_scale_of_a_map_does_not_matter(seed, groups, dtype):
    maps = sequence(groups, seed, noise=0.2).astype(dtype)
    scale = np.random.default_rng(seed).uniform(1e-6, 1e6, (len(maps), 1, 1)).astype(dtype)
    assert cluster(maps * scale).labels.tolist() == cluster(maps).labels.tolist()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 2), min_size=1, max_size=24),
    st.sampled_from([0.0, np.nan, np.inf]),
    DTYPES,
)
def test_an_undefined_map_changes_nothing(seed, groups, value, dtype):
    maps = sequence(groups, seed, noise=0.2).astype(dtype)
    position = seed % (len(maps) + 1)
    found = cluster(np.insert(maps, position, value, axis=0))
    assert found.labels[position] == -1
    assert np.delete(found.labels, position).tolist() == cluster(maps).labels.tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2), min_size=2, max_size=40), st.floats(0.001, 0.3))
def test_products_in_float32_cluster_as_those_in_float64(seed, groups, noise):
    maps = sequence(groups, seed, noise).astype(np.float32)
    rng = np.random.default_rng(seed)
    maps = maps[rng.integers(0, len(maps), len(maps))] * np.exp2(rng.integers(-9, 9, (len(maps), 1, 1)))
    quick, exact = cluster(maps.astype(np.float32)), cluster(maps.astype(np.float64))
    assert quick.labels.tolist() == exact.labels.tolist()
    np.testing.assert_allclose(quick.eigenvalues, exact.eigenvalues, atol=1e-12)
    np.testing.assert_allclose(quick.silhouette, exact.silhouette, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2), min_size=2, max_size=24), st.sampled_from([*RULES]),
    st.integers(1, 4),
)  # fmt: skip
def test_the_eigengap_is_the_one_after_the_clusters(seed, groups, rule, bound):
    found = cluster(sequence(groups, seed, noise=0.2), rule=rule, max_clusters=bound)
    gaps = np.diff(found.eigenvalues)
    assert found.eigengap == gaps[found.n_clusters - 1]
    if rule == "eigengap":
        assert found.eigengap >= gaps[: min(bound, len(groups) - 1)].max() - 1e-9


def test_more_parts_than_clusters_allowed_are_joined_exactly_in_float32():
    maps = np.repeat(np.random.default_rng(0).standard_normal((9, SIDE, SIDE)), 4, axis=0).astype(np.float32)
    for bound in (2, 5):
        options = {"max_clusters": bound, "n_neighbors": 3}
        labels = cluster(maps, **options).labels
        assert labels.tolist() == cluster(maps.astype(np.float64), **options).labels.tolist()
        assert labels.max() + 1 == bound


def test_running_twice_is_running_once():
    maps = np.random.default_rng(9).standard_normal((60, 8, 8))
    one, two = (cluster(maps, rule="near_zero", tau=0.8) for _ in range(2))
    assert one.n_clusters > 1
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.eigenvalues, two.eigenvalues)


def test_the_input_is_left_alone():
    maps = sequence(GROUPS)
    before = maps.copy()
    cluster(maps)
    np.testing.assert_array_equal(maps, before)


def test_long_sequences_take_the_sparse_path():
    groups = np.repeat([0, 1, 0, 2], 600)
    started = time.perf_counter()
    found = cluster(sequence(groups).astype(np.float32))
    assert found.labels.tolist() == partition(groups)
    assert found.eigenvalues.shape == (32,)
    assert found.silhouette > 0.5
    assert time.perf_counter() - started < 30


def test_wrong_arguments_are_named():
    maps = sequence([0, 1])
    with pytest.raises(types.InputError, match="did you mean 'eigengap'"):
        cluster(maps, rule="eigen_gap")
    for options in ({"tau": -0.1}, {"tau": float("nan")}, {"n_neighbors": 0}, {"max_clusters": 0}):
        with pytest.raises(types.InputError):
            cluster(maps, **options)
