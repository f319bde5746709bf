"""Sums of shards: the same whatever is kept of their maps."""

import numpy as np
import pytest

from fer_batch.pipeline.analysis.accumulators import AT_MOMENTS, STANDARD, STANDARD_MAX, Key, MapSum
from fer_batch.pipeline.analysis.pooled_sums import pooled, sums_of_shards
from fer_batch.pipeline.analysis.standard_faces import evidence, warped
from fer_batch.regions import standard_face
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.parquet import pack_maps
from fer_batch.storage.store import Store

POINTS = (standard_face()[0] * (28 / 224, 28 / 275)).ravel().tolist()
FRAMES = (0, 1, 2, 3, 15, 16)  # of G-22: AU02 is active in 1..15, so here in four frames between two without it


@pytest.fixture(params=["all", "prototypes"])
def made(request, tmp_path, golden):
    """Three clips of which the last has no landmarks, in one shard, and the maps of each."""
    world, maps = golden.world(Store(str(tmp_path / "out")), keep_relevance=request.param), {}
    for number, name in enumerate("abc"):
        active, found = golden.make(np.random.default_rng(number))
        own = {(i, a): found[f, a] * (2 + i) for i, f in enumerate(FRAMES) for a in range(3) if (f, a) in found}
        world.stage(name, active[list(FRAMES)], own, landmarks=None if name == "c" else POINTS)
        maps[name] = own
    world.publish(size=3)
    return world, maps


def directly(maps, place, scale="none"):
    """The maps of an output on the standard face, one after the other."""
    packed, peak = pack_maps(np.stack([own for (_, a), own in sorted(maps.items()) if a == place]))
    stored = packed * peak[:, None, None]
    faces = np.repeat(np.reshape(POINTS, (1, 68, 2)), len(stored), 0).astype(np.float32)
    return warped(evidence(stored.astype(np.float32), scale), faces, 28)[0]


def test_sums_of_a_shard_are_those_of_its_maps_with_landmarks(made, golden):
    world, maps = made
    names = [STANDARD.name, STANDARD_MAX.name]
    found, missing = sums_of_shards(
        world.store.uri, list(Ledger(world.store).shards), world.partition, golden.targets, names
    )
    assert set(missing.values()) == {0}
    for name, scale in zip(names, ("none", "max"), strict=True):
        assert {key.target for key in found[name]} == set(golden.targets)
        for key, own in found[name].items():
            expected = np.concatenate([directly(maps[n], golden.targets.index(key.target), scale) for n in "ab"])
            assert own.n == len(expected)
            np.testing.assert_allclose(own.total, expected.sum(0), rtol=1e-6, atol=1e-6)


def test_an_episode_gives_one_map_to_each_moment(made, golden):
    world, maps = made
    (shard,) = Ledger(world.store).shards
    (found, missing) = sums_of_shards(world.store.uri, [shard], world.partition, golden.targets, [AT_MOMENTS.name])
    own = {key.group: one for key, one in found[AT_MOMENTS.name].items() if key.target == "AU02"}
    assert {name: one.n for name, one in own.items()} == {"onset": 2, "apex": 2, "offset": 2}
    assert missing == {AT_MOMENTS.name: 0}
    both = [
        directly(maps[name], 1, "max") for name in "ab"
    ]  # frames 1 to 4; all as probable: the apex is the first inside
    for place, name in ((0, "onset"), (1, "apex"), (3, "offset")):
        np.testing.assert_allclose(own[name].total, sum(one[place] for one in both), rtol=1e-6, atol=1e-6)


def test_sums_are_pooled_by_key():
    a, b = Key("AU01", "video"), Key("AU02", "video")
    found = pooled([{a: MapSum(2, np.ones((1, 1)))}, {a: MapSum(3, np.ones((1, 1))), b: MapSum(1, np.zeros((1, 1)))}])
    assert (found[a].n, found[a].total.tolist(), found[b].n) == (5, [[2.0]], 1)
