"""Class discrimination of a study: a figure for each training and explanation."""

import numpy as np
import pytest

from fer_batch.pipeline.study.comparisons.discrimination import class_discrimination
from fer_batch.types import InputError


def same(row, target):
    return np.random.default_rng(row).normal(size=(6, 6)).astype(np.float32)


def other(row, target):
    return np.random.default_rng([row, *target.encode()]).normal(size=(6, 6)).astype(np.float32)


def figures(found, model):
    rows = [row for row in found.rows if row.model == model and row.group is None]
    return {(row.explain, row.metric): row.value for row in rows}


def test_folds_are_pooled_and_networks_with_other_classes_are_not(study, tmp_path):
    folds = [study.network(n=24, name="a-1", fold=fold, seed=fold) for fold in (0, 1)]
    units = study.network(n=24, name="b-2", head="multilabel", best=True)
    cells = [
        study.cell(tmp_path, net, "z", maps) for net, maps in zip([*folds, units], (same, same, other), strict=True)
    ]
    work = study.work(tmp_path, cells, [("a-1", {"seed": 0})])
    found = class_discrimination(work)
    first, second = figures(found, "a-1"), figures(found, "b-2")
    assert first["z", "class_discrimination"] == pytest.approx(1, abs=1e-4)
    assert abs(second["z", "class_discrimination"]) < 0.1
    n = {row.model: row.n for row in found.rows if row.metric == "class_discrimination" and row.group is None}
    assert n == {"a-1": 48, "b-2": 24}
    pairs = [row.group for row in found.rows if row.group and row.model == "b-2"]
    assert pairs[0] == ", ".join(units.model.targets[:2])
    (table,) = found.page.sections[0].tables
    assert table.columns[:2] == ("Method", "Network")
    assert [row[:2] for row in table.rows] == [("z, a-1 (seed=0)", "a-1"), ("z, b-2", "b-2")]
    assert "z, a-1 (seed=0)" in found.page.sections[0].figures[0].alt


def test_one_network_is_not_named_and_an_explanation_of_one_class_is_left_open(study, tmp_path):
    net = study.network(n=24)
    one = net.model.targets[0]
    cells = [
        study.cell(tmp_path, net, "z (targets=all)", same, targets="all"),
        study.cell(tmp_path, net, "z", lambda row, target: same(row, target) if target == one else None),
    ]
    found = class_discrimination(study.work(tmp_path, cells))
    (table,) = found.page.sections[0].tables
    assert [row[0] for row in table.rows] == ["z (targets=all)", "z"] and table.columns[1] == "Mean correlation"
    rows = figures(found, "net")
    assert rows["z", "class_discrimination"] is None and rows["z", "class_discrimination_low"] is None
    with pytest.raises(InputError, match="targets: all"):
        class_discrimination(study.work(tmp_path, cells[1:]))
    assert "nothing to compare" in class_discrimination(study.work(tmp_path, [])).page.lead
