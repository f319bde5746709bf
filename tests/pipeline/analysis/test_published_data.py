"""A published shard gives what its stage files gave."""

import json

import numpy as np
import pytest

from fer_batch.output import table_file
from fer_batch.pipeline.analysis.published_data import published_shard
from fer_batch.pipeline.analysis.sequence import analyse
from fer_batch.storage import parquet


@pytest.mark.parametrize("keep_bytes", [1, 1 << 30])
def test_published_tables_hold_all_that_stage_files_did(world, golden, keep_bytes, monkeypatch):
    monkeypatch.setattr(table_file, "KEEP_BYTES", keep_bytes)
    monkeypatch.setattr(parquet, "ROW_GROUP", 10)
    for index, name in enumerate(("a", "b", "it's #1 ü%")):
        active, maps = golden.make(np.random.default_rng(index))
        if index == 1:
            maps[4, 0] = np.full_like(maps[4, 0], np.nan)
        world.stage(name, active, maps, missing={2, 9} if index == 1 else ())
    fresh = {}
    for path in world.store.names("_commits"):
        commit = json.loads(world.store.read_bytes(f"_commits/{path}"))
        ((row, data),) = world.staged(commit)
        maps = np.concatenate(list(data.maps(np.arange(len(data.pairs)))))
        fresh[row["sequence_id"]] = (data, maps, analyse(data, world.options().analysis))
    world.publish(size=16)
    (undefined,) = [row for row in world.rows("relevance") if row["scale"] is None]
    assert (undefined["sequence_id"], undefined["frame_index"], undefined["relevance"]) == ("b", 4, None)
    (shard,) = (name.removesuffix(".json") for name in world.store.names("_shards"))
    again = {
        row["sequence_id"]: data for row, data in published_shard(world.store, world.partition, shard, golden.targets)
    }
    assert set(again) == set(fresh)
    for name, (data, maps, tables) in fresh.items():
        other = again[name]
        for field in ("ok", "logits", "probability", "pairs", "conservation", "frame_index"):
            np.testing.assert_array_equal(getattr(other, field), getattr(data, field), err_msg=field)
        np.testing.assert_array_equal(np.concatenate(list(other.maps(np.arange(len(other.pairs))))), maps)
        for table, rows in analyse(other, world.options().analysis).items():
            assert rows.equals(tables[table]), f"{name}: {table}"
