"""What a run looks at before it starts, and what the command says."""

import os
import time

import pytest

from fer_batch.output import verify as verify_module
from fer_batch.output import verify_files
from fer_batch.output.verify import check_present, repair, verify, verify_json, verify_text
from fer_batch.storage.heartbeat import Work, beating, read_signs
from fer_batch.storage.manifest import PLANS, Ledger
from fer_batch.storage.markers import ShardMarker, ShardPlan
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.published import FileState, recorded, shard_prefix
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table
from fer_batch.types import InputError

PARTITION = Partition("d", "m", "e")
N_SHARDS = 5


@pytest.fixture
def store(tmp_path):
    """Empty shards with two tables, and a table of the partition."""
    store = Store(str(tmp_path / "out"))
    for k in range(N_SHARDS):
        name = f"{shard_prefix(PARTITION.key)}-{k:05d}"
        none = {"units": (), "sequences": (), "annotations": {}, "replaces": {}, "replaces_annotations": {}}
        plan = ShardPlan(shard=name, partition=PARTITION, **none)
        data = {table: encode(rows_of(table, [])) for table in ("sequences", "frames")}
        files = {table: FileState.of(content, 0) for table, content in data.items()}
        marker = ShardMarker(shard=name, partition=PARTITION, analysis_id="x", units=(), counts={}, files=files)
        store.put(f"{PLANS}/{name}.json", plan.to_json())
        for table, content in data.items():
            store.put(marker.file(table), content)
        store.put(marker.path, marker.to_json())
    put_table(store, f"{PARTITION.folder('heatmaps')}/heatmaps.parquet", rows_of("heatmaps", []))
    return store


def test_a_start_lists_folders_and_asks_for_no_file(store, monkeypatch):
    ledger, asked = Ledger(store), []
    for name in ("files", "walk"):
        method = getattr(Store, name)
        monkeypatch.setattr(Store, name, lambda self, *args, _method=method: asked.append(args) or _method(self, *args))
    for name in ("exists", "read_bytes"):
        monkeypatch.delattr(Store, name)
    check_present(store, ledger, [PARTITION])
    folders = [folder for (folder, *_) in asked]
    assert len(folders) == len(set(folders)), "each folder is listed once, however many files it has"


@pytest.mark.parametrize("how", ["gone", "shorter"])
@pytest.mark.parametrize("table", ["frames", "heatmaps"])
def test_a_start_says_which_file_is_gone_or_was_changed(store, table, how):
    path = f"{PARTITION.folder(table)}/{store.names(PARTITION.folder(table))[0]}"
    data = store.read_bytes(path)
    store.delete(path)
    if how == "shorter":
        store.put(path, data[:-1])
    with pytest.raises(InputError, match=rf"{path}; put them back, or let `fer-batch verify OUT --repair`"):
        check_present(store, Ledger(store), [PARTITION])
    check_present(store, Ledger(store), [Partition("other", "m", "e")])


def test_a_start_says_that_sums_are_gone_where_no_maps_are_left(store):
    marker = Ledger(store).shards[f"{shard_prefix(PARTITION.key)}-00001"]
    path, data = f"_sums/{marker.shard}.parquet", encode(rows_of("heatmaps", []))
    with recorded(store, path, FileState.of(data, 0)):
        store.put(path, data)
    check_present(store, Ledger(store), [PARTITION])
    store.delete(path)
    check_present(store, Ledger(store), [PARTITION])  # they are made again from the maps
    store.put(marker.path, marker.model_copy(update={"keep_relevance": "prototypes"}).to_json())
    with pytest.raises(InputError, match=path):
        check_present(store, Ledger(store), [PARTITION])


def test_a_start_beside_another_run_believes_what_is_there_now(store):
    """Markers were read before the other run replaced the file."""
    ledger = Ledger(store)
    marker = ledger.shards[f"{shard_prefix(PARTITION.key)}-00002"]
    data = encode(rows_of("frames", []), {"more": "bytes"})
    assert len(data) != marker.files["frames"].size
    store.put(marker.file("frames"), data)
    with pytest.raises(InputError):
        check_present(store, ledger, [PARTITION])
    state = FileState.of(data, 0)
    store.put(marker.path, marker.model_copy(update={"files": {**marker.files, "frames": state}}).to_json())
    check_present(store, ledger, [PARTITION])


def test_nothing_is_repaired_while_a_run_goes_on(store):
    file = f"{PARTITION.folder('heatmaps')}/heatmaps.parquet"
    store.delete(file)
    with beating(store, ["r"], Work, str):
        while not read_signs(store):
            time.sleep(0.01)
        (note,) = verify(store).notes
        assert f"process {os.getpid()}" in note
        with pytest.raises(InputError, match=f"a run goes on in this output .process {os.getpid()} on"):
            repair(store)
        assert store.exists(f"_files/{file}")
    assert verify(store).notes == [] and repair(store)[2] == []


def test_a_repair_of_many_shards_reads_each_file_once_and_lists_the_tables_once_a_round(store, monkeypatch):
    for marker in Ledger(store).shards.values():
        store.delete(marker.file("frames"))
    read, walked = [], []
    monkeypatch.setattr(
        verify_files, "_digest", lambda s, path, _f=verify_files._digest: read.append(path) or _f(s, path)
    )
    walk = Store.walk
    monkeypatch.setattr(Store, "walk", lambda self, *args: walked.append(args) or walk(self, *args))
    _, _, left = repair(store)
    assert left == [] and len(read) == len(set(read)) == N_SHARDS + 1
    assert sum(args == ("tables",) for args in walked) <= 3


def test_a_repair_that_cannot_move_anything_ends(store, monkeypatch):
    store.delete(f"{PARTITION.folder('heatmaps')}/heatmaps.parquet")
    monkeypatch.setattr(verify_module, "_set_aside", lambda *args: 0)
    looked = []
    monkeypatch.setattr(
        verify_module, "check_files", lambda *args, _f=verify_module.check_files: looked.append(1) or _f(*args)
    )
    assert len(repair(store)[2]) == 1 and len(looked) == 1


def test_the_row_of_a_run_that_was_killed_before_its_record_is_a_note(store):
    folder = PARTITION.folder("runs")
    put_table(store, f"{folder}/20260101T000000-0123ab.parquet", rows_of("runs", [{"run_id": "r"}]))
    for name in ("20260102T000000-0123ab.parquet", "copy.parquet"):
        store.put(f"{folder}/{name}", encode(rows_of("runs", [{"run_id": "s"}])))
    checked = verify(store)
    assert [one.path for one in checked.findings] == [f"{folder}/copy.parquet"]
    assert checked.notes == [
        f"{folder}/20260102T000000-0123ab.parquet has no record, and does not count: its run was killed"
    ]


def test_runs_are_said_not_to_be_made_again(store):
    path = f"{PARTITION.folder('runs')}/r.parquet"
    put_table(store, path, rows_of("runs", [{"run_id": "r", "counts": '{"found": 3, "done": 2}'}]))
    checked = verify(store)
    assert [one.path for one in checked.findings] == [path]
    assert "rows of table runs are not made again" in verify_text(store, checked)


def test_text_and_json_say_the_same(store):
    assert verify_text(store, verify(store)) == f"{2 * N_SHARDS + 1} files are as they were published"
    store.delete(f"{PARTITION.folder('heatmaps')}/heatmaps.parquet")
    checked = verify(store)
    (line, last) = verify_text(store, checked).splitlines()
    assert line.endswith("heatmaps.parquet names it") and last.startswith("1 findings; --repair")
    said = verify_json(store, checked)
    assert [f"{one['path']} {one['what']}" for one in said["findings"]] == [line] and said["without_digest"] == 0
    found, folder, left = repair(store)
    assert found.findings == checked.findings and left == [] and store.exists(f"{folder}/_files")


def test_a_folder_that_is_no_output_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no output of fer-batch"):
        verify(Store(str(tmp_path)))
