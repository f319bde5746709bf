"""Markers check themselves when they are read, and say what to do about one that is broken."""

import json

import pytest

from fer_batch.storage.manifest import COMMITS, PLANS, SHARDS, Ledger
from fer_batch.storage.markers import Commit, ExplainCost, PlannedUnit, ShardMarker, ShardPlan
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import InputError

PARTITION = Partition("d", "m", "e")
ROW = {"sequence_id": "a#face2", "identity": "i", "input": "a", "status": "done", "fps": 25.0, "reason": None}
COMMIT = Commit(unit_id="u", partition=PARTITION, n_files=1, sequences=(ROW,), sources=({"sequence_id": "a"},))
TIMED = COMMIT.model_copy(update={"explain_cost": ExplainCost(seconds=0.25, n_images=2, n_maps=6)})
PLAN = ShardPlan(
    shard="abcd-00012",
    partition=PARTITION,
    units=(PlannedUnit(unit_id="u", members={"i": "a", "j": "b"}),),
    sequences=("a", "a#face2", "b"),
    faces={"a#face2": "a"},
    annotations={"a": "v"},
    replaces={"abcd-00003": ("a",)},
    replaces_annotations={},
)
MARKER = ShardMarker(shard="abcd-00012", partition=PARTITION, analysis_id="x", units=("u",), counts={"done": 3})
MARKERS = [COMMIT, TIMED, PLAN, MARKER]


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


@pytest.mark.parametrize("marker", MARKERS, ids=lambda marker: type(marker).__name__)
def test_a_marker_reads_back_as_it_was_and_has_one_form(marker):
    data = marker.to_json()
    again = type(marker).from_json(data, "f")
    assert again == marker
    assert again.to_json() == data
    more = json.dumps({**json.loads(data), "added_later": 1}).encode()
    assert type(marker).from_json(more, "f") == marker, "keys of a newer version are passed over"


@pytest.mark.parametrize("marker", MARKERS, ids=lambda marker: type(marker).__name__)
@pytest.mark.parametrize("break_", [lambda d: d[: len(d) // 2], lambda d: b"", lambda d: b"{}", lambda d: b"[1, 2]"])
def test_a_broken_marker_names_its_file_and_what_to_do(marker, break_):
    with pytest.raises(
        InputError, match=r"^out/_x/abcd-00012\.json is no .*; .*verify OUT --repair.*the next run"
    ) as caught:
        type(marker).from_json(break_(marker.to_json()), "out/_x/abcd-00012.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["sequence_id", "identity", "status"])
def test_a_commit_checks_its_rows(key):
    whole = json.loads(COMMIT.to_json())
    del whole["sequences"][0][key]
    with pytest.raises(InputError, match=f"a sequence without {key}"):
        Commit.from_json(json.dumps(whole).encode(), "f")


def test_a_commit_of_the_first_version_has_one_person_an_input():
    whole = json.loads(COMMIT.to_json())
    del whole["sequences"][0]["input"]
    assert Commit.from_json(json.dumps(whole).encode(), "f").sequences[0]["input"] == "a#face2"


def test_what_is_left_of_commits_and_plans():
    assert COMMIT.taking({"other"}).sequences == ()
    assert COMMIT.taking({"i"}) == COMMIT
    assert PLAN.units[0].without({"b"}).members == {"i": "a"}
    assert PLAN.number == 12


@pytest.mark.parametrize(("folder", "name", "marker"), [(PLANS, "abcd-00012", PLAN), (SHARDS, "abcd-00012", MARKER)])
def test_an_output_with_half_a_marker_says_so(store, folder, name, marker):
    store.put(f"{PLANS}/abcd-00012.json", PLAN.to_json())
    store.put(f"{SHARDS}/abcd-00012.json", MARKER.to_json())
    assert Ledger(store).plans == {"abcd-00012": PLAN}
    store.put(f"{folder}/{name}.json", marker.to_json()[:40])
    with pytest.raises(InputError, match=rf"{folder}/abcd-00012.json is no shard .*verify OUT --repair"):
        Ledger(store)


def test_a_shard_without_its_plan_says_so(store):
    store.put(f"{SHARDS}/abcd-00012.json", MARKER.to_json())
    with pytest.raises(InputError, match=r"has no plan _plans/abcd-00012\.json"):
        Ledger(store)


def test_half_a_commit_says_so(store):
    store.put(f"{COMMITS}/u.json", COMMIT.to_json()[:40])
    with pytest.raises(InputError, match=r"u\.json is no commit marker .*explains its input again"):
        Ledger(store)


def test_a_commit_of_an_earlier_version_has_no_cost():
    values = json.loads(TIMED.to_json())
    del values["explain_cost"]
    assert Commit.from_json(json.dumps(values).encode(), "f") == COMMIT


def test_seconds_per_image_leave_first_calls_out_where_there_are_others():
    first = ExplainCost(first_seconds=6.0, n_first_images=2, n_first_maps=2)
    assert ExplainCost().seconds_per_image is None
    assert (first.seconds_per_image, first.warm) == (3.0, False)
    both = first + first + ExplainCost(seconds=1.0, n_images=4, n_maps=8)
    assert (both.seconds_per_image, both.n_first_images, both.n_maps) == (0.25, 4, 8)
