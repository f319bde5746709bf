"""Which crops are trained on."""

import pyarrow as pa

from fer_batch.pipeline.training.samples import read_samples, write_samples
from fer_batch.pipeline.training.shards import Crops
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store


def test_crops_without_a_target_are_left_out_where_the_job_says_so(job, tmp_path, capsys):
    rows = pa.table(
        {
            **{name: ["a"] * 3 for name in ("dataset", "subject_id", "sequence_id", "split", "emotion")},
            "frame_index": [0, 1, 2],
            "targets": [["AU01"], ["AU01"], ["AU02"]],
            "intensity": pa.array([[None]] * 3, pa.list_(pa.float32())),
            "occurrence": [[True], [False], [True]],
        }
    )
    store = Store(str(tmp_path))
    store.put("crops/shard.parquet", encode(rows))
    config = job(targets=["AU01"], labels={"only_present": True})
    assert write_samples(config, store, Crops("crops", ("shard",), 48), "kept") == ("AU01",)
    assert read_samples(store, "kept")["row"].to_pylist() == [0]
    assert "1 of 2 crops show no target and are left out" in capsys.readouterr().err
    write_samples(job(targets=["AU01"]), store, Crops("crops", ("shard",), 48), "all")
    assert read_samples(store, "all")["row"].to_pylist() == [0, 1]
