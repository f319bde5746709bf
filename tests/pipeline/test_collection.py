"""Collections of stills through real tables in a folder, with Dask on threads."""

import numpy as np
import pyarrow.compute as pc
import pytest

from fer_batch.pipeline import collection
from fer_batch.pipeline.collection import publish_collection
from fer_batch.pipeline.per_sequence import compute_with
from fer_batch.spray import affinity
from fer_batch.storage.parquet import Partition, encode, pack_maps, read, rows_of, unpack_maps
from fer_batch.storage.store import Store

PARTITION = Partition(dataset="d", model="m-1", explain="e-1")
SIDE = 56


def blobs(groups, seed=0, noise=0.15):
    rng = np.random.default_rng(seed)
    grid = (np.arange(SIDE) + 0.5) / SIDE
    centres = np.array([(0.3, 0.3), (0.7, 0.7), (0.3, 0.7)])[groups]
    y, x = (np.exp(-((grid - centres[:, [i]]) ** 2) / 0.02) for i in (0, 1))
    maps = y[:, :, None] * x[:, None, :] + noise * rng.standard_normal((len(groups), SIDE, SIDE))
    return (maps * rng.uniform(0.1, 10, (len(groups), 1, 1))).astype(np.float32)


def write(store, maps, targets, kinds, n_shards, order=None):
    """One row per map, named s000.. in the order given, over some shards."""
    shards = []
    values, scale = pack_maps(maps)
    order = np.arange(len(maps)) if order is None else order
    for index, rows in enumerate(np.array_split(order, n_shards)):
        name = f"shard{index:02d}"
        shards.append(name)
        sequences = [
            {
                "sequence_id": f"s{i:03d}",
                "uri": "u",
                "kind": kinds[i],
                "status": "done",
                "n_frames": 1,
                "unit_id": "u",
                "run_id": "r",
            }
            for i in rows
        ]
        relevance = [
            {
                "sequence_id": f"s{i:03d}",
                "frame_index": 0,
                "target": targets[i],
                "height": SIDE,
                "width": SIDE,
                "scale": float(scale[i]) if np.isfinite(scale[i]) else None,
                "relevance": values[i].ravel() if np.isfinite(scale[i]) else None,
            }
            for i in rows
        ]
        for table, own in (("sequences", sequences), ("relevance", relevance)):
            store.put(f"{PARTITION.folder(table)}/{name}.parquet", encode(rows_of(table, own), {}))
    return shards


def publish(store, shards, **options):
    publish_collection(store, PARTITION, shards, "lrp", "a1", {}, compute_with("threads", 2), options or None)
    keys = {"dataset": PARTITION.dataset, "model": PARTITION.model, "explain": PARTITION.explain}
    return tuple(read(store, table, **keys) for table in ("class_prototypes", "heatmaps"))


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


GROUPS = np.array([0] * 20 + [1] * 12 + [2] * 8)


def test_clusters_of_a_class_have_members_means_and_exemplars(store):
    maps = blobs(GROUPS)
    maps[3] = np.nan
    shards = write(store, maps, ["happy"] * 40, ["still"] * 40, 3)
    classes, heatmaps = publish(store, shards)
    rows = sorted(classes.to_pylist(), key=lambda row: row["cluster"])
    assert [(row["target"], row["n_frames"], row["analysis_id"]) for row in rows] == [
        ("happy", 19, "a1"),
        ("happy", 12, "a1"),
        ("happy", 8, "a1"),
    ]
    assert len(rows[0]["spectrum"]) == 32
    (decision,) = {tuple(row[name] for name in ("n_clusters", "n_clustered", "rule", "n_neighbors")) for row in rows}
    assert decision == (3, 39, "near_zero_gap", 4)
    assert rows[0]["eigengap"] == pytest.approx(rows[0]["spectrum"][3] - rows[0]["spectrum"][2])
    assert 0.5 < rows[0]["silhouette"] < 1
    means = unpack_maps(classes)
    for row, mean, group in zip(classes.to_pylist(), means, (0, 1, 2), strict=True):
        own = [i for i in np.flatnonzero(group == GROUPS) if i != 3]
        small = maps[own].reshape(len(own), 28, 2, 28, 2).mean((2, 4))
        np.testing.assert_allclose(mean, small.mean(0), atol=2e-3 * np.abs(small).max())
        unit = small / np.abs(small).sum((1, 2), keepdims=True)
        distance = ((unit - small.mean(0) / np.abs(small.mean(0)).sum()) ** 2).sum((1, 2))
        assert row["exemplars"] == [f"s{own[i]:03d}#0" for i in np.argsort(distance)[:5]]
    assert heatmaps["n"].to_pylist() == [39]


def test_frames_of_sequences_are_in_the_heatmap_alone(store):
    maps = blobs(np.zeros(6, int))
    shards = write(store, maps, ["a"] * 3 + ["b"] * 3, ["video"] * 3 + ["still"] * 3, 2)
    classes, heatmaps = publish(store, shards)
    assert classes["target"].to_pylist() == ["b"]
    assert dict(zip(heatmaps["group"].to_pylist(), heatmaps["n"].to_pylist(), strict=True)) == {"a": 3, "b": 3}
    expected = (maps[:3] / np.abs(maps[:3]).max((1, 2), keepdims=True)).mean(0)
    np.testing.assert_allclose(unpack_maps(heatmaps)[0], expected, atol=2e-3)


@pytest.mark.parametrize("cap", [1000, 20])
def test_order_and_shards_change_nothing(tmp_path, monkeypatch, cap):
    monkeypatch.setattr(collection, "CLASS_MAPS", cap)
    found = []
    for index, n_shards in enumerate((1, 4)):
        store = Store(str(tmp_path / str(index)))
        order = np.random.default_rng(index).permutation(40)
        shards = write(store, blobs(GROUPS), ["x", "y"] * 20, ["still"] * 40, n_shards, order)
        monkeypatch.setattr(collection, "GATHERED_MAPS", cap * (1 + index))  # one class at a time, or both
        rows = publish(store, shards)[0].drop_columns(["relevance", "scale"]).to_pylist()
        found.append(rows)
    assert found[0] == found[1]


def test_beyond_the_cap_a_sample_is_clustered_and_the_others_join(store, monkeypatch):
    groups = np.repeat([0, 1], [300, 100])
    shards = write(store, blobs(groups), ["x"] * 400, ["still"] * 400, 3)
    monkeypatch.setattr(collection, "CLASS_MAPS", 100)
    seen = []
    whole = collection.spray.cluster
    monkeypatch.setattr(collection.spray, "cluster", lambda maps, **o: seen.append(len(maps)) or whole(maps, **o))
    classes, _ = publish(store, shards)
    assert 60 < seen[0] < 140
    assert sorted(classes["n_frames"].to_pylist()) == [100, 300]
    assert set(classes["n_clustered"].to_pylist()) == {seen[0]}
    for row in classes.to_pylist():
        assert len({int(name[1:4]) < 300 for name in row["exemplars"]}) == 1


def test_neighbours_are_searched_in_dask_tasks(store, monkeypatch):
    monkeypatch.setattr(affinity, "_BLOCK_BYTES", 8 * 400**2)
    monkeypatch.setattr(affinity, "_PIECE_PAIRS", 2)
    features = np.random.default_rng(0).standard_normal((1500, 6))
    tasks = []
    compute = compute_with("threads", 2)
    spread = collection._spread(lambda todo: tasks.extend(todo) or compute(todo))
    for one, other in zip(
        affinity.nearest_neighbours(features, 5, map_pieces=spread),
        affinity.nearest_neighbours(features, 5),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert len(tasks) == 5  # 4 blocks with themselves, 6 pairs of two


def test_what_is_undefined_is_null(store):
    shards = write(store, blobs(np.zeros(1, int)), ["x"], ["still"], 1)
    (row,) = publish(store, shards)[0].to_pylist()
    assert (row["n_clusters"], row["n_clustered"], row["eigengap"], row["silhouette"]) == (1, 1, None, None)


def test_options_reach_the_clustering(store):
    shards = write(store, blobs(GROUPS), ["x"] * 40, ["still"] * 40, 1)
    assert publish(store, shards, max_clusters=1)[0].num_rows == 1


def test_only_shards_whose_maps_changed_are_read_again(store, monkeypatch):
    maps = blobs(GROUPS)
    shards = write(store, maps, ["AU01"] * 40, ["video"] * 40, 4)
    first = publish(store, shards)[1]
    read_again = []
    real = collection.shard_sums
    monkeypatch.setattr(collection, "shard_sums", lambda *what: read_again.append(what[2]) or real(*what))
    assert publish(store, shards)[1].equals(first)
    assert read_again == []

    changed = shards[2]
    relevance = read(store, "relevance")
    own = relevance.filter(pc.equal(relevance["sequence_id"], "s020"))
    path = f"{PARTITION.folder('relevance')}/{changed}.parquet"
    columns = [name for name in own.column_names if name not in ("dataset", "model", "explain")]
    store.put(path, encode(own.select(columns), {}))
    second = publish(store, shards)[1]
    assert read_again == [changed]
    assert first["n"].to_pylist() == [40]
    assert second["n"].to_pylist() == [31]
