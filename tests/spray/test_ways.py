"""Ways of looking: pieces between steps, those that are alike taken together; their stability."""

import numpy as np
import pytest

from fer_batch.spray.ways import cluster_ways
from fer_batch.types import InputError

GRID = np.arange(28)


def blob(y, x, sigma=2.5):
    return np.exp(-((GRID[:, None] - y) ** 2 + (GRID - x) ** 2) / (2 * sigma**2))


PLACES = [blob(7, 7), blob(7, 20), blob(20, 14)]


def sequence(groups, noise=0.1, seed=0, drift=0.0):
    """A noisy map for each entry of `groups`, whose blob may wander."""
    rng = np.random.default_rng(seed)
    shift = drift * np.sin(np.arange(len(groups)) / 6)
    centres = [(7, 7), (7, 20), (20, 14)]
    maps = [blob(centres[g][0] + s, centres[g][1] + s) for g, s in zip(groups, shift, strict=True)]
    return np.stack(maps) + noise * rng.standard_normal((len(groups), 28, 28))


def runs(*lengths):
    return [g for g, n in lengths for _ in range(n)]


@pytest.mark.parametrize("drift", [0.0, 1.0])
@pytest.mark.parametrize("frames", [6, 11, 16])
def test_ways_that_come_back_are_one(frames, drift):
    groups = runs((0, 11), (1, frames), (0, 10), (2, frames), (0, 11))
    found = cluster_ways(sequence(groups, drift=drift))
    assert found.labels.tolist() == groups
    assert found.p_split < 0.05
    assert len(found.stability) == 3
    assert min(found.stability) > 0.9


@pytest.mark.parametrize("noise", [0.02, 0.2, 0.4])
def test_g22_for_twenty_seeds(noise):
    wanted = {"AU01": runs((0, 11)), "AU04": runs((2, 6)), "AU02": runs((0, 4), (1, 7), (0, 4))}
    for seed in range(20):
        for groups in wanted.values():
            labels = cluster_ways(sequence(groups, noise, seed)).labels.tolist()
            assert labels == [int(g != groups[0]) for g in groups]


@pytest.mark.parametrize("drift", [0.0, 1.0, 3.0])
def test_one_way_of_looking_is_one_cluster(drift):
    split = 0
    for seed in range(20):
        found = cluster_ways(sequence(runs((0, 48)), 0.2, seed, drift))
        split += found.n_clusters > 1
    assert split <= 1


def test_undefined_maps_have_no_cluster_and_change_nothing():
    groups = runs((0, 12), (1, 12))
    maps = sequence(groups)
    found = cluster_ways(np.insert(maps, [0, 5, 24], np.nan, axis=0), np.arange(27))
    assert found.labels.tolist() == [-1, *[0] * 5, -1, *[0] * 7, *[1] * 12, -1]
    assert cluster_ways(np.zeros((3, 28, 28))).labels.tolist() == [-1] * 3
    assert cluster_ways(np.empty((0, 28, 28))).n_clusters == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("side", [1, 4])
def test_sizes_and_dtypes_give_the_same_clusters(dtype, side):
    groups = runs((0, 10), (1, 7), (0, 10))
    maps = np.kron(sequence(groups), np.ones((side, side)))
    maps = (maps * 1000).astype(dtype)
    assert cluster_ways(maps).labels.tolist() == groups


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_scale_of_a_map_does_not_matter(factor):
    groups = runs((0, 10), (1, 7), (0, 10))
    maps = sequence(groups) * np.linspace(0.1, 10, 27)[:, None, None] * factor
    for values in (maps, maps.astype(np.float32)):
        assert cluster_ways(values).labels.tolist() == groups


@pytest.mark.parametrize("n", range(1, 6))
def test_few_maps_are_one_cluster(n):
    found = cluster_ways(sequence([0, 1, 2, 0, 1][:n]))
    assert found.labels.tolist() == [0] * n
    assert found.stability == (1.0,)
    assert found.p_split == 1.0
    assert found.eigenvalues.shape == (n,)


def test_of_more_clusters_than_allowed_the_nearest_are_joined():
    groups = runs((0, 12), (1, 12), (2, 12))
    for limit, expected in ((3, 3), (2, 2), (1, 1)):
        assert cluster_ways(sequence(groups), max_clusters=limit).n_clusters == expected


def test_a_level_of_the_test():
    maps = sequence(runs((0, 10), (1, 10)), noise=0.3)
    assert cluster_ways(maps, alpha=0.05).n_clusters == 2
    assert cluster_ways(maps, alpha=1e-12).n_clusters == 1


def test_what_is_decided_can_be_looked_at():
    found = cluster_ways(sequence(runs((0, 12), (1, 12))))
    assert found.rule == "steps"
    assert found.n_neighbors == 3
    assert found.eigenvalues[1] == 0, "the graph is in two parts"
    assert found.eigengap > 0.1
    assert found.silhouette > 0.3


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"max_clusters": 0}, {"n_neighbors": 0}, {"downsize": 0}])
def test_impossible_options(wrong):
    with pytest.raises(InputError, match="alpha is between 0 and 1, counts are 1 or more"):
        cluster_ways(sequence([0] * 8), **wrong)


def test_one_time_a_map():
    with pytest.raises(ValueError, match=r"expected one time a map, got \(3,\) for 8 maps"):
        cluster_ways(sequence([0] * 8), np.arange(3))


@pytest.mark.parametrize("place", [9, 20, 31])
@pytest.mark.parametrize("frames", [1, 2])
def test_a_flicker_leaves_the_rest_together(frames, place):
    groups = runs((0, place), (1, frames), (0, 40 - place))
    for seed in range(5):
        labels = cluster_ways(sequence(groups, seed=seed)).labels
        around = np.delete(labels, range(place - 2, place + frames + 2))
        assert set(around.tolist()) == {0}
