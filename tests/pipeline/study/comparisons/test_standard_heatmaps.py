import json

import numpy as np
import pytest
from click.testing import CliRunner

from fer_batch.cli import cli
from fer_batch.evaluate.overlap import foreground, overlap
from fer_batch.pipeline.study.comparisons.standard_heatmaps import (
    accuracy,
    facts_of,
    mask_of,
    short_titles,
    standard_heatmaps,
)
from fer_batch.pipeline.study.standard_maps import pooled, read_sums, sums_task
from fer_batch.report.page import Published
from fer_batch.storage.parquet import read, unpack_maps
from fer_batch.types import InputError

FOUR = {
    "weinet-0a": None,
    "silnet-0b": None,
    "resnet50-0c": "resnet50.safetensors",
    "vgg16-0d": "/files/vgg16.safetensors",
}
EXPRESSIONS = ["anger", "disgust", "fear", "happiness", "sadness", "surprise"]


@pytest.fixture(scope="module")
def compared(made_study_once):
    study = made_study_once(networks=FOUR, n=42, lost=1)
    study.compute()
    return study, standard_heatmaps(study.work)


def of(rows, metric, **wanted):
    return [r for r in rows if r.metric == metric and all(getattr(r, name) == v for name, v in wanted.items())]


def test_every_network_and_fold_and_all_together_have_an_overlap_with_every_mask(compared):
    _study, found = compared
    for name in FOUR:
        for fold in (None, 0, 1):
            ious = of(found.rows, "heatmap_iou", model=name, fold=fold)
            assert [row.target for row in ious] == [*EXPRESSIONS, None]
            assert ious[-1].value == pytest.approx(np.mean([row.value for row in ious[:-1]]))
            assert ious[-1].n == sum(row.n for row in ious[:-1])
    assert len(of(found.rows, "heatmap_iou", model="")) == 7
    assert {len(of(found.rows, f"heatmap_{name}", model="")) for name in ("precision", "recall", "f1")} == {7}
    scratch, shifted = (of(found.rows, "heatmap_iou", model=name, fold=None)[-1].value for name in list(FOUR)[1:3])
    assert scratch > 0.8 > shifted + 0.2


def test_every_heatmap_says_how_much_of_it_is_in_the_mask_beside_chance(compared):
    _study, found = compared
    for model, marked in (("weinet-0a", True), ("vgg16-0d", False)):
        *rows, over = of(found.rows, "heatmap_mu", model=model, fold=None)
        assert over.target is None and over.value == pytest.approx(np.mean([row.value for row in rows]))
        assert [row.target for row in rows] == EXPRESSIONS
        assert all(row.baseline == pytest.approx(mask_of(row.target).mean()) for row in rows)
        assert all(row.value > 0.75 for row in rows) == marked
    (section,) = (one for one in found.page.sections if one.title == "Overlap with the masks")
    table = section.tables[-1]
    assert table.title == "mu" and [row[0] for row in table.rows][-1] == "chance" and len(table.rows) == 5
    shown = dict(zip(table.columns, next(row for row in table.rows if row[0] == "weinet"), strict=True))
    assert shown["fear"] == of(found.rows, "heatmap_mu", model="weinet-0a", fold=None, target="fear")[0].value


def test_folds_are_pooled_and_the_figures_are_those_of_the_sums(compared):
    study, found = compared
    cells = [cell for cell in study.cells if cell.network.name == "silnet-0b"]
    results = [sums_task(study.work, cell, "none") for cell in cells]
    sums = pooled([read_sums(study.store, json.loads(study.store.read_bytes(task.path))["path"]) for task in results])
    (row,) = of(found.rows, "heatmap_iou", model="silnet-0b", fold=None, target="fear")
    expected = overlap(foreground(sums["fear"].mean)[None], mask_of("fear")[None]).iou[0]
    assert row.value == expected and row.n == sums["fear"].n


def test_pretrained_networks_are_apart_and_lower_than_the_root(compared):
    _, found = compared
    for target in EXPRESSIONS:
        assert [row.value for row in of(found.rows, "dendrogram_two_kinds", target=target)] == [1.0]
        heights = of(found.rows, "dendrogram_height", target=target)
        assert len(heights) == 3 and len(of(found.rows, "heatmap_correlation", target=target)) == 6
        highest = {row.group: row.value for row in of(found.rows, "dendrogram_highest", target=target)}
        assert set(highest) == {"pretrained", "scratch"} and max(highest.values()) < heights[-1].value
        assert len(of(found.rows, "heatmap_correlation_uncentred", target=target)) == 6


def test_the_command_reads_the_files_back_with_the_same_figures(compared):
    study, found = compared
    folder = f"{study.store.uri}/report/studies/sh/standard_heatmaps"
    asked = ["heatmaps", "--evaluate", f"{folder}/lime/grey", "--masks", f"{folder}/masks", "--json"]
    for name in ("resnet50", "vgg16"):
        asked += ["--pretrained", name]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)["expressions"]
    assert set(printed) == set(EXPRESSIONS)
    for row in found.rows:
        if row.metric == "heatmap_iou" and row.model and row.fold is None and row.target:
            theirs = printed[row.target]["overlap"][row.model.rpartition("-")[0]]["iou"]
            assert theirs == pytest.approx(row.value, abs=1e-4)
    tree = [merge["height"] for merge in printed["anger"]["merges"]["centred"]]
    assert tree == pytest.approx([row.value for row in of(found.rows, "dendrogram_height", target="anger")])
    assert len(list(study.store.walk("report/studies/sh/standard_heatmaps/lime/jet"))) == 7 * 4  # neutral has no mask


def test_table_heatmaps_has_every_map_on_the_standard_face(compared):
    study, _ = compared
    rows = read(study.store, "heatmaps").to_pylist()
    assert {row["face"] for row in rows} == {"standard"} and {row["normalisation"] for row in rows} == {"none"}
    by_model = {}
    for row in rows:
        by_model.setdefault(row["model"], set()).add((row["group"], row["fold"]))
    assert set(by_model) == {*FOUR, "study-sh"}
    assert {fold for _, fold in by_model["silnet-0b"]} == {None, 0, 1}
    assert {fold for _, fold in by_model["study-sh"]} == {None} and len(by_model["study-sh"]) == 7
    n = {row["model"]: row["n"] for row in rows if row["fold"] is None and row["group"] == "fear"}
    assert n["study-sh"] == sum(n[name] for name in FOUR)
    (first,) = unpack_maps(read(study.store, "heatmaps").slice(0, 1))
    assert first.shape == (275, 224)


def test_the_page_says_what_networks_started_from_and_has_published_figures_beside(compared):
    _study, found = compared
    sections = {section.title: section for section in found.page.sections}
    table = sections["Networks"].tables[0]
    assert {row[0]: row[1] for row in table.rows} == {
        "weinet": "nothing (from scratch)",
        "silnet": "nothing (from scratch)",
        "resnet50": "resnet50.safetensors",
        "vgg16": "vgg16.safetensors",
    }
    assert [row[-2:] for row in table.rows] == [(82, 2)] * 4  # one image of each fold has no landmarks
    assert {"Masks", "Every class", "Networks from scratch", "Pretrained networks", "Which networks look alike"} <= set(
        sections
    )
    iou = sections["Overlap with the masks"].tables[0]
    assert iou.columns == ("", *EXPRESSIONS, "mean")
    rows = [row[0].strip() for row in iou.rows]
    assert rows == [
        *("resnet50", "published", "silnet", "published", "vgg16", "published", "weinet", "published"),
        *("mean", "mean of the maps"),
    ]
    assert iou.rows[1][1:] == tuple(map(Published, (0.1944, 0.5156, 0.2226, 0.2797, 0.4236, 0.3252, 0.3269)))
    assert len(sections["Which networks look alike"].figures) == 6
    assert "divides pretrained networks" in sections["Which networks look alike"].notes[0]


def test_faces_without_landmarks_are_one_sentence(made_study):
    study = made_study(lost=24, folds=(0,), networks={"weinet-0a": None})
    study.compute()
    with pytest.raises(InputError, match="needs landmarks of faces"):
        standard_heatmaps(study.work)


@pytest.mark.parametrize(("target", "share"), [("fear", 0.3), ("AU12", None), ("pain", None), ("neutral", 0.0)])
def test_a_class_has_the_mask_of_its_expression_or_the_regions_of_its_units(target, share):
    mask = mask_of(target)
    if share == 0.0:
        assert mask is None
    else:
        assert mask.shape == (275, 224) and 0 < mask.mean() < 0.5
        assert share is None or abs(mask.mean() - share) < 0.005


def test_accuracy_is_of_samples_with_a_truth():
    logits = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    labels = np.array([[1, 0], [1, 0], [np.nan, np.nan], [0, 1]], np.float32)
    assert accuracy(logits, labels) == pytest.approx(1 / 3)
    assert np.isnan(accuracy(logits, np.full((4, 2), np.nan, np.float32)))


def test_networks_are_called_without_their_digest_where_that_tells_them_apart(made_study):
    assert short_titles(["a-1", "a-2", "b-1", "c"]) == {"a-1": "a-1", "a-2": "a-2", "b-1": "b", "c": "c"}
    study = made_study(folds=(0,), networks={"weinet-0a": None})
    (facts,) = facts_of(study.work).values()
    assert facts.kind == "Networks from scratch" and 0 <= facts.accuracy[0] <= 1
