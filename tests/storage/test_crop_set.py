import numpy as np
import pyarrow as pa
import pytest

from fer_batch.storage.crop_set import CropSet
from fer_batch.storage.manifest import dump
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store
from fer_batch.types import InputError

SIZE = 5


def crop_set(uri, counts=(3, 0, 2), seed=0):
    """A crop set with some crops a shard, and all of its pixels."""
    store, rng, parts = Store(uri), np.random.default_rng(seed), []
    for number, n in enumerate(counts):
        images = rng.integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)
        with store.staged(f"shard-{number:05d}.npy") as local, open(local, "wb") as file:
            np.lib.format.write_array(file, images)
        first = sum(counts[:number])
        frames = pa.array(range(first, first + n), pa.int64())
        store.put(f"shard-{number:05d}.parquet", encode(pa.table({"frame_index": frames})))
        parts.append(images)
    store.put("crops.json", dump({"shards": [f"shard-{n:05d}" for n in range(len(counts))], "size": SIZE}))
    return CropSet(uri), np.concatenate(parts)


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_any_crop_is_read_by_its_number(tmp_path, scheme):
    found, images = crop_set(f"{scheme}{tmp_path}")
    np.testing.assert_array_equal(found.images([4, 0, 2, 4]), images[[4, 0, 2, 4]])
    assert found.images([]).shape == (0, SIZE, SIZE, 3)
    assert found.table()["frame_index"].to_pylist() == [0, 1, 2, 3, 4]


def test_a_crop_knows_its_shard(tmp_path):
    found, _ = crop_set(str(tmp_path))
    assert [found.place(n) for n in range(5)] == [
        ("shard-00000", 0),
        ("shard-00000", 1),
        ("shard-00000", 2),
        ("shard-00002", 0),
        ("shard-00002", 1),
    ]
    with pytest.raises(ValueError, match="crops 0 to 4, got 5"):
        found.place(5)


def test_a_folder_without_crops_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no crop set: it has no file 'crops.json'"):
        CropSet(str(tmp_path))
