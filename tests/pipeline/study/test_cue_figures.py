"""Figures of a network over its folds."""

import numpy as np
import pytest

from fer_batch.pipeline.study.cue_figures import Column
from fer_batch.pipeline.study.cue_measures import UNITS


def test_folds_are_pooled_image_by_image(cues):
    network, column = cues(folds=(0, 1)), Column("cam_cos", "cam")
    values = np.concatenate([fold.cosines[column] for fold in network.folds])
    labels = np.concatenate([fold.labels for fold in network.folds])
    target = network.classes[0]
    assert network.pooled(column, target).mean == pytest.approx(values[labels == target].mean())
    one = network.pooled(column, target, network.folds[1])
    assert one.n == (network.folds[1].labels == target).sum() < network.pooled(column, target).n
    table = network.table()
    assert table.mean[0, network.columns.index(column)] == pytest.approx(values[labels == target].mean())
    assert network.table(constant=True).macro == pytest.approx(0.5)
    assert network.sums[UNITS, target].n == (labels == target).sum()
    assert [one.name for one in network.layers][-1] == "layer4" and network.explanations == (column,)


def test_the_score_is_accuracy_or_mean_f1(cues):
    classes = cues()
    fold = classes.folds[0].network
    assert classes.score == pytest.approx((fold.logits.argmax(1) == fold.labels.argmax(1)).mean())
    units = cues(head="multilabel")
    assert 0 < units.score < 1 and len(units.classes) > 7


def test_an_explanation_that_failed_in_one_fold_is_no_column(cues):
    network = cues(folds=(0, 1), cams=(("cam", 0.5), ("lime", 0.5)))
    del network.folds[1].cosines[Column("cam_cos", "lime")]
    assert [one.name for one in network.explanations] == ["cam"]
    assert network.table().mean.shape == (6, 6)
