"""Markers of a damaged output: what can be read is read, and the others are named."""

import pytest

from fer_batch.output.books import check_json, read_books
from fer_batch.output.findings import Checked
from fer_batch.storage.manifest import COMMITS, PLANS, SHARDS, stage_file
from fer_batch.storage.markers import Commit, PlannedUnit, ShardMarker, ShardPlan
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store

PARTITION = Partition("d", "m", "e")
ROW = {"sequence_id": "a", "identity": "i", "status": "done"}
COMMIT = Commit(unit_id="u", partition=PARTITION, n_files=2, sequences=(ROW,))
PLAN = ShardPlan(
    shard="0123abcd-00000",
    partition=PARTITION,
    units=(PlannedUnit(unit_id="u", members={"i": "a"}),),
    sequences=("a",),
    annotations={},
    replaces={},
    replaces_annotations={},
)
MARKER = ShardMarker(shard=PLAN.shard, partition=PARTITION, analysis_id="x", units=("u",), counts={"done": 1})


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


def found_in(store, **markers):
    for folder, (name, marker) in markers.items():
        store.put(f"{folder}/{name}.json", marker if isinstance(marker, bytes) else marker.to_json())
    checked = Checked()
    read_books(store, checked)
    return [(one.path, one.shard) for one in checked.findings], checked.notes


def test_a_published_shard_has_commit_plan_and_marker(store):
    everything = {COMMITS: ("u", COMMIT), PLANS: (PLAN.shard, PLAN), SHARDS: (PLAN.shard, MARKER)}
    assert found_in(store, **everything) == ([], [])
    store.put(f"{SHARDS}/._x.json", b"Mac OS X")
    assert found_in(store) == ([], []), "it is no marker"


@pytest.mark.parametrize("n_files", [0, 1, 2])
def test_a_planned_shard_needs_all_stage_files_of_its_units(store, n_files):
    for k in range(n_files):
        store.put(stage_file("u", k), b"x")
    found, notes = found_in(store, **{COMMITS: ("u", COMMIT), PLANS: (PLAN.shard, PLAN)})
    path = f"{PLANS}/{PLAN.shard}.json"
    assert (found, len(notes)) == (([(path, PLAN.shard)], 0) if n_files < 2 else ([], 1))


@pytest.mark.parametrize(("n_files", "faults", "notes"), [(0, 0, 1), (1, 1, 0), (2, 0, 0)])
def test_a_unit_without_a_plan_has_all_stage_files_or_was_withdrawn(store, n_files, faults, notes):
    for k in range(n_files):
        store.put(stage_file("u", k), b"x")
    found, said = found_in(store, **{COMMITS: ("u", COMMIT)})
    assert (len(found), len(said)) == (faults, notes)


def test_markers_that_are_cut_off_are_named_and_others_are_read(store):
    broken = {PLANS: (PLAN.shard, PLAN.to_json()[:30]), SHARDS: (PLAN.shard, MARKER), COMMITS: ("v", b"{}")}
    found, _ = found_in(store, **broken)
    assert found == [(f"{COMMITS}/v.json", None), (f"{PLANS}/{PLAN.shard}.json", PLAN.shard)]


def test_small_files_beside_the_markers_that_are_cut_off_are_named(store):
    for path, data in (("_cells/a.json", b'{"a"'), ("_studies/s/b.json", b"{}"), ("_quarantine/t/c.json", b"{")):
        store.put(path, data)
    checked = Checked()
    check_json(store, checked)
    assert [one.path for one in checked.findings] == ["_cells/a.json"]
