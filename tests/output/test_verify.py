"""What a run looks at before it starts, and what the command says."""

import pytest

from fer_batch.output.verify import check_present, repair, verify, verify_json, verify_text
from fer_batch.storage.manifest import PLANS, Ledger
from fer_batch.storage.markers import ShardMarker, ShardPlan
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.published import FileState
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
        name = f"0123abcd-{k:05d}"
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
