"""Published files in Iceberg tables: what a reader of the catalogue counts is what the output holds."""

import json

import duckdb
import pyarrow as pa
import pytest

pytest.importorskip("pyiceberg", reason="the extra `iceberg` is not installed")

from pyiceberg.catalog import load_catalog

from fer_batch import cli
from fer_batch.output import iceberg
from fer_batch.output.query import connect
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.published import withdraw_file
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table
from fer_batch.types import InputError

ONE, OTHER = Partition("day", "m-1", "e-1"), Partition("day", "007", "e-1")


def put(store, partition, file, n, status="ok"):
    rows = [{"sequence_id": f"{file}.mp4", "frame_index": k, "status": status} for k in range(n)]
    put_table(store, f"{partition.folder('frames')}/{file}.parquet", rows_of("frames", rows))


@pytest.fixture
def store(tmp_path):
    """Two partitions of table `frames`, one of them with a file without rows, and one table by dataset alone."""
    store = Store(str(tmp_path / "out"))
    put(store, ONE, "a", 3)
    put(store, ONE, "b", 0)
    put(store, OTHER, "a", 4)
    labels = rows_of("annotations", [{"sequence_id": "a.mp4", "frame_index": 0, "target": "AU01"}])
    put_table(store, f"{ONE.folder('annotations')}/a.parquet", labels)
    return store


@pytest.fixture
def catalogue(tmp_path):
    return f"sqlite:///{tmp_path}/catalogue.db"


def table(catalogue, name="frames"):
    return load_catalog("fer_batch", uri=catalogue).load_table(("fer_batch", name))


COUNTS = "SELECT dataset, model, explain, status, count(*) FROM {} GROUP BY ALL ORDER BY ALL"


def assert_same_counts(store, catalogue):
    frames = table(catalogue).scan().to_arrow()
    registered = duckdb.connect().register("registered", frames).execute(COUNTS.format("registered")).fetchall()
    assert registered == connect(store).execute(COUNTS.format("frames")).fetchall()


def test_readers_count_what_the_output_holds_with_its_keys(store, catalogue):
    found = {one.table: one for one in iceberg.publish(store, catalogue)}
    assert (found["frames"].n_files, found["frames"].n_rows) == (2, 7), "a file without rows is none"
    assert_same_counts(store, catalogue)
    one = table(catalogue).scan(row_filter="model == '007'")
    assert [task.file.record_count for task in one.plan_files()] == [4], "a key in the filter opens its partition alone"
    assert set(one.to_arrow()["model"].to_pylist()) == {"007"}
    assert table(catalogue, "annotations").scan().to_arrow()["dataset"].to_pylist() == ["day"]


def test_twice_changes_nothing(store, catalogue):
    iceberg.publish(store, catalogue)
    again = iceberg.publish(store, catalogue)
    assert not any(one.n_added or one.n_removed for one in again)
    assert len(table(catalogue).snapshots()) == 1
    assert_same_counts(store, catalogue)


def test_new_changed_and_withdrawn_files_come_with_one_snapshot(store, catalogue):
    iceberg.publish(store, catalogue)
    put(store, ONE, "a", 3, status="no_face")  # the same name and the same number of rows
    put(store, ONE, "c", 5)
    withdraw_file(store, f"{OTHER.folder('frames')}/a.parquet")
    (frames,) = [one for one in iceberg.publish(store, catalogue) if one.table == "frames"]
    assert (frames.n_added, frames.n_removed, frames.n_files, frames.n_rows) == (2, 2, 2, 8)
    assert len(table(catalogue).snapshots()) == 2
    assert_same_counts(store, catalogue)
    for name in ("a", "b", "c"):
        withdraw_file(store, f"{ONE.folder('frames')}/{name}.parquet")
    assert [one.n_rows for one in iceberg.publish(store, catalogue) if one.table == "frames"] == [0]
    assert table(catalogue).scan().to_arrow().num_rows == 0


def test_a_kill_between_the_snapshot_and_its_record_registers_nothing_twice(store, catalogue):
    iceberg.publish(store, catalogue)
    store.delete(f"{iceberg.FOLDER}/registered")
    iceberg.publish(store, catalogue)
    assert_same_counts(store, catalogue)
    assert iceberg.publish(store, catalogue)[0].n_added == 0


def test_two_publishes_at_once_register_no_file_twice(store, catalogue, monkeypatch):
    read, others = iceberg._data_file, iter([lambda: iceberg.publish(store, catalogue)])

    def while_another_publishes(*args):
        next(others, lambda: None)()
        return read(*args)

    monkeypatch.setattr(iceberg, "_data_file", while_another_publishes)
    with pytest.raises(
        InputError, match=r"another publish changed Iceberg table fer_batch\.\w+ meanwhile; publish again"
    ):
        iceberg.publish(store, catalogue)
    assert_same_counts(store, catalogue)
    iceberg.publish(store, catalogue)
    assert_same_counts(store, catalogue)


def test_a_file_that_an_earlier_version_registered_twice_is_once_again(store, catalogue):
    iceberg.publish(store, catalogue)
    frames = table(catalogue)
    with frames.transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "4"})
        with transaction.update_snapshot().fast_append() as snapshot:
            snapshot.append_data_file(next(iter(frames.scan().plan_files())).file)
    (record,) = [one.path for one in store.walk("") if one.path.endswith("/frames.json")]
    state = json.loads(store.read_bytes(record))
    store.put(record, json.dumps(state | {"snapshot": table(catalogue).current_snapshot().snapshot_id}).encode())
    iceberg.publish(store, catalogue)
    assert_same_counts(store, catalogue)
    assert table(catalogue).properties["commit.retry.num-retries"] == "0", "of a table that was there"


def test_columns_that_came_later_are_added(store, catalogue, monkeypatch):
    older = pa.schema([field for field in iceberg.SCHEMAS["frames"] if field.name != "reason"])
    put(store, ONE, "d", 0)
    with monkeypatch.context() as patch:
        patch.setattr(iceberg, "SCHEMAS", {**iceberg.SCHEMAS, "frames": older})
        for partition, name in ((ONE, "a"), (ONE, "b"), (OTHER, "a")):  # these files have the column
            withdraw_file(store, f"{partition.folder('frames')}/{name}.parquet")
        (frames,) = [one for one in iceberg.publish(store, catalogue) if one.table == "frames"]
        assert frames.n_files == 0
    put(store, ONE, "d", 2)
    iceberg.publish(store, catalogue)
    assert "reason" in table(catalogue).scan().to_arrow().column_names
    assert_same_counts(store, catalogue)


def test_tables_of_another_output_are_refused(store, catalogue, tmp_path, capsys):
    iceberg.publish(store, catalogue)
    other = Store(str(tmp_path / "other"))
    put(other, ONE, "a", 1)
    with pytest.raises(InputError, match=r"fer_batch\.frames is of output .*out, not of .*other; choose another"):
        iceberg.publish(other, catalogue)
    assert cli.main(["publish", other.uri, "--iceberg", catalogue, "--namespace", "other"]) == 0
    assert "frames: 1 files added, 0 taken out; 1 files, 1 rows" in capsys.readouterr().out
    assert_same_counts(store, catalogue)


def test_files_that_somebody_else_added_are_refused(store, catalogue):
    iceberg.publish(store, catalogue)
    labels = table(catalogue, "annotations")
    labels.append(labels.scan().to_arrow().slice(0, 1))
    put(store, ONE, "c", 5)
    with pytest.raises(InputError, match=r"holds 1 files that are not of .*; choose another --namespace"):
        iceberg.publish(store, catalogue)
    assert table(catalogue).scan().to_arrow().num_rows == 7, "no table before it is changed"


def test_a_catalogue_that_does_not_open_is_one_sentence(store):
    with pytest.raises(InputError, match=r"^the Iceberg catalogue 'nowhere' does not open: "):
        iceberg.publish(store, "nowhere")
    with pytest.raises(InputError, match=r"one level of letters, digits and '_', got 'lab\.faces'"):
        iceberg.publish(store, "nowhere", "lab.faces")
    nothing = Store(f"{store.uri}-typo")
    with pytest.raises(InputError, match="-typo' holds no tables; name the output of a run"):
        iceberg.publish(nothing, "sqlite://")
    assert not nothing.exists("")
