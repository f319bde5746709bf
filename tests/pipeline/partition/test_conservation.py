"""Maps that do not add up to their logits: counted, told, recorded, and never judged."""

import json

import numpy as np
import pytest

from fer_batch.config import build
from fer_batch.output.latest_run import latest_run
from fer_batch.output.query import answer, connect, resolve_query
from fer_batch.output.run_record import RunRecord
from fer_batch.pipeline.partition.conservation import run_columns
from fer_batch.pipeline.partition.evaluation import evaluate_output
from fer_batch.pipeline.partition.evaluation_text import evaluation_json, evaluation_text
from fer_batch.pipeline.report.summary import summary_of
from fer_batch.pipeline.report.write import write_report
from fer_batch.storage.parquet import Partition, decode, encode, rows_of
from fer_batch.storage.store import Store

HERE = Partition("d", "m-1", "e-1")
PEOPLE = [f"P{i}" for i in range(6)]
N_FRAMES = 5
# Of each target: quotients of its frames, the same for everybody. AU04's median is beyond the band, AU12's within.
QUOTIENTS = {
    "AU01": [0.9, 1.0, 0.8, 1.1, 0.2],
    "AU04": [40.0, 0.9, 39.0, 476_820.0, -3.0],
    "AU12": [1.0, 2.0, 2.5, None, 0.4],
}


def job(output, **explain):
    """A job that explains with a preset of LRP unless it says otherwise."""
    values = {"name": "d", "source": {"uri": "in"}, "output": output, "model": {"checkpoint": "demo"}}
    return build({**values, "explain": {"method": "preset_a_flat", **explain}}, "test")


@pytest.fixture
def store(tmp_path):
    """Six people, all targets present and seen in five frames, and not seen in a sixth, which has no map."""
    store, rng = Store(str(tmp_path)), np.random.default_rng(0)
    found, truth, frames = [], [], []
    for name in PEOPLE:
        for frame in range(N_FRAMES + 1):
            here = {"sequence_id": f"{name}.mp4", "frame_index": frame}
            frames.append({**here, "status": "ok"})
            for target, quotients in QUOTIENTS.items():
                seen = frame < N_FRAMES
                row = {**here, "target": target, "active": seen, "logit": 1.0, "probability": 0.7 if seen else 0.1}
                if seen:
                    row |= {"mu": 0.6 + 0.01 * rng.random(), "region_share": 0.1, "conservation": quotients[frame]}
                found.append(row)
                truth.append({**here, "target": target, "occurrence": seen})
    inputs = [
        {"sequence_id": f"{name}.mp4", "subject_id": name, "kind": "video", "status": "done", "run_id": "r"}
        for name in PEOPLE
    ]
    tables = {"sequences": inputs, "frames": frames, "detections": found, "annotations": truth}
    for name, rows in tables.items():
        store.put(f"{HERE.folder(name)}/a.parquet", encode(rows_of(name, rows), {"head": "multilabel"}))
    return store


def recorded(store, **explain):
    """The end of a run: what it says of its maps is in its row of table `runs`."""
    config = job(store.uri, **explain)
    record = RunRecord(store, HERE, config)
    record.known |= run_columns(store, HERE, config)
    record.write({"found": len(PEOPLE)})


def test_pairs_outside_the_band_or_undefined_are_counted_told_and_recorded(store, capsys):
    recorded(store)
    said = capsys.readouterr().err
    # Of each person 4 of AU04 and 2 of AU12, one of them undefined; 0.2 and 2 are still within.
    assert "WARNING: 36 explained pairs have a map whose sum is not 0.2 to 2 times the logit (40.0 % of 90" in said
    assert "; the median of all is 1)" in said
    connection = connect(store)
    row = connection.execute("SELECT n_explained, n_unconserved, conservation_median FROM runs").fetchall()
    assert row == [(90, 36, 1.0)]
    shown = answer(connection, resolve_query(connection, "runs")).to_arrow_table().to_pylist()[0]
    assert (shown["n_explained"], shown["n_unconserved"], shown["conservation_median"]) == (90, 36, 1.0)


def test_the_verdict_is_open_where_the_median_is_outside(store):
    recorded(store)
    (result,) = evaluate_output(store)
    states = {verdict.target: verdict.state for verdict in result.verdicts}
    assert states == {"AU01": "ok", "AU04": "open", "AU12": "ok"}
    (sentence,) = [verdict.sentence for verdict in result.verdicts if verdict.target == "AU04"]
    assert sentence == (
        "AU04 is recognised (F1 1.00), but its maps sum to 39 times its logit (median), so where its evidence lies is "
        "open."
    )
    text = evaluation_text([result])
    assert "WARNING: 36 explained pairs" in text
    medians = {row["target"]: row["value"] for row in result.rows if row["metric"] == "conservation"}
    assert medians == pytest.approx({"AU01": 0.9, "AU04": 39.0, "AU12": 1.5})
    plain = json.loads(json.dumps(evaluation_json([result], [None])))["partitions"][0]
    assert plain["conservation"] == {"n_explained": 90, "n_outside": 36, "median": 1.0, "band": [0.2, 2.0]}
    assert [verdict["conserves"] for verdict in plain["verdicts"]] == [True, False, True]


def test_index_and_verdict_page_say_it_in_a_sentence(store):
    recorded(store)
    write_report(store)
    for page in ("index.html", "verdict.html"):
        html = store.read_bytes(f"report/d/m-1/e-1/{page}").decode()
        assert html.count("Maps that do not add up.") == 1
        assert "36 explained pairs have a map whose sum is not 0.2 to 2 times the logit" in html
    assert "its maps sum to 39 times its logit" in html


@pytest.mark.parametrize(
    "explain",
    [{"method": "grad_cam"}, {"method": "gradient"}, {"method": "lime"}, {"options": {"bias": "all"}}],
    ids=lambda explain: explain.get("method", "bias"),
)
def test_methods_that_need_not_conserve_are_exempt(store, capsys, explain):
    recorded(store, **explain)
    assert "WARNING" not in capsys.readouterr().err
    assert connect(store).execute("SELECT n_explained, n_unconserved FROM runs").fetchall() == [(None, None)]
    (result,) = evaluate_output(store)
    assert {verdict.state for verdict in result.verdicts} == {"ok"}
    assert result.conservation is None
    assert summary_of(HERE, latest_run(store, HERE), {}).conservation == ""


@pytest.mark.parametrize(
    ("targets", "n"),
    [("active", 90), ("all", 108), (["AU01", "AU12"], 102), ("annotated", 90)],  # AU04 has maps all the same
    ids=str,
)
def test_an_undefined_sum_counts_where_a_map_was_asked_for(store, targets, n):
    columns = run_columns(store, HERE, job(store.uri, targets=targets))
    assert columns["n_explained"] == n
    assert columns["n_unconserved"] == n - 54


def test_where_all_add_up_nothing_is_said(store, capsys):
    folder = HERE.folder("detections")
    rows = decode(store.read_bytes(f"{folder}/a.parquet")).to_pylist()
    sound = [row for row in rows if row["target"] == "AU01"]
    store.put(f"{folder}/a.parquet", encode(rows_of("detections", sound), {"head": "multilabel"}))
    recorded(store)
    assert "WARNING" not in capsys.readouterr().err
    assert connect(store).execute("SELECT n_explained, n_unconserved FROM runs").fetchall() == [(30, 0)]
    assert summary_of(HERE, latest_run(store, HERE), {}).conservation == ""


def test_a_few_maps_outside_are_said_without_a_warning(store, capsys):
    folder = HERE.folder("detections")
    rows = decode(store.read_bytes(f"{folder}/a.parquet")).to_pylist()
    sound = [row for row in rows if row["target"] == "AU01"]
    sound[0]["conservation"] = 2.5
    store.put(f"{folder}/a.parquet", encode(rows_of("detections", sound), {"head": "multilabel"}))
    recorded(store)
    said = capsys.readouterr().err
    assert "1 explained pair has a map whose sum is not 0.2 to 2 times the logit (3.3 % of 30" in said
    (result,) = evaluate_output(store)
    assert "1 explained pair has" in evaluation_text([result])
    assert "WARNING" not in said + evaluation_text([result])
    write_report(store)
    for page in ("index.html", "verdict.html"):
        html = store.read_bytes(f"report/d/m-1/e-1/{page}").decode()
        assert "1 explained pair has a map" in html
        assert "Maps that do not add up" not in html


def test_runs_of_an_earlier_version_are_read_beside_newer_ones(store):
    old = rows_of("runs", [{"run_id": "old", "counts": "{}"}])
    old = old.drop_columns(["n_explained", "n_unconserved", "conservation_median"])
    store.put(f"{HERE.folder('runs')}/0.parquet", encode(old))
    recorded(store)
    rows = connect(store).execute("SELECT run_id = 'old', n_explained FROM runs ORDER BY 1").fetchall()
    assert rows == [(False, 90), (True, None)]
