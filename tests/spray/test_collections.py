"""Thousands of small maps: the blocked, sparse path of `cluster`."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from fer_batch.spray import affinity, cluster, clustering, laplacian

SIDE = 10


def stills(n, n_groups=5, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, n_groups, n)
    centres = rng.random((n_groups, SIDE, SIDE)) ** 4
    maps = centres[group] + noise * rng.standard_normal((n, SIDE, SIDE))
    return (maps * rng.uniform(0.1, 10, (n, 1, 1))).astype(np.float32), group


def renamed(labels):
    names: dict[int, int] = {}
    return [names.setdefault(label, len(names)) for label in labels]


@pytest.mark.parametrize("noise", [0.1, 0.45])  # separate groups, and a graph in one part
@pytest.mark.parametrize("rule", ["near_zero_gap", "eigengap"])
def test_the_long_path_is_the_short_one(monkeypatch, noise, rule):
    maps, _ = stills(400, noise=noise)
    maps[7] = 0
    maps[50:56] = maps[50]
    short = cluster(maps, rule=rule)
    monkeypatch.setattr(clustering, "LONG_SEQUENCE", 100)
    monkeypatch.setattr(laplacian, "DENSE_LIMIT", 50)
    monkeypatch.setattr(affinity, "_BLOCK_BYTES", 8 * 64**2)
    long = cluster(maps, rule=rule)
    np.testing.assert_array_equal(long.labels, short.labels)
    np.testing.assert_allclose(long.eigenvalues, short.eigenvalues, atol=1e-7)
    assert long.n_neighbors == short.n_neighbors
    if short.n_clusters > 1:
        assert long.silhouette == pytest.approx(short.silhouette, abs=0.1)  # of a sample


def test_joined_parts_are_the_same_on_both_paths(monkeypatch):
    maps, _ = stills(300, n_groups=8)
    short = cluster(maps, max_clusters=3)
    monkeypatch.setattr(clustering, "LONG_SEQUENCE", 100)
    assert short.n_clusters == 3
    np.testing.assert_array_equal(cluster(maps, max_clusters=3).labels, short.labels)


def test_groups_of_five_thousand_are_found_in_any_order():
    maps, group = stills(5000)
    assert cluster(maps).labels.tolist() == renamed(group)
    maps, group = maps[:2500], group[:2500]
    order = np.random.default_rng(1).permutation(2500)
    found, shuffled = cluster(maps), cluster(maps[order])
    assert shuffled.labels.tolist() == renamed(found.labels[order])
    np.testing.assert_allclose(shuffled.eigenvalues, found.eigenvalues, atol=1e-7)


def test_equal_maps_in_thousands_are_no_trouble():
    maps, group = stills(2500, n_groups=3)
    maps[:1200] = maps[0]
    labels = cluster(maps).labels
    assert len(set(labels[:1200])) == 1
    assert renamed(labels[1200:]) == renamed(group[1200:])


def test_memory_stays_far_below_that_of_all_distances():
    program = """
        import resource
        import numpy as np
        from fer_batch.spray import cluster
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        rng = np.random.default_rng(0)
        def maps(n):
            return (rng.standard_normal((n, 5, 5)) + 4 * rng.standard_normal((4, 5, 5))[rng.integers(0, 4, n)])
        cluster(maps(2500).astype(np.float32))
        before = peak()
        cluster(maps(8000).astype(np.float32))
        print(peak() - before)
    """
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 200e6  # all distances of 8,000 maps take 512 MB in float64
