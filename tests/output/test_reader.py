"""One reader: the same rows by shard, by sequence, by column, in pieces, and from files of an earlier version."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fer_batch.output import table_file
from fer_batch.output.reader import PartitionReader, partitions
from fer_batch.storage import parquet
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

HERE, OTHER = Partition("d", "m", "e"), Partition("d", "m", "f")
MOMENT = pa.timestamp("us", tz="UTC")
EMPTY = {pa.string(): "", pa.int32(): 0, pa.int64(): 0, pa.bool_(): False, MOMENT: 0}  # of columns that may not be NULL
TARGETS = ["AU12", "AU04", "AU01"]  # the order of the network, not that of their names


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


def put(store, partition, table, rows, file="s-0.parquet"):
    required = {field.name: EMPTY[field.type] for field in SCHEMAS[table] if not field.nullable}
    rows = [{**required, **row} for row in rows]
    store.put(f"{partition.folder(table)}/{file}", encode(rows_of(table, rows), {"head": "softmax"}))


def detections(sequence_id, n_frames):
    return [
        {"sequence_id": sequence_id, "frame_index": frame, "target": target, "logit": float(frame)}
        for frame in range(n_frames)
        for target in TARGETS
    ]


def publish(store, partition=HERE, file="s-0.parquet", **frames):
    put(store, partition, "sequences", [{"sequence_id": name, "status": "done"} for name in frames], file)
    put(store, partition, "detections", [row for name, n in frames.items() for row in detections(name, n)], file)


def test_partitions_are_those_with_sequences(store):
    publish(store, OTHER, a=1)
    publish(store, HERE, a=1)
    put(store, Partition("d", "m", "g"), "runs", [{"run_id": "r"}])
    assert partitions(store) == [HERE, OTHER]


def test_targets_are_in_the_order_of_the_network_whatever_has_maps(store):
    publish(store, HERE, "s-0.parquet", none=0)
    publish(store, HERE, "s-1.parquet", a=2)
    put(store, HERE, "prototypes", [{"sequence_id": "a", "target": name} for name in ("AU01", "AU12")], "s-1.parquet")
    assert PartitionReader(store, HERE).targets() == TARGETS
    assert PartitionReader(store, OTHER).targets() == []


@pytest.mark.parametrize("keep_bytes", [1, 1 << 30])
def test_rows_of_a_sequence_are_those_of_the_table_however_row_groups_are_cut(store, keep_bytes, monkeypatch):
    monkeypatch.setattr(table_file, "KEEP_BYTES", keep_bytes)
    monkeypatch.setattr(parquet, "ROW_GROUP", 5)
    publish(store, b=4, a=3, none=0)
    shard = PartitionReader(store, HERE).shard("s-0.parquet")
    assert [row["sequence_id"] for row in shard.sequences] == ["a", "b", "none"]
    for name in ("a", "b", "none", "never seen"):
        columns = ("target", "frame_index", "sequence_id")
        whole = shard.table("detections", columns, pc.field("sequence_id") == name)
        found = shard.of(name)("detections", columns)
        assert found.schema.equals(whole.schema)
        assert found.to_pylist() == whole.to_pylist()


def test_a_sequence_whose_rows_do_not_lie_together_has_all_of_them(store):
    put(store, HERE, "detections", [*detections("a", 1), *detections("b", 1), *detections("a", 2)])
    found = PartitionReader(store, HERE).shard("s-0.parquet").of("a")("detections", ["frame_index"])
    assert found["frame_index"].to_pylist() == [0, 0, 0, 0, 0, 0, 1, 1, 1]


def test_pieces_are_the_table(store, monkeypatch):
    monkeypatch.setattr(parquet, "ROW_GROUP", 4)
    publish(store, a=3)
    shard = PartitionReader(store, HERE).shard("s-0.parquet")
    pieces = list(shard.batches("detections", ["logit", "target"], 5))
    assert [piece.num_rows for piece in pieces] == [5, 4]
    assert pa.concat_tables(pieces).to_pylist() == shard.table("detections", ["logit", "target"]).to_pylist()
    assert list(shard.batches("prototypes", ["target"], 5)) == []


def test_a_table_that_the_shard_has_not_is_without_rows_and_has_its_types(store):
    publish(store, a=1)
    shard = PartitionReader(store, HERE).shard("s-0.parquet")
    for found in (shard.of("a")("stages", ["n_frames", "text"]), shard.table("stages", ["n_frames", "text"])):
        assert found.num_rows == 0
        assert found.schema.types == [pa.int64(), pa.string()]
    assert (shard.count("stages"), shard.count("detections")) == (0, 3)
    assert (shard.metadata("stages"), shard.metadata("detections")[b"head"]) == ({}, b"softmax")


def test_a_column_that_an_older_file_lacks_is_null_by_every_way_of_reading(store):
    rows = rows_of("detections", detections("a", 1)).drop_columns(["conservation", "cluster"])
    store.put(f"{HERE.folder('detections')}/s-0.parquet", encode(rows))
    put(store, HERE, "detections", detections("b", 1), "s-1.parquet")
    reader, columns = PartitionReader(store, HERE), ["cluster", "target", "conservation"]
    shard = reader.shard("s-0.parquet")
    expected = [{"cluster": None, "target": name, "conservation": None} for name in TARGETS]
    assert shard.of("a")("detections", columns).to_pylist() == expected
    assert shard.table("detections", columns).to_pylist() == expected
    assert [row for piece in shard.batches("detections", columns, 2) for row in piece.to_pylist()] == expected
    assert reader.table("detections", columns).to_pylist() == expected * 2


def test_only_files_of_the_partition_are_listed(store, monkeypatch):
    publish(store, HERE, a=1)
    publish(store, OTHER, a=2)
    walked = []
    walk = Store.walk
    monkeypatch.setattr(Store, "walk", lambda self, folder, *rest: walked.append(folder) or walk(self, folder, *rest))
    found = PartitionReader(store, OTHER).table("detections", where=pc.field("target") == "AU04")
    assert [row["explain"] for row in found.to_pylist()] == ["f", "f"]
    assert walked == [folder := OTHER.folder("detections"), f"_files/{folder}"]
