"""Figures from tables, against the room that defines them."""

import numpy as np
import pytest

from fer_batch.evaluate.detection import f1
from fer_batch.pipeline.partition.evaluation import evaluate_output
from fer_batch.pipeline.partition.evaluation_text import evaluation_text
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
