"""Figures of a network of classes, against scikit-learn."""

import json

import numpy as np
import pytest
from sklearn import metrics

from fer_batch.evaluate.detection import classification
from fer_batch.models.card import Card
from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation import NEW_PEOPLE, evaluate_output
from fer_batch.pipeline.partition.evaluation_text import evaluation_text
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store

PARTITION = Partition("d", "m-1", "e-1")


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
