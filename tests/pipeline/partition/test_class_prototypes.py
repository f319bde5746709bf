"""Collections of stills through real tables in a folder, with Dask on threads."""

import numpy as np
import pytest

from fer_batch.config import build
from fer_batch.pipeline.analysis.accumulators import ACCUMULATORS, SequenceSums
from fer_batch.pipeline.analysis.sequence_data import SequenceData
from fer_batch.pipeline.analysis.shard import compute_with
from fer_batch.pipeline.analysis.sums import SumsWriter
from fer_batch.pipeline.partition import class_prototypes as collection
from fer_batch.pipeline.partition.class_prototypes import publish_class_prototypes
from fer_batch.pipeline.partition.heatmaps import publish_heatmaps
from fer_batch.pipeline.partition.stage import PublishedStages, StageWork
from fer_batch.spray import affinity
from fer_batch.storage.manifest import SHARDS
from fer_batch.storage.markers import ShardMarker
from fer_batch.storage.parquet import Partition, pack_maps, read, rows_of, unpack_maps
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
    """The sums of some shards of inputs with one map each, named s000.. in the order given."""
    values, scale = pack_maps(maps)
    order = np.arange(len(maps)) if order is None else order
    for index, rows in enumerate(np.array_split(order, n_shards)):
        name = f"shard{index:02d}"
        with SumsWriter(store, name, each=False) as writer:
            for i in rows:
                data = one_frame(f"s{i:03d}", kinds[i])
                own = SequenceSums(data, ACCUMULATORS)
                own.add([(0, targets[i])], [values[i] * scale[i]])
                writer.add(own.rows())
        marker = ShardMarker(
            shard=name, partition=PARTITION, analysis_id="a", units=(), counts={}, keep_relevance="prototypes"
        )
        store.put(f"{SHARDS}/{name}.json", marker.to_json())


def one_frame(sequence_id, kind):
    nothing = np.zeros((1, 1), np.float32)
    pairs = np.zeros((1, 2), np.int64)
    frames = rows_of("frames", [{"sequence_id": sequence_id, "frame_index": 0, "status": "ok"}])
    row = {"sequence_id": sequence_id, "kind": kind}
    return SequenceData(row, frames, np.zeros(1, np.int64), nothing, nothing, pairs, nothing[0], None)


def publish(store, **options):
    shards = tuple(PublishedStages(store, PARTITION).shards)
    job = {"name": "d", "source": {"uri": "in"}, "output": store.uri, "model": {"checkpoint": "demo"}, "spray": options}
    config, compute = build(job, "job"), compute_with("threads", 2)
    work = StageWork(store, PARTITION, config, shards, ("happy",), {}, 0, compute)
    publish_heatmaps(work)
    publish_class_prototypes(work)
    keys = {"dataset": PARTITION.dataset, "model": PARTITION.model, "explain": PARTITION.explain}
    return tuple(read(store, table, **keys) for table in ("class_prototypes", "heatmaps"))


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


GROUPS = np.array([0] * 20 + [1] * 12 + [2] * 8)


def test_clusters_of_a_class_have_members_means_and_exemplars(store):
    maps = blobs(GROUPS)
    maps[3] = np.nan
    write(store, maps, ["happy"] * 40, ["still"] * 40, 3)
    classes, heatmaps = publish(store)
    rows = sorted(classes.to_pylist(), key=lambda row: row["cluster"])
    assert [(row["target"], row["n_frames"], row["complete"]) for row in rows] == [
        ("happy", 19, True),
        ("happy", 12, True),
        ("happy", 8, True),
    ]
    assert len({row["analysis_id"] for row in rows}) == 1
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
    write(store, maps, ["a"] * 3 + ["b"] * 3, ["video"] * 3 + ["still"] * 3, 2)
    classes, heatmaps = publish(store)
    assert classes["target"].to_pylist() == ["b"]
    assert dict(zip(heatmaps["group"].to_pylist(), heatmaps["n"].to_pylist(), strict=True)) == {"a": 3, "b": 3}
    expected = maps[:3].mean(0)  # a map of 10 logits weighs more than one of 0.1 (methods H-3)
    np.testing.assert_allclose(unpack_maps(heatmaps)[0], expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("cap", [1000, 20])
def test_order_and_shards_change_nothing(tmp_path, monkeypatch, cap):
    monkeypatch.setattr(collection, "CLASS_MAPS", cap)
    found = []
    for index, n_shards in enumerate((1, 4)):
        store = Store(str(tmp_path / str(index)))
        order = np.random.default_rng(index).permutation(40)
        write(store, blobs(GROUPS), ["x", "y"] * 20, ["still"] * 40, n_shards, order)
        monkeypatch.setattr(collection, "GATHERED_MAPS", cap * (1 + index))  # one class at a time, or both
        rows = publish(store)[0].drop_columns(["relevance", "scale"]).to_pylist()
        found.append(rows)
    assert found[0] == found[1]


def test_beyond_the_cap_a_sample_is_clustered_and_the_others_join(store, monkeypatch):
    groups = np.repeat([0, 1], [300, 100])
    write(store, blobs(groups), ["x"] * 400, ["still"] * 400, 3)
    monkeypatch.setattr(collection, "CLASS_MAPS", 100)
    seen = []
    whole = collection.spray.cluster
    monkeypatch.setattr(collection.spray, "cluster", lambda maps, **o: seen.append(len(maps)) or whole(maps, **o))
    classes, _ = publish(store)
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
    write(store, blobs(np.zeros(1, int)), ["x"], ["still"], 1)
    (row,) = publish(store)[0].to_pylist()
    assert (row["n_clusters"], row["n_clustered"], row["eigengap"], row["silhouette"]) == (1, 1, None, None)


def test_options_reach_the_clustering(store):
    write(store, blobs(GROUPS), ["x"] * 40, ["still"] * 40, 1)
    assert publish(store, max_clusters=1)[0].num_rows == 1
