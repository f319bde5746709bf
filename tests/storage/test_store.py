"""A file is there whole or not at all, and what is there is seen at once."""

import os
import time
import uuid

import pytest

from fer_batch.storage.store import Entry, Store
from fer_batch.types import InputError


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return Store(str(tmp_path / "out") if request.param == "local" else f"memory://{uuid.uuid4().hex}/out")


def test_a_put_is_read_back_at_once_and_replaces(store):
    for content in (b"one", b"another, longer", b""):
        store.put("a/b.json", content)
        assert store.read_bytes("a/b.json") == content
        assert store.names("a") == ["b.json"]
        (entry,) = store.walk()
        assert (entry.path, entry.size) == ("a/b.json", len(content))


def test_listings_are_true_at_every_call(store):
    assert store.names("a") == []
    assert list(store.walk("a")) == []
    assert store.files("a") == {}
    store.put("a/1", b"x")
    assert store.names("a") == ["1"]
    store.put("a/2", b"x")
    assert store.names("a") == ["1", "2"]
    assert sorted(store.files("a")) == ["1", "2"]
    store.delete("a/1")
    assert store.names("a") == ["2"]
    store.delete("a")
    assert not store.exists("a/2")
    store.delete("a")  # nothing there is nothing to do


def test_put_once_keeps_the_first(store):
    assert store.put_once("_plans/x.json", b"first")
    assert not store.put_once("_plans/x.json", b"second")
    assert store.read_bytes("_plans/x.json") == b"first"
    assert store.names("_plans") == ["x.json"]


def test_a_staged_file_appears_whole_when_the_block_ends(store):
    with store.staged("tables/a.parquet") as path:
        with open(path, "wb") as handle:
            handle.write(b"half")
        assert not store.exists("tables/a.parquet")
        assert list(store.walk()) == []
    assert store.read_bytes("tables/a.parquet") == b"half"
    assert not os.path.exists(path)


def test_a_staged_file_that_fails_leaves_what_was_there(store):
    store.put("tables/a.parquet", b"old")
    paths = []

    def write():
        with store.staged("tables/a.parquet") as path, open(path, "wb") as handle:
            paths.append(path)
            handle.write(b"new")
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        write()
    assert store.read_bytes("tables/a.parquet") == b"old"
    assert not os.path.exists(paths[0])


def test_a_put_that_dies_before_its_rename_leaves_what_was_there(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    store.put("a", b"old")

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        store.put("a", b"new")
    assert store.read_bytes("a") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_killed_writers_file_is_invisible_and_swept_when_it_is_old(tmp_path):
    store = Store(str(tmp_path))
    store.put("tables/t/a.parquet", b"x")
    old, young = (tmp_path / "tables/t" / f"b.parquet.{name}.tmp" for name in "12")
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    assert store.names("tables/t") == ["a.parquet"]
    assert [entry.path for entry in store.walk()] == ["tables/t/a.parquet"]
    store.sweep_temporary("tables")
    assert not old.exists()
    assert young.exists(), "it may belong to a run that goes on"
    assert store.exists("tables/t/a.parquet")


def test_published_files_can_be_read_by_whom_the_umask_allows(tmp_path):
    store = Store(str(tmp_path))
    before = os.umask(0o022)
    try:
        store.put("marker", b"x")
        with store.staged("table") as path, open(path, "wb") as handle:
            handle.write(b"x")
    finally:
        os.umask(before)
    assert {oct((tmp_path / name).stat().st_mode & 0o777) for name in ("marker", "table")} == {"0o644"}


def test_walk_follows_links_leaves_dangling_ones_out_and_ends_in_a_loop(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.mp4").write_bytes(b"xy")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "file.mp4").symlink_to(tmp_path / "elsewhere" / "a.mp4")
    (root / "dangling.mp4").symlink_to(tmp_path / "nowhere")
    (root / "loop").symlink_to(root)
    mtime = str((tmp_path / "elsewhere" / "a.mp4").stat().st_mtime_ns)
    assert list(Store(str(root)).walk()) == [Entry("file.mp4", 2, mtime), Entry("linked/a.mp4", 2, mtime)]


def test_walk_of_a_file_is_that_file(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    assert [entry.path for entry in Store(str(tmp_path / "a.csv")).walk()] == ["."]


def test_odd_names_are_names(store):
    for name in ("it's 50 % #1.json", "Gesicht ü 顔.json", "a::b.json"):
        store.put(name, b"x")
        assert store.read_bytes(name) == b"x"
        assert name in store.names("")
        assert name in [entry.path for entry in store.walk()]
        store.delete(name)
        assert not store.exists(name)


def test_a_changed_file_has_another_version(store):
    store.put("a", b"1")
    (before,) = store.walk()
    time.sleep(0.02)
    store.put("a", b"2")
    (after,) = store.walk()
    assert before.version != after.version


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store("~/out").path("a") == f"{tmp_path}/out/a"


def test_an_unknown_filesystem_and_an_unwritable_place_are_said(tmp_path):
    with pytest.raises(InputError, match="cannot open 'nonsense://x'"):
        Store("nonsense://x")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to output"):
        Store(str(tmp_path / "file" / "out")).check_writable()


def test_it_travels_to_workers(store):
    import pickle

    store.put("a", b"x")
    assert pickle.loads(pickle.dumps(store)).read_bytes("a") == b"x"
