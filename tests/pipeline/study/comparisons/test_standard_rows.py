"""Rows of `evaluation`; test_standard_heatmaps.py has those of whole studies."""

import numpy as np
import pytest

from fer_batch.evaluate.overlap import foreground, overlap
from fer_batch.pipeline.partition.heatmap_files import HeatmapFiles
from fer_batch.pipeline.partition.heatmap_scores import heatmap_scores
from fer_batch.pipeline.study.comparisons.standard_page import VariantMaps
from fer_batch.pipeline.study.comparisons.standard_rows import rows_of_variant
from fer_batch.pipeline.study.heatmap_files import NetworkMaps
from fer_batch.pipeline.study.standard_maps import StandardSum, pooled
from fer_batch.regions import expression_masks

FEAR = expression_masks()["fear"]


def variant(seeds=(0, 1, 2), pretrained=(), classes=("fear", "neutral")):
    """Networks with noisy maps of the mask; only fear has a mask."""
    networks = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        sums = {name: StandardSum(4, 4 * (FEAR + rng.random(FEAR.shape))) for name in classes}
        networks.append(NetworkMaps(f"n{seed}-x", f"n{seed}", ((None, sums),), sums))
    masks = {"fear": FEAR} if "fear" in classes else {}
    maps = {name: {one.title: one.grey[name] for one in networks} for name in masks}
    scores = heatmap_scores(HeatmapFiles(maps, masks), pretrained) if maps else None
    return VariantMaps("lime", tuple(networks), pooled([one.total for one in networks]), masks, scores)


def test_a_network_that_was_given_has_no_folds_and_the_chance_of_a_precision_is_the_area_of_the_mask():
    rows = list(rows_of_variant(variant()))
    assert {row.fold for row in rows} == {None} and {row.explain for row in rows} == {"lime"}
    precision = [row for row in rows if row.metric == "heatmap_precision" and row.model == "n1-x" and row.target]
    assert [row.baseline for row in precision] == [pytest.approx(0.3, abs=0.005)]
    (over,) = [row for row in rows if row.metric == "heatmap_iou" and not row.model and row.target == "fear"]
    everything = variant().over["fear"]
    assert over.value == overlap(foreground(everything.mean)[None], FEAR[None]).iou[0] and over.n == 12
    assert not any(row.target == "neutral" for row in rows)


@pytest.mark.parametrize("metric", ["iou", "precision", "recall", "f1", "mu"])
def test_every_figure_has_its_mean_over_classes(metric):
    rows = [row for row in rows_of_variant(variant()) if row.metric == f"heatmap_{metric}" and row.model == "n1-x"]
    assert [row.target for row in rows] == ["fear", None] and rows[0].value == rows[1].value


def test_kinds_are_told_apart_where_there_are_two_of_each():
    few = {row.metric for row in rows_of_variant(variant(pretrained=("n0",)))}
    many = {row.metric for row in rows_of_variant(variant(range(4), pretrained=("n0", "n1")))}
    kinds = {f"dendrogram_{name}{suffix}" for name in ("highest", "two_kinds") for suffix in ("", "_uncentred")}
    assert kinds <= many and not kinds & few


def test_classes_without_a_mask_leave_no_rows():
    assert list(rows_of_variant(variant(classes=("neutral",)))) == []
