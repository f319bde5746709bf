"""Faithfulness of a study: a worker on a small network, and what the page says of its results."""

import json

import numpy as np
import pytest

from fer_batch.pipeline.study.comparisons.faithfulness import _task, faithfulness
from fer_batch.pipeline.study.comparisons.hiding import How, measure
from fer_batch.regions import standard_face
from fer_batch.storage.manifest import dump

OPTIONS = {"images": 8, "segments": "grid", "n_segments": 4, "n_random": 2, "score": "softmax"}
HOW = How("grid", 4, 2, "softmax")
N = 8


def points(row):
    face, (height, width) = standard_face()
    return None if row == 3 else (face * 32 / max(height, width) + row / 8).ravel().tolist()


@pytest.fixture
def work(study, tmp_path):
    net = study.network(n=N, subjects=N, checkpoint=study.tiny(tmp_path / "tiny.safetensors"))
    crops = study.crops(f"{tmp_path}/crops", net.samples, size=32, landmarks=points)
    net = study.network(n=N, subjects=N, checkpoint=net.spec.checkpoint, crops=crops)

    def maps(row, target):
        return np.random.default_rng(row).normal(size=(32, 32)).astype(np.float32)

    return study.work(tmp_path, [study.cell(tmp_path, net, "z", maps), study.cell(tmp_path, net, "cam", maps)])


def test_one_image_without_landmarks_does_not_take_the_parts_from_the_others(work):
    task = _task(work, work.shown()[0], 8, HOW)
    assert task.function is measure
    found = json.loads(dump(measure(*task.arguments)))
    assert (found["n_images"], found["n_marked"]) == (8, 7)
    assert [one[3] for one in found["curves"]["segments"]["area"]] == [8, 8]
    assert found["region"] is None or found["region"]["difference"][3] > 0, "no figure of no image"
    assert [one[3] for one in found["curves"]["parts"]["area"]] == [7, 7]
    parts = found["curves"]["parts"]
    assert parts["by_area"] and not found["curves"]["segments"]["by_area"]
    assert parts["x"][0] == 0 and parts["x"][-1] == 1 and len(parts["curve"][0]) == len(parts["x"])
    assert parts["curve"][0][-1] == pytest.approx(parts["random_curve"][-1], abs=1e-5), "all is hidden at last"
    work.store.put(task.path, dump(found))
    page = faithfulness(work, **OPTIONS)
    titles = [section.title for section in page.page.sections]
    assert titles[:2] == ["Superpixels of the picture", "Parts of the face"]
    assert "Landmarks are known of 7 of the 8 images" in page.page.sections[1].lead
    assert "7 of the 8" not in page.page.sections[0].lead
    rows = {(row.metric, row.explain): row.n for row in page.rows}
    assert rows["area_over", "z"] == 7 and rows["aopc", "z"] == 8


@pytest.mark.parametrize(("above", "said"), [(True, "yes"), (False, "no"), (None, "open")])
def test_an_interval_around_zero_leaves_it_open(work, above, said):
    task = _task(work, work.shown()[0], 8, HOW)
    figures = [[0.1, -0.1, 0.3, 8, 8]] * 2
    way = {"by_area": False, "area": figures, "random": figures, "difference": figures, "above_chance": [above] * 2,
           "x": [0, 1], "curve": [[1, 0]] * 2, "random_curve": [1, 0]}  # fmt: skip
    region = {"inside": figures[0], "elsewhere": figures[0], "difference": figures[0], "above_chance": above}
    result = {"methods": ["z", "cam"], "curves": {"segments": way}, "deletion": figures, "insertion": figures,
              "region": region, "score": "softmax", "n_images": 8, "n_marked": 8}  # fmt: skip
    work.store.put(task.path, dump(result))
    sections = {section.title: section for section in faithfulness(work, **OPTIONS).page.sections}
    (table,) = sections["Superpixels of the picture"].tables
    assert [row[table.columns.index("Better than random")] for row in table.rows] == [said] * 2
    assert ("is open" in sections["The region of the target"].lead) == (above is None)
    assert ("no more than" in sections["The region of the target"].lead) == (above is False)
