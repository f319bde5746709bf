"""One rule says when an annotation means present: in training, evaluation, pages and what is explained."""

import itertools

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from fer_batch.config import build
from fer_batch.evaluate.detection import f1
from fer_batch.facs import OccurrenceRule
from fer_batch.output.run_record import RunRecord
from fer_batch.pipeline.partition.evaluation import evaluate_output
from fer_batch.pipeline.partition.evaluation_text import evaluation_json, evaluation_text
from fer_batch.pipeline.report.data import occurrences
from fer_batch.pipeline.training.labels import class_labels, occurrence_labels
from fer_batch.sources.sidecar import read_annotations
from fer_batch.sources.truth import read_truth
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.training.settings import LabelSettings
from fer_batch.types import InputError, SequenceRef

PARTITION = Partition("d", "m-1", "e-1")
TARGETS = ("AU01", "AU04", "AU12")
N_FRAMES = 40
RULES = {"default": {}, "T-VP": {"present_from": 1.0}, "open": {"present_from": 3.5, "absent_to": 1.0}}


@pytest.fixture
def sidecar():
    """Intensities of 0 to 5 in halves, some missing, some beside an occurrence that disagrees."""
    rng = np.random.default_rng(0)
    lines = ["frame_index,target,intensity,occurrence"]
    for frame, target in itertools.product(range(N_FRAMES), TARGETS):
        value = rng.integers(0, 11) / 2
        lines.append(f"{frame},{target},{value:g},")
    return "\n".join(lines).encode()


def written(tmp_path, sidecar, labels):
    """An output of one clip with random detections, whose job has a section `labels`."""
    store, rng = Store(str(tmp_path)), np.random.default_rng(1)
    table = read_annotations(sidecar, "a.annotations.csv")
    active = rng.random((N_FRAMES, len(TARGETS))) < 0.5
    here = [
        {"sequence_id": "s.mp4", "frame_index": f, "target": t} for f, t in itertools.product(range(N_FRAMES), TARGETS)
    ]
    tables = {
        "sequences": [{"sequence_id": "s.mp4", "kind": "video", "status": "done", "run_id": "r"}],
        "detections": [
            {**key, "active": bool(on), "mu": float(on) / 2, "region_share": 0.1}
            for key, on in zip(here, active.ravel(), strict=True)
        ],
        "annotations": [{**row, "sequence_id": "s.mp4"} for row in table.to_pylist()],
    }
    for name, rows in tables.items():
        store.put(f"{PARTITION.folder(name)}/a.parquet", encode(rows_of(name, rows), {"head": "multilabel"}))
    job = {"name": "d", "source": {"uri": "in"}, "output": str(tmp_path), "model": {"checkpoint": "demo"}}
    RunRecord(store, PARTITION, build({**job, "labels": labels}, "test")).write({"found": 1})
    return store, table, active


def training_rows(table):
    """The same annotations as a training keeps them, one row a frame."""
    frames = [[row for row in table.to_pylist() if row["frame_index"] == f] for f in range(N_FRAMES)]
    lists = {
        "targets": pa.array([[row["target"] for row in rows] for rows in frames], pa.list_(pa.string())),
        "intensity": pa.array([[row["intensity"] for row in rows] for rows in frames], pa.list_(pa.float32())),
        "occurrence": pa.array([[row["occurrence"] for row in rows] for rows in frames], pa.list_(pa.bool_())),
    }
    return pa.table({**lists, "emotion": pa.nulls(N_FRAMES, pa.string())})


@pytest.mark.parametrize("labels", RULES.values(), ids=RULES)
def test_a_file_of_intensities_is_evaluated_as_training_labels_it(tmp_path, sidecar, labels):
    store, table, active = written(tmp_path, sidecar, labels)
    (result,) = evaluate_output(store)
    truth = occurrence_labels(training_rows(table), TARGETS, LabelSettings(**labels))
    expected = f1(active, truth)
    assert 0 < np.isnan(truth).sum() < truth.size
    figures = {(row["metric"], row["target"]): row for row in result.rows}
    for a, target in enumerate(TARGETS):
        assert figures["f1", target]["value"] == pytest.approx(expected.f1[a])
        assert figures["f1", target]["n"] == expected.n[a]
        assert figures["mu", target]["n"] == expected.true_positives[a], "mu is over true positives alone"
    assert result.n_graded == (~np.isnan(truth)).sum()
    rule = OccurrenceRule(**labels)
    assert f"{result.n_graded} labels are intensities: {rule.words}" in evaluation_text([result])
    said = evaluation_json([result], [None])["partitions"][0]["labels"]
    assert (said["absent_to"], said["n_by_intensity"]) == (rule.absent_to, result.n_graded)
    shown = occurrences(store, "d", ["s.mp4"], rule)["s.mp4"]
    for a, target in enumerate(TARGETS):
        np.testing.assert_array_equal(np.sort(shown[target]), np.flatnonzero(truth[:, a] == 1))


@pytest.mark.parametrize("labels", RULES.values(), ids=RULES)
def test_sql_says_the_same_as_arrays(labels):
    rule = OccurrenceRule(**labels)
    values = list(itertools.product([None, True, False], [None, *(np.arange(0, 51) / 10)]))
    stated, graded = (
        pa.array(column, kind)
        for column, kind in zip(zip(*values, strict=True), (pa.bool_(), pa.float32()), strict=True)
    )
    annotations = pa.table({"number": range(len(values)), "occurrence": stated, "intensity": graded})
    found = duckdb.sql(f"SELECT {rule.sql} FROM annotations ORDER BY number").fetchall()
    arrays = [np.array([np.nan if v is None else v for v in column.to_pylist()], float) for column in (stated, graded)]
    expected = rule.occurs(*arrays)
    assert [np.nan if v is None else float(v) for (v,) in found] == pytest.approx(expected.tolist(), nan_ok=True)
    assert len(annotations) and {0.0, 1.0} < set(expected.tolist())


def test_a_stated_occurrence_wins_unless_the_rule_names_an_intensity():
    stated, graded = np.array([1, 0, np.nan, np.nan, np.nan, 1]), np.array([0, 5, 2, 1.9, 0, np.nan])
    np.testing.assert_array_equal(OccurrenceRule().occurs(stated, graded), [1, 0, 1, np.nan, 0, 1])
    np.testing.assert_array_equal(OccurrenceRule(1.5).occurs(stated, graded), [0, 1, 1, 1, 0, 1])
    with pytest.raises(ValueError, match="absent_to 2 must be below present_from 2"):
        OccurrenceRule(absent_to=2.0)
    job = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}
    with pytest.raises(InputError, match="labels: absent_to 3 must be below present_from 1"):
        build({**job, "labels": {"present_from": 1, "absent_to": 3}}, "test")


def test_what_is_explained_as_annotated_and_the_class_of_an_input_follow_intensities(tmp_path):
    clip = tmp_path / "a.annotations.csv"
    clip.write_text(
        "frame_index,target,intensity,occurrence\n0,AU04,3,\n0,AU12,1,\n1,AU04,0,\n1,fear,4,\n1,valence,4,\n"
    )
    truth = read_truth(SequenceRef("a", "video", "a.mp4", 1, "1", annotation_uris=(str(clip),)))
    assert truth.present() == {0: ["AU04"], 1: ["fear", "valence"]}
    assert truth.present(OccurrenceRule(1.0)) == {0: ["AU04", "AU12"], 1: ["fear", "valence"]}
    assert truth.emotion == "fear"
    table = truth.annotations.filter(pa.compute.equal(truth.annotations["frame_index"], 1))
    rows = training_rows(table).slice(1, 1)
    np.testing.assert_array_equal(class_labels(rows, ["fear"], LabelSettings()), [[1]])
