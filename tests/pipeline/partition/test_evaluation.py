"""Figures from tables, against the room that defines them."""

import json

import numpy as np
import pytest
from sklearn import metrics

from fer_batch.evaluate.detection import classification, f1
from fer_batch.models.card import Card
from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation import NEW_PEOPLE, evaluate_output
from fer_batch.pipeline.partition.evaluation_text import evaluation_tables, evaluation_text
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError

PARTITION = Partition("d", "m-1", "e-1")
TARGETS = ("AU01", "AU04", "AU12")


@pytest.fixture
def output(tmp_path):
    """20 frames of 3 targets with random detections; every third label is unknown."""
    rng = np.random.default_rng(0)
    active = rng.random((20, 3)) < 0.5
    truth = np.where(rng.random((20, 3)) < 0.3, np.nan, rng.random((20, 3)) < 0.5)
    store = Store(str(tmp_path))

    def put(table, rows, metadata=None):
        store.put(f"{PARTITION.folder(table)}/a.parquet", encode(rows_of(table, rows), metadata))

    keys = [
        {"sequence_id": "s.mp4", "frame_index": frame, "target": target} for frame in range(20) for target in TARGETS
    ]
    put("sequences", [{"sequence_id": "s.mp4", "kind": "video", "status": "done", "run_id": "r"}])
    put(
        "detections",
        [
            {**key, "active": bool(on), "mu": 0.5, "region_share": 0.1}
            for key, on in zip(keys, active.ravel(), strict=True)
        ],
        {"head": "multilabel"},
    )
    annotations = [
        {**key, "occurrence": None if np.isnan(label) else bool(label)}
        for key, label in zip(keys, truth.ravel(), strict=True)
    ]
    annotations.append({"sequence_id": "s.mp4", "frame_index": 0, "target": "AU43", "occurrence": True})
    put("annotations", annotations[::-1])
    return store, active, truth


def test_f1_and_set_accuracy_are_those_of_the_arrays(output):
    store, active, truth = output
    (result,) = evaluate_output(store)
    found = {(row["metric"], row["target"]): row for row in result.rows}
    expected = f1(active, truth)
    for a, target in enumerate(TARGETS):
        assert found["f1", target]["value"] == pytest.approx(expected.f1[a])
        assert found["f1", target]["n"] == expected.n[a]
        true_positives = int((active[:, a] & (truth[:, a] == 1)).sum())
        measured = found.get(("mu", target), {"n": 0, "baseline": 0.1})
        assert measured["n"] == true_positives
        assert measured["baseline"] == pytest.approx(0.1)
    whole = ~np.isnan(truth).any(1)
    share = (active == (truth == 1)).all(1)[whole].mean()
    assert found["set_accuracy", None]["value"] == pytest.approx(share)
    assert found["set_accuracy", None]["n"] == whole.sum()
    assert result.unknown_targets == ("AU43",)
    text = evaluation_text([result])
    assert "annotated targets without an output: AU43" in text
    assert "AU12" in text


def test_labels_told_twice_change_no_figure(output):
    store, _, _ = output
    (before,) = evaluate_output(store)
    path = PARTITION.folder("annotations")
    store.put(f"{path}/b.parquet", store.read_bytes(f"{path}/a.parquet"))
    (after,) = evaluate_output(store)
    assert after.rows == before.rows


def test_an_output_without_tables_is_refused(tmp_path):
    (tmp_path / "tables").mkdir()
    with pytest.raises(InputError, match="run the job first"):
        evaluate_output(Store(str(tmp_path)))


def test_vp_e_folds_are_averaged_where_they_define_a_score(tmp_path):
    store = Store(str(tmp_path))
    trained = Partition("d", "net-1", "none")
    scores = {"AU01": (0.5, 0.7, None), "AU04": (None, None, None), "AU12": (1.0, 0.0, 0.5)}
    rows = [
        {"metric": "f1", "target": target, "fold": fold, "split": "test", "value": value, "n": 10}
        for target, values in scores.items()
        for fold, value in enumerate(values)
    ]
    rows.append({"metric": "f1", "target": "AU01", "fold": 0, "split": "validation", "value": 0.0, "n": 10})
    where = f"{trained.folder('evaluation')}/fold-000.parquet"
    store.put(where, encode(rows_of("evaluation", rows)))
    inputs = [{"sequence_id": "s.mp4", "kind": "video", "status": "done", "run_id": "r"}]
    store.put(f"{trained.folder('sequences')}/inputs.parquet", encode(rows_of("sequences", inputs)))
    (result,) = evaluate_output(store)
    assert result.n_folds == 3
    assert (result.folds["AU01"], result.folds["AU12"]) == (pytest.approx(0.6), pytest.approx(0.5))
    assert np.isnan(result.folds["AU04"])
    assert store.names(trained.folder("evaluation")) == ["fold-000.parquet"]
    (line,) = [line for line in evaluation_text([result]).splitlines() if line.startswith("d, mean of 3 folds")]
    assert line.split()[-4:] == [".600", "-", ".500", ".550"]


def told_of_two(store, explains=("lrp-1", "lrp-1")):
    """Evaluations of two data sets with stories."""
    told = (("actor_study", (120, 138), (16, 20)), ("ck_plus", (18, 18), (6, 6)))
    for (dataset, frames, stages), explain in zip(told, explains, strict=True):
        where = Partition(dataset, "m-1", explain)
        inputs, stories = [], []
        for i, (n, k) in enumerate(zip(frames, stages, strict=True)):
            name = {"sequence_id": f"{i}.mp4"}
            inputs.append({**name, "kind": "video", "status": "done", "run_id": "r"})
            ids = {"cooccurrence_id": f"{i}", "prototype_id": f"{i}"}
            stories.append({**name, "emotion": "surprise", "n_frames": n, "n_stages": k, **ids})
        store.put(f"{where.folder('sequences')}/a.parquet", encode(rows_of("sequences", inputs)))
        store.put(f"{where.folder('temporal_prototypes')}/a.parquet", encode(rows_of("temporal_prototypes", stories)))
    return evaluate_output(store)


@pytest.mark.parametrize(
    ("explains", "caption"),
    [
        (("lrp-1", "lrp-1"), "of the means over all sequences"),
        (
            ("lrp-1", "lrp-2"),
            "of the means over all sequences; faces, sampling or other settings of the explanation differ",
        ),
    ],
)
def test_tp_o_data_sets_told_with_other_faces_are_compared_and_say_so(tmp_path, explains, caption):
    (found,) = [
        t for t in evaluation_tables(told_of_two(Store(str(tmp_path)), explains)) if t.title == "data sets compared"
    ]
    assert found.rows == (("actor_study / ck_plus", "7.2", "3.0", "86 %", "67 %"),)
    assert found.caption == caption


def test_data_sets_told_by_two_methods_are_not_compared_and_that_is_said(tmp_path):
    results = told_of_two(Store(str(tmp_path)), ("lrp-1", "gradcam-1"))
    assert "data sets compared" not in {table.title for table in evaluation_tables(results)}
    assert evaluation_text(results).endswith("one method told the stories of both; here none are")


def test_tp_o_data_sets_are_compared_in_print_and_in_sql(tmp_path):
    results = told_of_two(store := Store(str(tmp_path)))
    tables = {table.title: table for table in evaluation_tables(results)}
    assert tables["data sets compared"].rows == (("actor_study / ck_plus", "7.2", "3.0", "86 %", "67 %"),)
    assert tables["temporal prototypes of ck_plus"].columns[1:4] == ("Fear", "Disgust", "Happy")
    by_row = {row[0]: row for row in tables["temporal prototypes of actor_study"].rows}
    assert by_row["mean reduction"][1:] == ("86 %", "86 %")
    assert by_row["  published"][1:] == ("-", "86 %")
    statement = """
        SELECT metric, a.value / b.value
        FROM evaluation a JOIN evaluation b USING (model, explain, metric, "group")
        WHERE metric IN ('mean frames', 'mean stages') AND "group" = 'all' AND a.dataset < b.dataset ORDER BY metric
    """
    asked = connect(store).execute(statement).fetchall()
    assert asked == [("mean frames", pytest.approx(129 / 18)), ("mean stages", pytest.approx(3))]


def test_classes_are_those_of_the_evaluate_room(tmp_path):
    classes, rng = ("anger", "fear", "happiness"), np.random.default_rng(1)
    true, predicted = rng.integers(-1, 4, 60), rng.integers(0, 3, 60)  # -1: not annotated; 3: a class it does not know
    store, found, truth = Store(str(tmp_path)), [], []
    for i, (label, chosen) in enumerate(zip(true, predicted, strict=True)):
        still = {"sequence_id": f"{i}.jpg", "frame_index": 0}
        found += [{**still, "target": name, "active": c == chosen} for c, name in enumerate(classes)]
        if label >= 0:
            truth.append({**still, "target": (*classes, "contempt")[label], "occurrence": True})
        truth.append({**still, "target": "AU12", "occurrence": True})  # beside its class, not addressed to this network
    inputs = [{"sequence_id": f"{i}.jpg", "kind": "still", "status": "done", "run_id": "r"} for i in range(60)]
    for table, rows in (("sequences", inputs), ("detections", found), ("annotations", truth)):
        store.put(f"{PARTITION.folder(table)}/a.parquet", encode(rows_of(table, rows), {"head": "softmax"}))
    (result,) = evaluate_output(store)
    expected = classification(predicted, np.where(true == 3, -1, true), 3)
    stored = {(row["metric"], row["target"]): row for row in result.rows}
    assert stored["accuracy", None]["value"] == pytest.approx(expected.accuracy)
    assert stored["accuracy", None]["n"] == result.n_annotated == ((true >= 0) & (true < 3)).sum()
    for metric in ("precision", "recall", "f1"):
        values = [stored[metric, name]["value"] for name in classes]
        np.testing.assert_allclose(values, getattr(expected, metric))
    assert (result.unknown_targets, result.verdicts) == (("contempt",), [])
    text = evaluation_text([result])
    assert "accuracy" in text
    known, guessed = true[(true >= 0) & (true < 3)], predicted[(true >= 0) & (true < 3)]
    weighted = metrics.precision_recall_fscore_support(known, guessed, average="weighted")[:3]
    for metric, value in zip(("precision", "recall", "f1"), weighted, strict=True):
        row = stored[f"{metric}_weighted", None]
        assert (row["value"], row["n"]) == (pytest.approx(value), len(known))
    asked = connect(store).execute(
        """SELECT target, "group", n, value FROM evaluation WHERE metric = 'confusion' ORDER BY target, "group" """
    )
    matrix = metrics.confusion_matrix(known, guessed)
    assert asked.fetchall() == [
        (classes[i], classes[j], matrix[i, j], pytest.approx(matrix[i, j] / matrix[i].sum()))
        for i in range(3)
        for j in range(3)
    ]
    lines = [line.split() for line in text.splitlines()]
    assert ["weighted", "by", "n", *(f"{v:.3f}".lstrip("0") for v in weighted), str(len(known))] in lines
    assert lines[-2 - 3] == ["anger", "fear", "happiness", "n"]
    assert lines[-2][-1] == str(matrix[2].sum())


def test_classes_of_people_not_trained_on_are_judged_alone_too(tmp_path):
    store, classes = Store(str(tmp_path / "out")), ("anger", "fear")
    shown = [("A", "anger", "anger"), ("B", "anger", "fear"), ("C", "fear", "fear"), ("C", "anger", "fear")]
    inputs, found, truth = [], [], []
    for i, (who, label, chosen) in enumerate(shown):
        still = {"sequence_id": f"{i}.jpg", "frame_index": 0}
        inputs.append({"sequence_id": f"{i}.jpg", "subject_id": who, "kind": "still", "status": "done", "run_id": "r"})
        found += [{**still, "target": name, "active": name == chosen} for name in classes]
        truth.append({**still, "target": label, "occurrence": True})
    frames = [{"sequence_id": "0.jpg", "frame_index": i, "status": s} for i, s in enumerate(["ok", "no_face"])]
    for table, rows in (("sequences", inputs), ("frames", frames), ("detections", found), ("annotations", truth)):
        store.put(f"{PARTITION.folder(table)}/a.parquet", encode(rows_of(table, rows), {"head": "softmax"}))
    other = {"f1_fold_mean": "a card may come from anyone", "n_folds": {"anger": "3"}}
    card = Card(name="m", head="softmax", targets=classes, trained_subjects=("else:A", "else:B"), metrics=other)
    (tmp_path / "net.json").write_text(card.model_dump_json())
    config = json.dumps({"model": {"checkpoint": str(tmp_path / "net.safetensors")}})
    store.put(f"{PARTITION.folder('runs')}/r.parquet", encode(rows_of("runs", [{"run_id": "r", "config": config}])))
    (result,) = evaluate_output(store)
    stored = {(row["metric"], row.get("group")): row for row in result.rows if not row["target"]}
    assert [stored["accuracy", None][key] for key in ("value", "n")] == [0.5, 4]
    assert [stored["accuracy", NEW_PEOPLE][key] for key in ("value", "n")] == [0.5, 2]
    cells = {(r["target"], r["group"], r.get("split")): r["n"] for r in result.rows if r["metric"] == "confusion"}
    assert (cells["anger", "fear", None], cells["anger", "fear", NEW_PEOPLE]) == (2, 1)
    text = evaluation_text([result])
    assert "trained on 2 of the 3 people here" in text
    assert "Known by their names alone" in text
    assert "only the person it was not trained on" in text
    assert "accuracy .500 over 2 frames" in text
    assert "\n1 of 2 frames show no usable face and are not judged (no_face 1)." in text
