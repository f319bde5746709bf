"""Stage files give back what was put in, for chunks of every kind."""

import numpy as np
import pytest

from fer_batch.storage.parquet import pack_maps
from fer_batch.storage.stage import LIGHT, read_stage, stage_bytes

RNG = np.random.default_rng(0)


def frame(index, status="ok"):
    return {"sequence_id": "a", "frame_index": index, "timestamp_ns": index * 40_000_000, "status": status}


def make(statuses, pairs, n_outputs=3, side=4, jpeg=True):
    ok = np.flatnonzero(np.array(statuses) == "ok")
    k, m = len(ok), len(pairs)
    given = {
        "frames": [frame(i, status) for i, status in enumerate(statuses)],
        "ok": ok,
        "jpegs": [f"jpeg{i}".encode() if jpeg else None for i in range(k)],
        "logits": RNG.standard_normal((k, n_outputs)).astype(np.float32),
        "probability": RNG.random((k, n_outputs)).astype(np.float32),
        "pairs": np.array(pairs, np.int64).reshape(-1, 2),
        "relevance": RNG.standard_normal((m, side, side)).astype(np.float32),
        "conservation": RNG.random(m).astype(np.float32),
    }
    return given, read_stage(stage_bytes(**given, metadata={"decoder": "x"}))


@pytest.mark.parametrize(
    ("statuses", "pairs"),
    [
        (["ok", "ok"], [(0, 0), (0, 2), (1, 1)]),
        (["no_face", "ok", "decode_error", "ok", "ok"], [(1, 2), (2, 0)]),
        (["ok", "no_face"], []),
    ],
    ids=["all ok", "mixed", "nothing explained"],
)
def test_round_trip(statuses, pairs):
    given, table = make(statuses, pairs)
    assert table["status"].to_pylist() == statuses
    per_frame = dict.fromkeys(range(len(statuses)), ())
    for row, output in pairs:
        at = int(given["ok"][row])
        per_frame[at] = (*per_frame[at], output)
    assert [tuple(v) for v in table["explained"].to_pylist()] == list(per_frame.values())
    for name in ("logits", "probability"):
        rows = [v for v in table[name].to_pylist() if v]
        np.testing.assert_array_equal(np.array(rows, np.float32), given[name])
        assert [bool(v) for v in table[name].to_pylist()] == [status == "ok" for status in statuses]
    values, scale = pack_maps(given["relevance"])
    np.testing.assert_array_equal(np.concatenate(table["relevance"].to_pylist()).astype(np.float32), values.ravel())
    np.testing.assert_array_equal(np.concatenate(table["scale"].to_pylist()).astype(np.float32), scale)
    crops = [jpeg for jpeg in table["crop_jpeg"].to_pylist() if jpeg is not None]
    assert crops == given["jpegs"]


def test_a_chunk_without_an_ok_frame():
    _, table = make(["no_face", "decode_error"], [])
    assert table["explained"].to_pylist() == [[], []]
    assert table["relevance"].to_pylist() == [[], []]
    assert table["crop_jpeg"].to_pylist() == [None, None]


def test_undefined_is_null():
    given, _ = make(["ok"], [(0, 0), (0, 1)])
    given["relevance"][1, 0, 0] = np.nan
    given["conservation"][1] = np.nan
    given["logits"][0, 2] = np.nan
    table = read_stage(stage_bytes(**given, metadata={}))
    assert table["scale"][0].as_py()[1] is None
    assert table["relevance"][0].as_py()[16:] == [None] * 16
    assert table["conservation"][0].as_py()[1] is None
    assert table["logits"][0].as_py()[2] is None


def test_light_leaves_pixels_and_maps_out():
    given, _ = make(["ok"], [(0, 0)], jpeg=False)
    table = read_stage(stage_bytes(**given, metadata={}), light=True)
    assert table.column_names == LIGHT
    assert {"crop_jpeg", "relevance"}.isdisjoint(table.column_names)


def test_a_frame_number_of_64_bits_passes():
    given, _ = make(["ok"], [])
    given["frames"][0]["source_frame"] = 2**63 - 1
    assert read_stage(stage_bytes(**given, metadata={}))["source_frame"].to_pylist() == [2**63 - 1]
