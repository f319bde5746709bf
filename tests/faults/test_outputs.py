"""Break a published output in every way that storage and people do: it is found, and the next run makes it again."""

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fer_batch.cli import cli
from fer_batch.output.query import connect
from fer_batch.output.run_record import RunRecord
from fer_batch.output.verify import check_present, repair, verify
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.parquet import read
from fer_batch.storage.published import FileState, Record
from fer_batch.storage.store import Store
from fer_batch.types import InputError

from ..pipeline.conftest import World
from .compare import rows_of
from .world import next_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An output that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    next_run(World(Store(str(folder))))
    return folder


@pytest.fixture(scope="module")
def undisturbed(whole):
    return rows_of(whole)


@pytest.fixture
def output(whole, tmp_path):
    """A copy of it to break."""
    return Path(shutil.copytree(whole, tmp_path / "out"))


def file_of(output: Path, table: str) -> Path:
    """The first file of a table."""
    return sorted((output / "tables" / table).rglob("*.parquet"))[0]


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def alter(path: Path) -> None:
    """One bit is another, in a page of values."""
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))


def shard_file(output: Path, folder: str) -> Path:
    return sorted((output / folder).iterdir())[0]


SEEN_AT_START = {
    "a table of a shard is deleted": lambda out: file_of(out, "frames").unlink(),
    "a table of a shard is truncated": lambda out: halve(file_of(out, "relevance")),
    "a table of a shard is empty": lambda out: file_of(out, "sequences").write_bytes(b""),
    "ground truth is deleted": lambda out: file_of(out, "annotations").unlink(),
    "a table of the partition is deleted": lambda out: file_of(out, "heatmaps").unlink(),
    "a table of the partition is truncated": lambda out: halve(file_of(out, "patterns")),
    "looks are deleted": lambda out: file_of(out, "looks").unlink(),
    "looks of a shard are truncated": lambda out: halve(file_of(out, "cluster_looks")),
    "episodes of a shard are deleted": lambda out: file_of(out, "episodes").unlink(),
    "a shard marker is cut off": lambda out: halve(shard_file(out, "_shards")),
    "a shard marker is empty": lambda out: shard_file(out, "_shards").write_bytes(b""),
    "a plan is cut off": lambda out: halve(shard_file(out, "_plans")),
    "a plan is deleted": lambda out: shard_file(out, "_plans").unlink(),
}
ONLY_VERIFY_SEES = {
    "a table of a shard is altered": lambda out: alter(file_of(out, "detections")),
    "a table of the partition is altered": lambda out: alter(file_of(out, "class_prototypes")),
    "sums of maps are altered": lambda out: alter(shard_file(out, "_sums")),
    "a shard marker is deleted": lambda out: shard_file(out, "_shards").unlink(),
    "the marker of the stages is cut off": lambda out: halve(shard_file(out, "_published")),
    "a commit is cut off": lambda out: (out / "_commits" / "id-a.json").write_bytes(b'{"unit_id": "id-a"'),
}
SLOW = pytest.mark.faults  # the same paths are taken by the others, so that they are not tried by default
FAST = ("a table of a shard is deleted", "a table of the partition is truncated", "a plan is deleted",
        "a table of a shard is altered", "a shard marker is deleted")  # fmt: skip


def scenarios(found):
    return [pytest.param(name, marks=() if name in FAST else SLOW, id=name.replace(" ", "-")) for name in found]


@pytest.mark.parametrize("name", scenarios(SEEN_AT_START | ONLY_VERIFY_SEES))
def test_what_is_broken_is_found_and_made_again(output, undisturbed, assert_same, name):
    (SEEN_AT_START | ONLY_VERIFY_SEES)[name](output)
    world = World(Store(str(output)))
    checked = verify(world.store)
    assert checked.findings
    if name in SEEN_AT_START:
        with pytest.raises(InputError, match="verify OUT --repair") as caught:
            check_present(world.store, Ledger(world.store), [world.partition])
        assert "\n" not in str(caught.value)
    before = {path.relative_to(output) for path in output.rglob("*") if path.is_file()}
    _, folder, left = repair(world.store)
    assert left == [] and verify(world.store).findings == []
    after = {path.relative_to(output) for path in output.rglob("*") if path.is_file()}
    assert all((output / folder / path).exists() for path in before - after), "nothing is deleted"
    next_run(world)
    assert_same(undisturbed, rows_of(output))
    assert verify(world.store).findings == []


def test_a_whole_output_has_no_finding(whole):
    checked = verify(Store(str(whole)))
    assert checked.findings == [] and checked.notes == []
    assert checked.n_files > 20 and checked.n_undigested == 0
    assert repair(Store(str(whole)))[1:] == (None, []) and not (whole / "_quarantine").exists()


STRAYS = ("._{}", "{}~", ".{}.crc", "copy of {}", "{}.tmp", "0123abcd-00007.parquet")


@pytest.mark.parametrize("table", ["sequences", "heatmaps", "runs"])
def test_stray_files_never_count_and_are_named(output, undisturbed, assert_same, table):
    store = Store(str(output))
    if table == "runs":
        RunRecord(store, World(store).partition, World(store).work().config).write(dict.fromkeys(("found", "done"), 3))
    own = file_of(output, table)
    rows = connect(store).execute(f"SELECT count(*) FROM {table}").fetchone()
    for name in STRAYS:
        data = b"Mac OS X" if name.startswith("._") else own.read_bytes()
        own.with_name(name.format(own.name)).write_bytes(data)
    (output / "_shards" / "._x.json").write_bytes(b"Mac OS X")
    assert connect(store).execute(f"SELECT count(*) FROM {table}").fetchone() == rows
    assert_same(undisturbed, rows_of(output))
    named = {one.path.rpartition("/")[2] for one in verify(store).findings}
    assert named == {name.format(own.name) for name in STRAYS if not name.endswith(".tmp")} | {"._x.json"}
    repair(store)
    assert verify(store).findings == []
    assert_same(undisturbed, rows_of(output))


@pytest.mark.parametrize("table", ["detections", "episodes", "heatmaps"])
def test_copied_partitions_never_count_and_are_named(output, undisturbed, assert_same, table):
    store, folder = Store(str(output)), file_of(output, table).parent
    rows = connect(store).execute(f"SELECT count(*) FROM {table}").fetchone()
    copies = [folder / "backup"] + [folder.with_name("explain=copy")] * (table != "heatmaps")
    for copy in copies:
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("backup"))
    assert connect(store).execute(f"SELECT count(*) FROM {table}").fetchone() == rows
    assert_same(undisturbed, rows_of(output))
    found = [one.path for one in verify(store).findings]
    assert sorted(found) == sorted(path.relative_to(output).as_posix() for copy in copies for path in copy.iterdir())
    assert repair(store)[2] == []
    assert_same(undisturbed, rows_of(output))


@pytest.mark.parametrize("table", ["looks", "runs"])
def test_a_truncated_table_is_a_finding_and_not_opened_again(output, undisturbed, assert_same, table):
    world = World(Store(str(output)))
    if table == "runs":
        RunRecord(world.store, world.partition, world.work().config).write({"found": 3, "done": 3})
    halve(file_of(output, table))
    assert [one.path for one in verify(world.store).findings] == [file_of(output, table).relative_to(output).as_posix()]
    assert repair(world.store)[2] == []
    next_run(world)
    assert_same(undisturbed, rows_of(output))
    assert verify(world.store).findings == []


def test_what_systems_leave_beside_records_is_set_aside_alone(output, undisturbed, assert_same):
    left = {f"_files/{place}" for place in (".DS_Store", "tables/.DS_Store", "tables/heatmaps/._x", "_sums/.DS_Store")}
    left |= {f"{one}/{name}" for one in ("tables", "tables/frames") for name in (".DS_Store",)}
    records = [path for path in (output / "_files").rglob("*") if path.is_file()]
    left |= {str(path.with_name(f"._{path.name}").relative_to(output)) for path in records[:3]}
    for name in left:
        (output / name).write_bytes(b"Mac OS X")
    world = World(Store(str(output)))
    check_present(world.store, Ledger(world.store), [world.partition])
    assert {one.path for one in verify(world.store).findings} == left
    found, folder, still = repair(world.store)
    assert {one.path for one in found.findings} == left and still == []
    assert {str(path.relative_to(output / folder)) for path in (output / folder).rglob("*") if path.is_file()} == left
    assert_same(undisturbed, rows_of(output))
    assert verify(world.store).findings == []


def test_an_earlier_output_that_is_killed_while_a_file_is_replaced_goes_on(output, undisturbed, assert_same):
    shutil.rmtree(output / "_files")
    world = World(Store(str(output)))
    path = file_of(output, "patterns").relative_to(output).as_posix()
    Record(world.store, path)  # the files of the folder are taken over
    Record(world.store, path).announce(FileState(rows=5, size=99, digest="a" * 32))  # and killed
    assert verify(world.store).findings == []
    next_run(world)
    assert_same(undisturbed, rows_of(output))


def test_rows_of_an_older_version_are_checked_without_digests(output):
    """A row that refers to nothing is found by the tables alone."""
    store = Store(str(output))
    shutil.rmtree(output / "_files")
    for path in (output / "_shards").iterdir():
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "files"}))
    assert read(store, "heatmaps").num_rows, "an output of an earlier version stays readable"
    checked = verify(store)
    assert checked.findings == [] and checked.n_undigested == checked.n_files
    own = file_of(output, "frames")
    rows = pq.read_table(own)
    pq.write_table(rows.slice(1), own)
    (found,) = verify(store).findings
    assert found.path.startswith("tables/detections/") and "refers to sequence_id, frame_index = a, 0" in found.what
    repair(store)
    assert verify(store).findings == []


def test_the_command_prints_a_line_a_finding_and_mends(output):
    file_of(output, "stages").unlink()
    run = CliRunner().invoke
    found = run(cli, ["verify", str(output)])
    assert found.exit_code == 1
    assert found.output.splitlines()[0].startswith("tables/stages/") and "is missing" in found.output
    assert json.loads(run(cli, ["verify", str(output), "--json"]).output)["findings"]
    mended = run(cli, ["verify", str(output), "--repair"])
    assert mended.exit_code == 0 and str(output / "_quarantine") in mended.output
    assert run(cli, ["verify", str(output)]).exit_code == 0


def test_a_shard_that_is_killed_while_it_is_analysed_again_is_a_note(output, monkeypatch):
    world = World(Store(str(output)), analysis_id="other")
    put_file = Store.put_file

    class KilledError(BaseException):
        pass

    def dies(self, relative, path):
        if "prototypes" in relative:
            raise KilledError
        put_file(self, relative, path)

    monkeypatch.setattr(Store, "put_file", dies)
    with pytest.raises(KilledError):
        world.publish()
    monkeypatch.setattr(Store, "put_file", put_file)
    checked = verify(world.store)
    assert checked.findings == [] and any("being written again" in note for note in checked.notes)
    world.analysis_id = "analysis"  # the options of before: half of the files are of others
    world.publish()
    assert verify(world.store).notes == []


DAMAGES = {
    "deleted": (lambda out: file_of(out, "sequences").unlink(), 9),
    "truncated": (lambda out: halve(file_of(out, "frames")), 5),
}


@pytest.mark.parametrize("damage", ["deleted", pytest.param("truncated", marks=SLOW)])
def test_a_repair_that_is_killed_anywhere_goes_on(whole, tmp_path, undisturbed, assert_same, monkeypatch, damage):
    harm, step = DAMAGES[damage]

    class KilledError(BaseException):
        pass

    left = [0]
    for name in ("put", "move"):
        method = getattr(Store, name)

        def counted(self, *args, _method=method):
            left[0] -= 1
            if left[0] == -1:
                raise KilledError
            return _method(self, *args)

        monkeypatch.setattr(Store, name, counted)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    for n in range(2, 90, step):
        output = Path(shutil.copytree(whole, tmp_path / str(n)))
        harm(output)
        world = World(Store(str(output)))
        left[0] = n
        try:
            repair(world.store)
            finished = True
        except KilledError:
            finished = False
        left[0] = -2
        assert finished or verify(world.store).findings, "it is never hidden"
        repair(world.store)
        next_run(world)
        assert_same(undisturbed, rows_of(output))
        if finished:
            return
    raise AssertionError("it never finished")
