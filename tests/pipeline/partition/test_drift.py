"""Nights of a partition: figures by hand, what is planted is found and nothing else, and what is said of it."""

import datetime as dt
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_batch import cli
from fer_batch.output.query import connect, resolve_query
from fer_batch.output.verify import verify
from fer_batch.pipeline.partition.drift import (
    CHANGE,
    ELSEWHERE,
    drift_of,
    publish_drift,
    recorded_window,
    reference_nights,
)
from fer_batch.pipeline.partition.drift_text import drift_json, drift_text
from fer_batch.pipeline.partition.night_series import KINDS, Night
from fer_batch.pipeline.report.nights import contents_of
from fer_batch.report.nights import nights_page
from fer_batch.report.page import RunSummary
from fer_batch.storage.parquet import read, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table
from fer_batch.types import InputError

WORLD = Path(__file__).parents[3] / "benchmarks" / "nights_world.py"


@pytest.fixture(scope="module")
def world():
    spec = importlib.util.spec_from_file_location("nights_world", WORLD)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def ward(world, tmp_path_factory):
    """17 nights; in the last two the network looks elsewhere for AU12, and in the one before clips are cut off."""
    plan = world.Plan(n_nights=17, elsewhere=(15, 16), failing=(14,), annotated=True)
    store = world.write_nights(str(tmp_path_factory.mktemp("ward")), plan)
    return store, plan, drift_of(store, world.HERE)


def figures(found, kind, target=None, look=None):
    key = (kind, target, look)
    return next(one for one in found.charted if (one.series.kind.name, one.series.target, one.series.look) == key)


def test_figures_are_those_of_the_rows(ward, world):
    _, plan, found = ward
    clips = [row["sequence_id"] for row in plan.rows["sequences"] if row["run_id"] == world.run_of(3)]
    rows = [row for row in plan.rows["detections"] if row["sequence_id"] in clips and row["target"] == "AU12"]
    on = [row for row in rows if row["active"]]
    truth = {(r["sequence_id"], r["frame_index"]): r["occurrence"] for r in plan.rows["annotations"]}
    right = sum(truth[r["sequence_id"], r["frame_index"]] for r in on)
    wrong = sum(truth[r["sequence_id"], r["frame_index"]] != r["active"] for r in rows)
    ok = [row["status"] == "ok" for row in plan.rows["frames"] if row["sequence_id"] in clips]
    looks = {r["sequence_id"]: r["look"] for r in plan.rows["cluster_looks"] if r["target"] == "AU12"}
    n = {r["sequence_id"]: r["n_frames"] for r in plan.rows["prototypes"] if r["target"] == "AU12"}
    wanted = {
        ("active", "AU12", None): len(on) / len(rows),
        ("confidence", "AU12", None): np.mean([row["probability"] for row in on]),
        ("mu", "AU12", None): np.mean([row["mu"] / row["region_share"] for row in on]),
        ("f1", "AU12", None): 2 * right / (2 * right + wrong),
        ("faces", None, None): np.mean(ok),
        ("failed", None, None): 0.0,
        ("look", "AU12", 2): sum(n[c] for c in clips if looks.get(c) == 2) / sum(n[c] for c in clips if c in n),
        ("look", "AU12", None): 0.0,
    }
    for key, value in wanted.items():
        night = figures(found, *key).series.nights[3]
        assert night.value == pytest.approx(value, rel=1e-6), key
        assert night.n_subjects == 8 or key[0] in ("mu", "confidence", "look", "f1")
    assert figures(found, "failed").series.nights[14].value == 0.5
    assert {one.series.kind for one in found.charted} == set(KINDS)


def test_what_is_planted_is_found_and_nothing_else(ward):
    _, _, found = ward
    assert {(alarm.charted.series.kind.name, alarm.charted.series.target) for alarm in found.alarms} == {
        ("mu", "AU12"), ("look", "AU12"), ("failed", None)}  # fmt: skip
    assert [(a.night, a.kind, a.charted.name) for a in found.alarms[:2]] == [
        (16, ELSEWHERE, "AU12: mu over chance"), (15, ELSEWHERE, "AU12: mu over chance")]  # fmt: skip
    assert {alarm.night for alarm in found.alarms if alarm.kind == CHANGE} <= {14, 15, 16}
    assert {(thing.night, thing.name) for thing in found.new_looks} == {(15, "AU12@3")}
    assert {(thing.night, thing.name, thing.n) for thing in found.new_prototypes} == {(16, "(AU01, AU12)", 8)}
    assert [(one.night, one.status, one.n) for one in found.failures] == [(14, "failed", 4)]


def test_undisturbed_nights_raise_no_alarm_and_an_unsure_network_is_no_hidden_change(world, tmp_path):
    calm = world.write_nights(str(tmp_path / "calm"), world.Plan(n_nights=16, seed=5))
    assert drift_of(calm, world.HERE).alarms == []
    unsure = world.write_nights(str(tmp_path / "unsure"), world.Plan(n_nights=14, seed=6, unsure=(12, 13)))
    found = drift_of(unsure, world.HERE)
    mine = [alarm for alarm in found.alarms if alarm.charted.series.kind.name == "mu"]
    assert [alarm.kind for alarm in mine] == [CHANGE] * 2


def test_the_table_says_what_the_page_shows(ward, world):
    store, _, found = ward
    publish_drift(store, found)
    rows = read(store, "drift").to_pylist()
    assert len(rows) == sum(night.n_frames > 0 for one in found.charted for night in one.series.nights)
    (row,) = [r for r in rows if (r["run_id"], r["figure"], r["target"]) == (world.run_of(16), "mu", "AU12")]
    assert row["alarm"] == ELSEWHERE and row["state"] == "below" and row["value"] < row["lower"] < row["centre"]
    assert {r["state"] for r in rows if r["run_id"] == world.run_of(0)} == {"reference"}
    assert sum(r["alarm"] is not None for r in rows) == len(found.alarms)
    assert recorded_window(store, world.HERE) == "10"
    assert verify(store).findings == []
    connection = connect(store)
    asked = connection.sql(resolve_query(connection, "drift")).to_arrow_table()["alarm"].to_pylist()
    assert asked[:2] == [ELSEWHERE] * 2 and len(asked) == len(found.alarms)


def test_lines_and_json_begin_with_what_looks_elsewhere(ward):
    _, _, found = ward
    lines = drift_text(found, "out", "page.html").splitlines()
    assert "night 17 of 17, 2026-01-17 01:30: 8 inputs, 160 frames, 0 failed" in lines[1]
    assert lines[2].startswith("  LOOKS ELSEWHERE AU12: mu over chance fell to ")
    assert "while the network stays as right or as sure as before" in lines[2]
    assert "  1 temporal prototype never seen before: (AU01, AU12) (8)" in lines
    values = json.loads(json.dumps(drift_json(found, None)))
    assert values["latest"][0] == values["alarms"][0]
    assert values["latest"][0]["alarm"] == ELSEWHERE and values["latest"][0]["side"] == "below"
    assert [night["reference"] for night in values["nights"]] == [True] * 10 + [False] * 7


def test_the_page_begins_with_what_looks_elsewhere_and_has_a_chart_of_every_figure(ward):
    _, _, found = ward
    text = nights_page(RunSummary("t", "d", "m", "e"), contents_of(found)).decode()
    assert text.index("AU12: mu over chance fell to") < text.index("Other figures beyond their limits")
    assert text.count("<svg") == len(found.charted)
    assert "no frame can be decoded" in text and "night14/S" in text


def test_the_command_keeps_the_exit_code_to_itself_unless_asked(world, tmp_path, capsys):
    store = world.write_nights(str(tmp_path / "out"), world.Plan(n_nights=12, n_people=5, n_frames=8, elsewhere=(11,)))
    assert cli.main(["nightly", store.uri]) == 0
    said = capsys.readouterr().out
    assert "LOOKS ELSEWHERE" in said and said.strip().endswith("nights.html")
    assert cli.main(["nightly", store.uri, "--fail-on-drift", "--json"]) == 4
    (values,) = json.loads(capsys.readouterr().out)
    assert Path(values["page"]).exists()
    assert cli.main(["nightly", store.uri, "--reference", "2026-01-01..2026-01-12", "--fail-on-drift"]) == 0
    assert recorded_window(store, world.HERE) == "2026-01-01..2026-01-12"
    assert cli.main(["nightly", store.uri, "--reference", "2025-01-01..2025-01-12", "--fail-on-drift"]) == 1
    assert "started in the reference window 2025-01-01..2025-01-12 (dates are UTC)" in capsys.readouterr().err
    assert recorded_window(store, world.HERE) == "2026-01-01..2026-01-12", "a window without a night is not kept"
    assert cli.main(["nightly", str(tmp_path)]) == 1


def test_few_nights_say_that_they_are_few(world, tmp_path):
    store = world.write_nights(str(tmp_path), world.Plan(n_nights=3, n_people=2, n_frames=5))
    found = drift_of(store, world.HERE)
    assert found.n_charts == 0 and not found.alarms
    assert "limits need 5 nights with a figure in the reference window, which has 3" in drift_text(found, "o", None)
    page = nights_page(RunSummary("t", "d", "m", "e"), contents_of(found)).decode()
    assert "no limits yet" in page and page.count("cannot be said yet: no limits") == 2
    assert "Nowhere" not in page and "None." not in page


def test_a_partition_without_rows_has_a_line(world, tmp_path):
    store = Store(str(tmp_path))
    put_table(store, f"{world.HERE.folder('sequences')}/nights.parquet", rows_of("sequences", []))
    found = drift_of(store, world.HERE)
    assert drift_text(found, "o", None).endswith("\n  no night: it has no inputs")
    assert drift_json(found, None)["nights"] == []


def test_an_input_that_is_done_again_is_in_its_later_night_alone(world, tmp_path):
    plan = world.Plan(n_nights=2, n_people=2, n_frames=4)
    store = world.write_nights(str(tmp_path), plan)
    rows = plan.rows["sequences"]
    rows[0]["run_id"] = world.run_of(1)
    put_table(store, f"{world.HERE.folder('sequences')}/nights.parquet", rows_of("sequences", rows))
    assert [night.n_inputs for night in drift_of(store, world.HERE).nights] == [1, 3]


def test_people_of_one_input_are_one_input(world, tmp_path):
    plan = world.Plan(n_nights=2, n_people=2, n_frames=4)
    store = world.write_nights(str(tmp_path), plan)
    rows = plan.rows["sequences"]
    first = next(row for row in rows if row["run_id"] == world.run_of(0))
    first["uri"] = "file:///a.mp4"
    rows += [{**first, "sequence_id": f"{first['sequence_id']}#{k}"} for k in range(3)]
    put_table(store, f"{world.HERE.folder('sequences')}/nights.parquet", rows_of("sequences", rows))
    assert figures(drift_of(store, world.HERE), "failed").series.nights[0].n_frames == 2


def test_a_window_is_a_number_of_nights_or_two_dates():
    nights = [Night(f"r{k}", dt.datetime(2026, 1, 1 + k, 23, tzinfo=dt.UTC), None, None, 1, 1) for k in range(4)]
    nights.append(Night("r4", None, None, None, 1, 1))
    assert reference_nights(nights, "2").tolist() == [True, True, False, False, False]
    assert reference_nights(nights, "2026-01-02..2026-01-03").tolist() == [False, True, True, False, False]
    for window in ("0", "-1", "week", "2026-01-02", "2026-01-02..", ""):
        with pytest.raises(InputError, match=r"a number of nights or two dates \(10, 2026-01-01\.\.2026-01-14\), got"):
            reference_nights(nights, window)
    with pytest.raises(InputError, match="ends before it begins"):
        reference_nights(nights, "2026-01-03..2026-01-02")


def test_an_output_without_tables_has_no_nights(tmp_path):
    with pytest.raises(InputError, match="no output of fer-batch"):
        drift_of(Store(str(tmp_path)), None)
