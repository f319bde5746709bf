"""A table that gains a column reads files from before: NULL there, or what the column says it was."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_batch.output.query import connect
from fer_batch.storage.parquet import Partition, encode, read, rows_of, with_defaults
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMA_VERSION, SCHEMAS, comment, defaults, has_grown

GROWN = [name for name in SCHEMAS if has_grown(name)]


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "out"))


def older(table):
    """The table as the first version wrote it."""
    first = [field.name for field in table.schema if b"since" not in (field.metadata or {})]
    return table.select(first)


def test_every_gained_column_names_a_version_that_there_was():
    for name in GROWN:
        versions = [int(f.metadata[b"since"]) for f in SCHEMAS[name] if b"since" in (f.metadata or {})]
        assert all(1 < version <= SCHEMA_VERSION for version in versions), name
        assert "since schema" in " ".join(comment(field) for field in SCHEMAS[name])
    assert "patterns" in GROWN
    assert "frames" not in GROWN


@pytest.mark.parametrize("which", [["old"], ["old", "new"], ["new", "old"]], ids="-".join)
def test_files_of_two_versions_are_read_as_one(store, which):
    row = {"group": "all", "pattern": "(NONE)", "kind": "gapped", "support": 2}
    for index, version in enumerate(which):
        table = rows_of("patterns", [{**row, "letters": False, "longest": 7} if version == "new" else row])
        path = f"{Partition('d', 'm', f'e-{index}').folder('patterns')}/part.parquet"
        store.put(path, encode(table if version == "new" else older(table)))
    expected = [(True, None) if version == "old" else (False, 7) for version in which]
    rows = read(store, "patterns", columns=["letters", "longest", "explain"]).sort_by("explain").to_pylist()
    assert [(row["letters"], row["longest"]) for row in rows] == expected
    sql = "SELECT letters, longest FROM patterns ORDER BY explain"
    assert connect(store).execute(sql).fetchall() == expected


def test_what_a_column_was_is_filled_in_and_nothing_else():
    table = pa.table({"letters": pa.array([None, False]), "longest": pa.array([None, 3], pa.int32())})
    assert defaults("patterns") == {"letters": True, "mined": "sequences"}
    found = with_defaults("patterns", table)
    assert found.to_pydict() == {"letters": [True, False], "longest": [None, 3]}
    assert with_defaults("frames", pa.table({"fps": [None]})).to_pydict() == {"fps": [None]}


def test_the_version_is_in_every_file():
    data = encode(rows_of("frames", []))
    assert pq.read_schema(io.BytesIO(data)).metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()
