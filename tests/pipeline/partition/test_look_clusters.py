"""Which clusters of a shard are waiting for a look, and the sample that does not depend on shards."""

import numpy as np
import pytest

from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.partition.look_clusters import Unjoined, faces_of, pieces, subjects, targets_of, unjoined
from fer_batch.spray.looks import Looks
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store

HERE = Partition("d", "m-1", "e-1")


def test_the_sample_is_that_of_the_smallest_keys_in_any_order_and_sharding():
    rng = np.random.default_rng(0)
    keys = [f"{i:03d}" for i in range(90)]
    samples = []
    for n_parts in (1, 4, 9):
        whole = Unjoined(7)
        for part in np.array_split(rng.permutation(90), n_parts):
            own = Unjoined(7)
            for i in part:
                own.add(keys[i], f"p{i}", np.full(2, i, np.float32))
            whole.take(own)
        rows, people = whole.sample()
        samples.append((whole.n, rows[:, 0].tolist(), people))
    assert samples == [(90, list(range(7)), [f"p{i}" for i in range(7)])] * 3


def test_the_sample_holds_its_own_rows_alone():
    """Views would keep the pieces of a whole collection in memory."""
    piece = np.zeros((1000, 980), np.float32)
    own = Unjoined(5)
    for i in range(5):
        own.add(str(i), "p", piece[i])
    assert all(row.base is None for _, _, row in own._kept)


@pytest.fixture
def store(tmp_path):
    """A shard of three clusters: two on the standard face, one without landmarks."""
    store = Store(str(tmp_path))
    names = ("a.mp4", "b.mp4", "c.mp4")
    sequences = [
        {"sequence_id": name, "status": "done", "run_id": "r", "subject_id": subject}
        for name, subject in zip(names, ("s1", "s1", None), strict=True)
    ]
    crop = {"height": 56, "width": 56, "scale": 2.0, "relevance": np.ones(56 * 56, np.float32), "n_frames": 3}
    rows = []
    for i, name in enumerate(names):
        face = np.zeros((35, 28), np.float32)
        face[10 * i : 10 * i + 5] = 1.0
        standard = {
            "standard_height": 35,
            "standard_width": 28,
            "standard_scale": 1e-3,
            "standard_relevance": face.ravel(),
        }
        key = {"sequence_id": name, "target": "AU01", "cluster": "A", "exemplar_frame": i}
        rows.append(key | crop | (standard if i < 2 else {}))
    rows.append({"sequence_id": "c.mp4", "target": "AU04", "cluster": "B", "exemplar_frame": 7} | crop)
    for table, own in (("sequences", sequences), ("prototypes", rows)):
        store.put(f"{HERE.folder(table)}/s.parquet", encode(rows_of(table, own)))
    return store


def test_targets_without_any_landmarks_are_compared_in_the_crop(store):
    found = faces_of(store.uri, "s", HERE)
    assert found == {"AU01": True, "AU04": False}
    assert targets_of([found, {"AU04": False, "AU09": True}]) == {
        "AU01": "standard",
        "AU04": "crop",
        "AU09": "standard",
    }


def test_pieces_have_maps_over_their_mass_and_directions(store):
    reader = PartitionReader(store, HERE).shard("s.parquet")
    first, second = pieces(reader, {"AU01": "standard", "AU04": "crop"})
    assert (first.target, [name.sequence_id for name in first.names], first.exemplars) == (
        "AU01", ["a.mp4", "b.mp4", "c.mp4"], [0, 1, 2]
    )  # fmt: skip
    assert first.defined.tolist() == [True, True, False]
    np.testing.assert_allclose(first.maps[:2].sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(first.rows, axis=1), [1, 1, 0], atol=1e-6)
    assert second.maps.shape == (1, 28, 28), "averaged down"
    assert [one.target for one in pieces(reader, {"AU04": "crop"})] == ["AU04"]


def test_what_has_a_look_is_not_waiting(store):
    faces = {"AU01": "standard", "AU04": "crop"}
    none = dict.fromkeys(faces, Looks.none())
    found = unjoined(store.uri, "s", HERE, faces, none, 10)
    assert {target: own.n for target, own in found.items()} == {"AU01": 2, "AU04": 1}
    rows, people = found["AU01"].sample()
    assert people == ["subject s1", "subject s1"]
    known = none | {"AU01": Looks.none().and_then(rows[:1], np.array([0.01]))}
    assert unjoined(store.uri, "s", HERE, faces, known, 10)["AU01"].n == 1


def test_a_sequence_without_a_subject_is_a_person_by_itself(store):
    reader = PartitionReader(store, HERE).shard("s.parquet")
    assert subjects(reader) == {"a.mp4": "subject s1", "b.mp4": "subject s1", "c.mp4": "sequence c.mp4"}
