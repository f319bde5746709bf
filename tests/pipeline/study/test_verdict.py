"""Verdict of a study: F1 over all test samples, whatever was drawn to be explained."""

import numpy as np
import pytest

from fer_batch.evaluate.detection import f1_score
from fer_batch.pipeline.study.choose import chosen
from fer_batch.pipeline.study.comparisons.verdict import DRAWN, counts_of, verdict
from fer_batch.storage.parquet import encode, rows_of


@pytest.mark.parametrize("head", ["softmax", "multilabel"])
def test_counts_are_those_of_all_samples(study, head):
    net = study.network(n=200, head=head)
    for place, target in enumerate(net.model.targets):
        truth, found = net.labels[:, place] == 1, net.detected[:, place]
        expected = [200, (truth & found).sum(), (~truth & found).sum(), (truth & ~found).sum()]
        np.testing.assert_array_equal(counts_of(net, target), expected)


def put_evidence(work, folds):
    """Detections with a mu of half of the samples that each fold explains, and the truth."""
    annotations = []
    for cell, net in zip(work.cells, folds, strict=True):
        samples, rows = net.samples.to_pylist(), chosen(net, work.study.config.runs.choose).tolist()
        keys = [{name: samples[row][name] for name in ("sequence_id", "frame_index")} for row in rows]
        detections = [
            {**key, "target": target, "active": bool(net.detected[row, place]), "mu": 0.6, "region_share": 0.2}
            for key, row in zip(keys, rows, strict=True)
            for place, target in enumerate(net.model.targets)
        ]
        annotations += [
            {**key, "target": target, "occurrence": bool(net.labels[row, place] == 1)}
            for key, row in zip(keys, rows, strict=True)
            for place, target in enumerate(net.model.targets)
        ]
        subjects = {key["sequence_id"]: samples[row]["subject_id"] for key, row in zip(keys, rows, strict=True)}
        known = {"status": "done", "run_id": "r"}
        sequences = [{"sequence_id": one, "subject_id": who, **known} for one, who in subjects.items()]
        for table, found in (("sequences", sequences), ("detections", detections)):
            work.store.put(f"{cell.partition.folder(table)}/shard.parquet", encode(rows_of(table, found)))
    folder = work.cells[0].partition.folder("annotations")
    work.store.put(f"{folder}/shard.parquet", encode(rows_of("annotations", annotations)))


@pytest.mark.parametrize("per_class", [40, None])
def test_the_f1_of_a_draw_is_over_all_samples_and_the_page_says_so(study, tmp_path, per_class):
    folds = [study.network(n=300, subjects=5, fold=fold, seed=fold, name="r-1", head="multilabel") for fold in (0,)]
    cells = [study.cell(tmp_path, net, "z", rows=[0]) for net in folds]
    work = study.work(tmp_path, cells, [("r-1", {"seed": 0})], choose={"per_class": per_class})
    put_evidence(work, folds)
    found = verdict(work)
    values = {row.target: (row.value, row.n) for row in found.rows if row.metric == "f1"}
    net = folds[0]
    for target in net.model.targets:
        known, *errors = counts_of(net, target)
        assert values[target] == (pytest.approx(float(f1_score(*errors))), known)
    (section,) = found.page.sections
    assert section.title == "r-1 (seed=0), z"
    assert (DRAWN in section.notes) == (per_class is not None)
    mu = {row.target: row.n for row in found.rows if row.metric == "mu"}
    rows = chosen(net, work.study.config.runs.choose)
    hits = (net.detected[rows] & (net.labels[rows] == 1)).sum(0)
    assert mu == {target: n for target, n in zip(net.model.targets, hits.tolist(), strict=True) if n}
