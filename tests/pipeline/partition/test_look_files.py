"""What looks make of one shard."""

import numpy as np
import pytest

from fer_batch.pipeline.partition.look_files import N_EXEMPLARS, LookMembers, LookOptions, publish_shard_looks
from fer_batch.spray.looks import Looks, directions
from fer_batch.storage.parquet import Partition, decode, encode, rows_of
from fer_batch.storage.store import Store

HERE = Partition("d", "m-1", "e-1")


def face(y):
    one = np.zeros((35, 28), np.float32)
    one[y : y + 5, 10:18] = 1.0
    return one


@pytest.fixture
def store(tmp_path):
    """AU01 at the top in clusters A and C of the first sequence and B of the second, A of that is at the bottom."""
    store = Store(str(tmp_path))
    clusters = [("a", "A", 4), ("a", "C", 4), ("b", "A", 26), ("b", "B", 4)]
    prototypes = [
        {"sequence_id": name, "target": "AU01", "cluster": letter, "n_frames": 2, "exemplar_frame": i,
         "standard_height": 35, "standard_width": 28, "standard_scale": 1.0, "standard_relevance": face(y).ravel()}
        for i, (name, letter, y) in enumerate(clusters)
    ]  # fmt: skip
    cells = [
        {"sequence_id": name, "frame_index": 2 * i + j, "target": "AU01", "cluster": letter, "mu": mu}
        for i, (name, letter, _) in enumerate(clusters)
        for j, mu in enumerate((0.2 * (i + 1), None))
    ]
    texts = [("a", "(AU01_A) -> (AU01_C) -> (NONE)"), ("b", "(AU01_A) -> (AU01_B)")]
    stories = [{"sequence_id": name, "text": text, "emotion": "fear", "n_frames": 4} for name, text in texts]
    people = [{"sequence_id": name, "subject_id": "s", "status": "done", "run_id": "r"} for name in "ab"]
    tables = {"prototypes": prototypes, "detections": cells, "temporal_prototypes": stories, "sequences": people}
    for table, rows in tables.items():
        store.put(f"{HERE.folder(table)}/s.parquet", encode(rows_of(table, rows)))
    return store


def publish(store):
    centres = directions(np.stack([face(26), face(4)]))[0]
    known = {"AU01": Looks.none().and_then(centres, np.full(2, 0.05))}
    return publish_shard_looks(store.uri, "s", HERE, LookOptions({"AU01": "standard"}, known, 3, ("AU01",), {}))


def rows(store, table):
    return decode(store.read_bytes(f"{HERE.folder(table)}/s.parquet")).to_pylist()


def test_every_cluster_has_its_look_and_every_prototype_its_text(store):
    publish(store)
    found = {(row["sequence_id"], row["cluster"]): row["look"] for row in rows(store, "cluster_looks")}
    assert found == {("a", "A"): 2, ("a", "C"): 2, ("b", "A"): 1, ("b", "B"): 2}
    assert {row["generation"] for row in rows(store, "cluster_looks")} == {3}
    assert max(row["distance"] for row in rows(store, "cluster_looks")) < 1e-6
    texts = {
        row["sequence_id"]: (row["text"], row["n_stages"], row["emotion"]) for row in rows(store, "look_prototypes")
    }
    assert texts == {"a": ("(AU01@2) -> (NONE)", 2, "fear"), "b": ("(AU01@1) -> (AU01@2)", 2, "fear")}


def test_members_of_a_look_are_counted_by_cluster_sequence_and_person(store):
    found = publish(store)
    top, bottom, all_looks = found["AU01", 2], found["AU01", 1], found["AU01", 0]
    assert (top.n_clusters, top.n_frames, top.n_sequences, top.people) == (3, 6, 2, {"subject s"})
    assert (bottom.n_clusters, bottom.n_sequences, all_looks.n_sequences) == (1, 1, 2)
    assert top.mu / top.n_mu == pytest.approx((0.2 + 0.4 + 0.8) / 3)
    assert [name for _, name in top.near] == ["a#0", "a#1", "b#3"]
    np.testing.assert_allclose(top.total, 3 * face(4) / face(4).sum(), rtol=1e-5)


def test_what_would_be_the_same_is_not_written_again(store):
    publish(store)
    before = {table: store.files(HERE.folder(table)) for table in ("cluster_looks", "look_prototypes")}
    publish(store)
    assert {table: store.files(HERE.folder(table)) for table in before} == before


def test_members_of_two_shards_add_up():
    one = LookMembers(1, 2, 1, {"a"}, np.ones((2, 2)), [(0.2, "a#1")], 0.5, 1)
    one.take(LookMembers(3, 4, 2, {"a", "b"}, np.ones((2, 2)), [(0.1, f"b#{i}") for i in range(9)], 1.0, 3))
    assert (one.n_clusters, one.n_frames, one.n_sequences, one.people, one.mu, one.n_mu) == (
        4,
        6,
        3,
        {"a", "b"},
        1.5,
        4,
    )
    one.take(LookMembers(n_alone=2))
    assert one.n_alone == 2
    assert one.near == [(0.1, f"b#{i}") for i in range(N_EXEMPLARS)]
    assert one.total.tolist() == [[2, 2], [2, 2]]
