"""Rows of `evaluation`: a figure, its baseline and its number of images; the interval over all folds."""

import pytest

from fer_batch.pipeline.study.comparisons.cue_rows import rows_of_network


def test_rows_are_of_classes_layers_folds_and_their_mean(cues):
    network = cues(folds=(0, 1), cams=(("cam", 0.6),))
    rows = list(rows_of_network(network))
    att = {(row.target, row.fold): row for row in rows if (row.metric, row.layer) == ("att_cos", "layer4")}
    assert set(att) == {(target, fold) for target in (None, *network.classes) for fold in (None, 0, 1)}
    assert "neutral" not in network.classes and len(network.classes) == 6
    mean = sum(att[target, None].value for target in network.classes) / 6
    assert att[None, None].value == pytest.approx(mean) and att[None, None].baseline == pytest.approx(0.5)
    assert {row.explain for row in att.values()} == {"none"} and {row.model for row in rows} == {network.name}
    cam = [row for row in rows if row.metric == "cam_cos"]
    assert {(row.explain, row.layer) for row in cam} == {("cam", None)} and len(cam) == 3 * 7
    ends = {row.metric: row for row in rows if row.explain == "cam" and row.target is None and row.fold is None}
    assert ends["cam_cos_low"].value < ends["cam_cos"].value < ends["cam_cos_high"].value
    assert ends["cam_cos_low"].n == 7 and ends["cam_cos"].n == sum(len(fold.labels) for fold in network.folds)


def test_too_few_people_have_no_interval(cues):
    rows = list(rows_of_network(cues(subjects=3)))
    assert {row.metric for row in rows} == {"att_cos", "cam_cos"} and {row.fold for row in rows} == {None}
