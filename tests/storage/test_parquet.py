"""Maps keep their values, undefined becomes NULL, and files are whole."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fer_batch.storage.parquet import (
    Partition,
    decode,
    encode,
    pack_maps,
    read,
    rows_of,
    table_of,
    unpack_maps,
    without_nan,
)
from fer_batch.storage.store import Store
from fer_batch.storage.tables import PARTITIONS, SCHEMAS
from fer_batch.storage.writing import TableWriter

SIZES = np.array([1e-6, 1, 3, 40, 1e7], np.float32)


@pytest.fixture
def maps():
    return np.random.default_rng(0).standard_normal((5, 28, 28)).astype(np.float32) * SIZES[:, None, None]


def map_rows(maps):
    values, scale = pack_maps(maps)
    n, height, width = values.shape
    return table_of(
        "relevance",
        {
            "sequence_id": ["a"] * n,
            "frame_index": np.arange(n),
            "target": ["AU01"] * n,
            "height": [height] * n,
            "width": [width] * n,
            "scale": scale,
            "relevance": [None if np.isnan(s) else v.ravel() for v, s in zip(values, scale, strict=True)],
        },
    )


def test_packed_maps_are_within_2e_4(maps):
    back = np.stack(unpack_maps(decode(encode(map_rows(maps)))))
    error = np.linalg.norm(back - maps, axis=(1, 2)) / np.linalg.norm(maps, axis=(1, 2))
    assert error.max() < 3e-4
    assert error.max() > 1e-5, "ten bits of mantissa are kept, not all"


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, (2, 3, 3), elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)))
def test_packing_twice_equals_packing_once(maps):
    values, scale = pack_maps(maps)
    again, scale_again = pack_maps(values * scale[:, None, None])
    np.testing.assert_array_equal(again, values)
    np.testing.assert_array_equal(scale_again, scale)


def test_zero_and_undefined_maps():
    maps = np.zeros((3, 2, 2), np.float32)
    maps[1, 0, 0] = np.nan
    maps[2, 0, 0] = np.inf
    values, scale = pack_maps(maps)
    np.testing.assert_array_equal(scale, [0, np.nan, np.nan])
    np.testing.assert_array_equal(values[0], 0)
    assert np.isnan(values[1:]).all()
    empty, none = pack_maps(np.zeros((0, 4, 4)))
    assert empty.shape == (0, 4, 4)
    assert none.shape == (0,)


def test_an_undefined_map_is_null_in_the_file_and_nan_in_arrays():
    maps = np.ones((2, 2, 2), np.float32)
    maps[1] = np.nan
    table = decode(encode(map_rows(maps)))
    assert table["scale"].to_pylist() == [1.0, None]
    assert table["relevance"].to_pylist() == [[1.0] * 4, None]
    one, other = unpack_maps(table)
    np.testing.assert_array_equal(one, 1)
    assert np.isnan(other).all()


def test_no_nan_reaches_a_file_by_any_way(tmp_path):
    store = Store(str(tmp_path))
    rows = rows_of(
        "temporal_prototypes", [{"sequence_id": "a", "reduction": float("nan")}, {"sequence_id": "b", "reduction": 0.5}]
    )
    frames = rows_of(
        "frames", [{"sequence_id": "a", "frame_index": 0, "status": "ok", "face_box": [1.0, float("nan")]}]
    )
    assert decode(encode(rows))["reduction"].to_pylist() == [None, 0.5]
    with TableWriter(store, "f.parquet", "frames") as writer:
        writer.write(frames)
    assert decode(store.read_bytes("f.parquet"))["face_box"].to_pylist() == [[1.0, None]]
    assert without_nan(rows).schema == rows.schema
    detections = table_of(
        "detections",
        {"sequence_id": ["a"], "frame_index": [0], "target": ["AU01"], "mu": np.array([np.nan], np.float32)},
    )
    assert detections["mu"].to_pylist() == [None]


def test_an_unknown_column_is_refused():
    with pytest.raises(KeyError, match="no column"):
        table_of("detections", {"sequence_id": ["a"], "proability": [1.0]})


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_an_absent_table_is_empty_with_its_columns(name, tmp_path):
    table = read(Store(str(tmp_path)), name)
    assert table.num_rows == 0
    assert table.column_names == [*SCHEMAS[name].names, *PARTITIONS[name]]


def test_read_finds_partitions_and_only_what_is_asked(tmp_path):
    store = Store(str(tmp_path))
    for model in ("m-1", "m-2"):
        partition = Partition("2024", model, "e-1")
        store.put(
            f"{partition.folder('sequences')}/s.parquet",
            encode(rows_of("sequences", [{"sequence_id": model, "status": "done", "run_id": "r"}])),
        )
    assert read(store, "sequences").num_rows == 2
    row = read(store, "sequences", model="m-2").to_pylist()[0]
    assert (row["sequence_id"], row["dataset"], row["model"], row["explain"]) == ("m-2", "2024", "m-2", "e-1")
    assert read(store, "sequences", dataset="other").num_rows == 0


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_rows_written_one_by_one_become_few_row_groups(scheme, tmp_path):
    store = Store(f"{scheme}{tmp_path}")
    with TableWriter(store, "t/a.parquet", "stages", {"seed": "0", "key": {"a": 1}}) as writer:
        for index in range(1500):
            writer.write(
                rows_of("stages", [{"sequence_id": f"s{index}", "stage_index": 0, "labels": ["AU01_A"], "text": "x"}])
            )
        writer.write(rows_of("stages", []))
    file = pq.ParquetFile(pa.BufferReader(store.read_bytes("t/a.parquet")))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [1024, 476]
    assert file.read()["sequence_id"].to_pylist() == [f"s{index}" for index in range(1500)]
    assert file.schema_arrow.metadata[b"key"] == b'{"a": 1}'


def test_a_writer_without_rows_writes_an_empty_table(tmp_path):
    store = Store(str(tmp_path))
    with TableWriter(store, "a.parquet", "prototypes"):
        pass
    assert decode(store.read_bytes("a.parquet")).num_rows == 0


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    store = Store(str(tmp_path))
    nullable = pa.schema([pa.field(field.name, field.type) for field in SCHEMAS["stages"]])

    def write(*tables):
        with TableWriter(store, "t/a.parquet", "stages") as writer:
            for table in tables:
                writer.write(table)
            raise RuntimeError("analysis")

    with pytest.raises(RuntimeError, match="analysis"):
        write(rows_of("stages", [{"sequence_id": "s", "stage_index": 0}]))
    with pytest.raises(ValueError, match="null"):
        write(pa.Table.from_pylist([{"stage_index": 0}], schema=nullable))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
