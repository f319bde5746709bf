"""Segments are copies: whatever happens to markers or segments, and whenever, markers are read as they are now."""

import os
import shutil
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from fer_batch.output.verify import repair, verify
from fer_batch.storage import manifest, packed
from fer_batch.storage.manifest import COMMITS, PLANS, SHARDS, STAGE, Ledger, pack_markers
from fer_batch.storage.markers import Commit, PlannedUnit, ShardMarker, ShardPlan
from fer_batch.storage.packed import PACKED, Written, pack, segments
from fer_batch.storage.parquet import Partition, decode, encode
from fer_batch.storage.store import Store

PARTITION = Partition("d", "m", "e")
N, FEWEST, SEGMENT = 11, 5, 4
OPERATIONS = ("names", "files", "read_bytes", "put", "delete")


class KilledError(BaseException):
    """Stands for SIGKILL: nobody catches it."""


def named(number):
    return f"0123abcd-{number:05d}"


def plan_of(number, unit="u"):
    planned = (PlannedUnit(f"{unit}{number}", {f"{unit}{number}": f"{number}.mp4"}),)
    return ShardPlan(
        shard=named(number),
        partition=PARTITION,
        units=planned,
        sequences=(f"{number}.mp4",),
        annotations={},
        replaces={},
        replaces_annotations={},
    )


def marker_of(number, analysis="a"):
    return ShardMarker(
        shard=named(number), partition=PARTITION, analysis_id=analysis, units=(f"u{number}",), counts={"done": 1}
    )


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Segments of few markers, without waiting for the clock of a filesystem."""
    monkeypatch.setattr(packed, "FEWEST", FEWEST)
    monkeypatch.setattr(manifest, "FEWEST", FEWEST)
    monkeypatch.setattr(packed, "SEGMENT", SEGMENT)
    monkeypatch.setattr(packed, "SETTLE_S", 0)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def store(tmp_path):
    """Eleven shards, published."""
    store = Store(str(tmp_path / "out"))
    for number in range(N):
        store.put(f"{PLANS}/{named(number)}.json", plan_of(number).to_json())
        store.put(f"{SHARDS}/{named(number)}.json", marker_of(number).to_json())
    return store


@pytest.fixture
def before_each(monkeypatch):
    """Let a function of the number of the operation be called before every operation on a store, but not by itself."""
    state = {"hook": None, "n": 0, "paths": []}
    for name in OPERATIONS:
        method = getattr(Store, name)

        def hooked(self, *args, _method=method, _name=name):
            hook, state["hook"] = state["hook"], None
            if hook is not None:
                state["n"] += 1
                state["paths"].append((_name, args[0]))
                hook(state["n"] - 1)
                state["hook"] = hook
            return _method(self, *args)

        monkeypatch.setattr(Store, name, hooked)

    def use(hook):
        state.update({"hook": hook} if hook is None else {"hook": hook, "n": 0, "paths": []})
        return state

    return use


def believed(store):
    """What the books of an output say."""
    ledger = Ledger(store)
    return ledger.plans, ledger.shards, ledger.committed


def singly(store):
    """The same with every marker read from its own file."""
    folder = Path(store.path(PACKED))
    aside = folder.with_name("aside")
    if folder.exists():
        folder.rename(aside)
    found = believed(store)
    if aside.exists():
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    return found


def held(store, folder):
    return sorted(one.name for _, rows in segments(store, folder) for one in rows)


def test_many_markers_are_read_from_few_files_and_small_outputs_have_none(store, tmp_path, before_each):
    expected = believed(store)
    pack_markers(store)
    assert held(store, PLANS) == held(store, SHARDS) == [named(number) for number in range(N)]
    state = before_each(lambda n: None)
    ledger = Ledger(store)
    read = [path for name, path in state["paths"] if name == "read_bytes"]
    assert len(read) == 2 * 3 and all(path.startswith(PACKED) for path in read), "11 markers in segments of 4"
    assert (ledger.plans, ledger.shards, ledger.committed) == expected and ledger.n_unpacked == 0
    assert list(ledger.plans) == sorted(ledger.plans)
    assert pack(store, PLANS) == 0, "all are packed"
    small = Store(str(tmp_path / "small"))
    for number in range(FEWEST - 1):
        small.put(f"{PLANS}/{named(number)}.json", plan_of(number).to_json())
    pack_markers(small)
    assert not small.exists(PACKED)


CHANGES = {
    "replaced by one of the same size": lambda store, path: store.put(path, plan_of(3, "v").to_json()),
    "emptied, as retry does": lambda store, path: store.put(path, plan_of(3).holding((), {}).to_json()),
    "moved to the quarantine": lambda store, path: (
        store.move(path, f"_quarantine/{path}"),
        store.delete(f"{SHARDS}/{named(3)}.json"),
    ),
    "copied back without its time": lambda store, path: os.utime(store.path(path), ns=(1, 1)),
    "removed": lambda store, path: (store.delete(f"{SHARDS}/{named(3)}.json"), store.delete(path)),
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda name: name.replace(" ", "-"))
def test_a_marker_that_was_changed_wins_over_its_copy(store, change):
    pack_markers(store)
    CHANGES[change](store, f"{PLANS}/{named(3)}.json")
    assert believed(store) == singly(store)
    assert pack(store, PLANS) == 0, "one marker is not many"


def test_segments_whose_markers_are_all_others_by_now_go(store):
    pack_markers(store)
    old = set(store.names(f"{PACKED}/{SHARDS}"))
    for number in range(N):  # a new analysis
        store.put(f"{SHARDS}/{named(number)}.json", marker_of(number, "b").to_json())
    pack_markers(store, Ledger(store))
    assert old.isdisjoint(store.names(f"{PACKED}/{SHARDS}"))
    assert held(store, SHARDS) == [named(number) for number in range(N)] and believed(store) == singly(store)


def test_killed_anywhere_while_packing(store, before_each, tmp_path):
    expected = believed(store)

    def die(at):
        def hook(n):
            if n == at:
                raise KilledError

        return hook

    for at in range(100):
        copy = Store(str(tmp_path / f"copy-{at}"))
        shutil.copytree(store.uri, copy.uri)
        before_each(die(at))
        try:
            pack(copy, PLANS)
            finished = True
        except KilledError:
            finished = False
        before_each(None)
        assert believed(copy) == expected
        pack(copy, PLANS)
        assert believed(copy) == expected and N - len(set(held(copy, PLANS))) < FEWEST
        if finished:
            break
    assert finished and at > N + 3, "every marker and segment was a place to die"


@pytest.mark.parametrize("other", ["packer", "writer", "reader"])
def test_another_process_at_any_moment_of_packing(store, before_each, tmp_path, other):
    new = plan_of(3, "v").to_json()  # of the same size
    for at in range(100):
        copy = Store(str(tmp_path / f"copy-{at}"))
        shutil.copytree(store.uri, copy.uri)

        def meanwhile(n, copy=copy, at=at):
            if n != at:
                return
            if other == "packer":
                pack(copy, PLANS)
            elif other == "writer":
                copy.put(f"{PLANS}/{named(3)}.json", new)
            else:
                assert believed(copy) == singly(copy)

        state = before_each(meanwhile)
        pack(copy, PLANS)
        before_each(None)
        assert believed(copy) == singly(copy)
        if state["n"] <= at:
            break
    assert at > N + 3


def test_a_marker_replaced_within_the_resolution_of_the_clock_is_packed_as_it_is_now(store, monkeypatch):
    path = store.path(f"{PLANS}/{named(3)}.json")

    def replaced(_):
        found = os.stat(path)
        Path(path).write_bytes(plan_of(3, "v").to_json())
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    monkeypatch.setattr(packed.time, "sleep", replaced)
    pack(store, PLANS)
    assert named(3) in held(store, PLANS)
    assert believed(store) == singly(store) and Ledger(store).plans[named(3)] == plan_of(3, "v")


def segment_files(store, folder):
    return sorted(Path(store.path(f"{PACKED}/{folder}")).iterdir())


@pytest.mark.parametrize("data", [b"", b"PAR1", None, "half"])
def test_a_segment_that_is_gone_or_damaged_holds_nothing_and_verify_names_it(store, data):
    expected = believed(store)
    pack_markers(store)
    path = segment_files(store, PLANS)[0]
    if data is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if data == "half" else data)
    assert believed(store) == expected
    store.put("tables/.keep", b"")
    said = [one.path for one in verify(store).findings if one.path.startswith(PACKED)]
    assert said == ([] if data is None else [f"{PACKED}/{PLANS}/{path.name}"])


def test_a_segment_of_another_content_than_its_name_says_holds_nothing(store):
    expected = believed(store)
    pack_markers(store)
    path = segment_files(store, PLANS)[0]
    table = decode(path.read_bytes())
    texts = [text.replace(b".mp4", b".avi") for text in table["text"].to_pylist()]
    path.write_bytes(encode(table.set_column(table.schema.names.index("text"), "text", pa.array(texts, pa.binary()))))
    assert believed(store) == expected
    store.put("tables/.keep", b"")
    (found,) = (one for one in verify(store).findings if one.path.startswith(PACKED))
    assert found.path.endswith(path.name) and "cannot be read" in found.what


def test_verify_and_repair_set_a_segment_aside_that_holds_another_text(store):
    pack_markers(store)
    path = Path(store.path(f"{PLANS}/{named(3)}.json"))
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(plan_of(3, "v").to_json())  # what no process does: another text of the same size and time
    os.utime(path, ns=times)
    (found,) = (one for one in verify(store).findings if one.path.startswith(PACKED))
    assert f"holds another text of {PLANS}/{named(3)}.json" in found.what
    repair(store)
    assert found.path not in {f"{PACKED}/{PLANS}/{name}" for name in store.names(f"{PACKED}/{PLANS}")}
    assert [one for one in verify(store).findings if one.path.startswith(PACKED)] == []


class EtagFileSystem(MemoryFileSystem):
    """Files in memory with the MD5 of their bytes as etag, as S3 has it."""

    protocol = "etag"
    store: dict = {}  # noqa: RUF012 - as the parent has it
    pseudo_dirs: list = [""]  # noqa: RUF012

    def ls(self, path, detail=True, **kwargs):
        found = super().ls(path, detail=True, **kwargs)
        for one in found:
            if one["type"] == "file":
                one["ETag"] = f'"{packed.hashlib.md5(self.store[one["name"]].getvalue()).hexdigest()}"'
        return found if detail else [one["name"] for one in found]


def commit_of(number, status="done"):
    row = {"sequence_id": f"{number}.mp4", "identity": f"c{number:02d}", "status": status}
    return Commit(unit_id=f"c{number:02d}", partition=PARTITION, n_files=1, sequences=(row,))


def test_commits_are_read_from_segments_that_were_written_with_them(before_each):
    fsspec.register_implementation("etag", EtagFileSystem, clobber=True)
    store = Store("etag://out")
    written = Written(store, COMMITS)
    for number in range(N):
        store.put(f"{STAGE}/c{number:02d}/00000.parquet", b"x")
        text = commit_of(number).to_json()
        store.put(f"{COMMITS}/c{number:02d}.json", text)
        for path, data in written.add(f"c{number:02d}", text):
            store.put(path, data)
    assert len(store.names(f"{PACKED}/{COMMITS}")) == N // SEGMENT
    store.put(f"{COMMITS}/c01.json", commit_of(1, "fail").to_json())  # committed again, at the same size
    store.delete(f"{COMMITS}/c02.json")
    ledger = Ledger(store)
    state = before_each(lambda n: None)
    found = ledger.commits(ledger.waiting)
    before_each(None)
    expected = {f"c{number:02d}": commit_of(number, "fail" if number == 1 else "done") for number in range(N)}
    del expected["c02"]
    assert found == expected
    read = [path for name, path in state["paths"] if name == "read_bytes" and path.startswith(COMMITS)]
    assert len(read) == 1 + N % SEGMENT, "the one that was replaced, and those in no segment"
    for number in range(SEGMENT):
        store.delete(f"{COMMITS}/c{number:02d}.json")
    pack_markers(store, Ledger(store))
    assert held(store, COMMITS) == [f"c{number:02d}" for number in range(SEGMENT, 2 * SEGMENT)]
    for number in range(SEGMENT, N - 1):  # one waits for ever, of an input that is gone
        store.delete(f"{COMMITS}/c{number:02d}.json")
    pack_markers(store, Ledger(store))
    assert len(Ledger(store).waiting) == 1 and not store.exists(f"{PACKED}/{COMMITS}")


@pytest.mark.parametrize("where", ["local", "memory"])
def test_a_commit_that_goes_after_it_was_listed_is_passed_over(tmp_path, where):
    store = Store(str(tmp_path / "out") if where == "local" else f"memory://{tmp_path.name}/out")
    for number in range(N):
        store.put(f"{STAGE}/c{number:02d}/00000.parquet", b"x")
        store.put(f"{COMMITS}/c{number:02d}.json", commit_of(number).to_json())
    ledger = Ledger(store)
    store.delete(f"{COMMITS}/c02.json")
    assert ledger.commits(ledger.waiting) == {f"c{number:02d}": commit_of(number) for number in range(N) if number != 2}


def test_an_output_of_an_earlier_version_is_packed_at_the_next_start(store):
    ledger = Ledger(store)
    assert ledger.n_unpacked == N
    pack_markers(store, ledger)
    assert Ledger(store).n_unpacked == 0
    pack_markers(store, replace_count(ledger, 0))
    assert len(segment_files(store, PLANS)) == 3


def replace_count(ledger, n):
    ledger.n_unpacked = n
    return ledger
