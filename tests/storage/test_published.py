"""Records of published files: what they say, when they are there, and which files they make count."""

import hashlib

import pytest

from fer_batch.storage.parquet import read, rows_of
from fer_batch.storage.published import (
    EARLIER,
    RECORDS,
    DigestFile,
    FileState,
    Record,
    published_files,
    records_below,
    shard_prefix,
    withdraw_file,
)
from fer_batch.storage.store import Store
from fer_batch.storage.writing import TableWriter, put_table

FOLDER = "tables/heatmaps/dataset=d/model=m/explain=e"


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


def heatmaps(n):
    return rows_of("heatmaps", [{"group": str(i), "n": i} for i in range(n)])


def test_a_state_reads_back_from_the_name_of_its_record():
    state = FileState.of(b"abc", 7)
    assert state.digest == hashlib.sha256(b"abc").hexdigest()[:32]
    assert (state.rows, state.size) == (7, 3) and FileState.from_name(state.name) == state
    assert FileState.from_name(EARLIER) is None and FileState.from_name("x-3-abc") is None
    assert FileState.from_name(f"1-3-{'a' * 31}") is None and FileState.from_name(f"1-3-{'x' * 32}") is None


def test_a_digest_is_of_the_bytes_that_are_written(tmp_path):
    file = DigestFile(str(tmp_path / "f"))
    for piece in (b"ab", b"", b"c" * 100_000):
        file.write(piece)
    file.close()
    assert file.state(2) == FileState.of((tmp_path / "f").read_bytes(), 2)


@pytest.mark.parametrize("piecewise", [False, True])
def test_a_file_and_its_record_are_of_the_same_bytes_also_when_it_is_replaced(store, piecewise):
    path = f"{FOLDER}/heatmaps.parquet"
    for n in (3, 5):
        if piecewise:
            with TableWriter(store, path, "heatmaps", record=True) as writer:
                writer.write(heatmaps(n))
            assert writer.state == FileState.of(store.read_bytes(path), n)
        else:
            put_table(store, path, heatmaps(n))
        assert records_below(store, "tables") == {path: [FileState.of(store.read_bytes(path), n).name]}
    withdraw_file(store, path)
    assert records_below(store, "tables") == {} and published_files(store, "tables/heatmaps") == []


def test_a_failed_write_leaves_the_old_file_and_its_record(store):
    path = f"{FOLDER}/heatmaps.parquet"
    put_table(store, path, heatmaps(2))
    before = store.names(f"{RECORDS}/{path}")
    with pytest.raises(AttributeError), TableWriter(store, path, "heatmaps", record=True) as writer:
        writer.write(None)
    assert store.names(f"{RECORDS}/{path}") == before and read(store, "heatmaps").num_rows == 2


def test_a_replacement_that_is_killed_matches_a_record_before_and_after(store, monkeypatch):
    """Between the two writes the file is the old one, and both are known; a kill never looks like a fault."""
    path = f"{FOLDER}/heatmaps.parquet"
    put_table(store, path, heatmaps(2))
    put = Store.put

    def dies(self, relative, data):
        if relative == path:
            raise KeyboardInterrupt
        put(self, relative, data)

    monkeypatch.setattr(Store, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        put_table(store, path, heatmaps(3))
    known = [FileState.from_name(name) for name in store.names(f"{RECORDS}/{path}")]
    assert FileState.of(store.read_bytes(path), 2) in known and {one.rows for one in known} == {2, 3}


def test_files_of_an_earlier_version_count_and_go_on_counting(store):
    from fer_batch.storage.parquet import encode

    old, new = f"{FOLDER}/study-a.parquet", f"{FOLDER}/heatmaps.parquet"
    store.put(old, encode(heatmaps(2)))
    store.put(f"{FOLDER}/._study-a.parquet", b"Mac OS X")
    assert [one.path for one in published_files(store, "tables/heatmaps")] == [old]
    put_table(store, new, heatmaps(3))
    assert [one.path for one in published_files(store, "tables/heatmaps")] == [new, old]
    store.put(f"{FOLDER}/study-a copy.parquet", encode(heatmaps(2)))
    assert read(store, "heatmaps").num_rows == 5, "what came later needs a record"
    put_table(store, old, heatmaps(4))
    assert EARLIER not in records_below(store, "tables")[old]


def test_what_systems_leave_beside_records_is_no_record(store):
    path = f"{FOLDER}/heatmaps.parquet"
    put_table(store, path, heatmaps(2))
    before = records_below(store, "tables")
    (name,) = before[path]
    for place in ("tables", FOLDER, path):
        store.put(f"{RECORDS}/{place}/.DS_Store", b"x")
        store.put(f"{RECORDS}/{place}/._{name}", b"x")
        store.put(f"{RECORDS}/{place}/1-2-notes", b"x")
    assert records_below(store, "tables") == before
    put_table(store, path, heatmaps(3))
    assert [FileState.from_name(one).rows for one in records_below(store, "tables")[path]] == [3]


@pytest.mark.parametrize("replaced", ["study-a", "new"])
def test_adoption_that_is_killed_anywhere_loses_no_file_of_an_earlier_version(tmp_path, monkeypatch, replaced):
    from fer_batch.storage.parquet import encode

    class KilledError(BaseException):
        pass

    put, left = Store.put, [0]

    def counted(self, relative, data):
        left[0] -= 1
        if left[0] == -1:
            raise KilledError
        put(self, relative, data)

    for n in range(8):
        store, old = Store(str(tmp_path / str(n))), [f"{FOLDER}/study-{k}.parquet" for k in "abc"]
        for path in old:
            store.put(path, encode(heatmaps(2)))
        monkeypatch.setattr(Store, "put", counted)
        left[0] = n
        try:
            put_table(store, f"{FOLDER}/{replaced}.parquet", heatmaps(2))
            finished = True
        except KilledError:
            finished = False
        monkeypatch.setattr(Store, "put", put)
        assert {one.path for one in published_files(store, "tables/heatmaps")} >= set(old)
        put_table(store, f"{FOLDER}/other.parquet", heatmaps(3))
        assert {one.path for one in published_files(store, "tables/heatmaps")} >= set(old)
        put_table(store, old[0], heatmaps(4))
        assert EARLIER not in records_below(store, "tables")[old[0]]
        if finished:
            return
    raise AssertionError("it never finished")


def test_two_writers_of_one_file_leave_a_record_of_what_is_there(store):
    path = f"{FOLDER}/heatmaps.parquet"
    put_table(store, path, heatmaps(1))
    contents = (b"a" * 10, b"b" * 11)
    states = [FileState.of(data, 1) for data in contents]
    for order in ((0, 1), (1, 0)):
        records = []
        for state in states:
            records.append(Record(store, path))
            records[-1].announce(state)
        for k in order:
            store.put(path, contents[k])
            records[k].settle(states[k])
            assert states[k].name in records_below(store, "tables")[path]


def test_a_file_of_a_shard_counts_once_its_marker_is_there(store):
    shard = f"{shard_prefix({'dataset': 'd', 'model': 'm', 'explain': 'e'})}-00001"
    folder = "tables/frames/dataset=d/model=m/explain=e"
    path = f"{folder}/{shard}.parquet"
    store.put(path, b"x")
    assert published_files(store, "tables/frames") == []
    store.put(f"_shards/{shard}.json", b"{}")
    assert [one.path for one in published_files(store, "tables/frames")] == [path]
    for copy in ("frames/dataset=d/model=m/explain=copy", "frames/dataset=d/model=m/explain=e/backup", "frames"):
        store.put(f"tables/{copy}/{shard}.parquet", b"x")
    store.put(f"{folder}/backup/frames.parquet", b"x")
    assert [one.path for one in published_files(store, "tables/frames")] == [path], "copies never count"


def test_the_prefix_of_shards_is_the_one_of_outputs_that_there_are():
    assert shard_prefix({"explain": "e-1", "model": "m-1", "dataset": "d"}) == "237de2f2"
