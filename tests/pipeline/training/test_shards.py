"""Crops of many units become one array and one table of rows."""

import numpy as np
import pyarrow as pa

from fer_batch.pipeline.training.shards import ROWS, Crops, write_shard
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store


def put_unit(store, name, values):
    images = np.array(values, np.uint8).repeat(2 * 2 * 3)
    store.put(f"c/units/{name}.u8", images.tobytes())
    rows = [{"dataset": "a", "sequence_id": name, "frame_index": i} for i in range(len(values))]
    store.put(f"c/units/{name}.parquet", encode(pa.Table.from_pylist(rows, ROWS)))


def test_units_follow_one_another_and_those_without_crops_take_no_place(tmp_path):
    store = Store(str(tmp_path))
    put_unit(store, "u1", [1, 2])
    put_unit(store, "none", [])
    put_unit(store, "u2", [3])
    write_shard(store.uri, "c", "shard", ["u1", "none", "u2"], 2)
    crops = Crops("c", ("shard",), 2)
    (path,) = crops.files(store)
    images = np.load(path)
    assert (images.shape, images.dtype) == ((3, 2, 2, 3), np.uint8)
    assert images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert crops.rows(store)["sequence_id"].to_pylist() == ["u1", "u1", "u2"]


def test_a_shard_without_any_crop_can_be_read(tmp_path):
    store = Store(str(tmp_path))
    put_unit(store, "none", [])
    write_shard(store.uri, "c", "shard", ["none"], 2)
    crops = Crops("c", ("shard",), 2)
    assert np.load(crops.files(store)[0]).shape == (0, 2, 2, 3)
    assert crops.rows(store).num_rows == 0
