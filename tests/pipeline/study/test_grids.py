"""Grids and pairs show people of all folds, everyone under the network of their fold."""

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.pipeline.study.comparisons.grids import _pairs, grids, misclassified
from fer_batch.pipeline.study.comparisons.samples import explain_samples, samples_of
from fer_batch.types import InputError


def renamed(net, who):
    """The samples of a network, all of one person."""
    samples = net.samples
    for name, prefix in (("subject_id", who), ("sequence_id", f"{who}/")):
        old = samples[name].to_pylist()
        values = [who if name == "subject_id" else f"{prefix}{one}" for one in old]
        samples = samples.set_column(samples.column_names.index(name), name, pa.array(values))
    return samples


@pytest.fixture
def folds(study, tmp_path):
    """Three networks of one training, each of which leaves one person out; maps say of which fold they are."""
    found = []
    for fold in range(3):
        samples = renamed(study.network(n=24, seed=fold), f"P{fold}")
        crops = study.crops(f"{tmp_path}/crops{fold}", samples, size=8, emotions=lambda row: f"kind{row % 4}")
        net = study.network(n=24, seed=fold, name="r-1", fold=fold, best=fold == 1, crops=crops)
        found.append(type(net)(**{**net.__dict__, "samples": samples}))
    return found


def work_of(study, tmp_path, folds, variants=("z",), rows=None, **runs):
    def maps(fold):
        return lambda row, target: np.full((4, 4), fold + 1, np.float32)

    cells = [study.cell(tmp_path, net, one, maps(net.fold), rows) for net in folds for one in variants]
    return study.work(tmp_path, cells, [("r-1", {"seed": 0})], **runs)


def test_people_come_from_all_folds_each_with_the_network_that_left_them_out(study, tmp_path, folds):
    work = work_of(study, tmp_path, folds)
    samples = [one for net in folds for one in samples_of(work, net)]
    found = explain_samples(work, samples)
    assert len(found) == 72
    assert {(place[0], float(one.maps["z"].max())) for place, one in found.items()} == {
        (net.title, net.fold + 1.0) for net in folds
    }
    page = grids(work).page
    (section,) = page.sections
    assert section.figures[0].alt.startswith("3 people by")
    assert "everyone is explained by the network of their fold" in section.figures[0].caption
    assert section.figures[0].caption.startswith("r-1 (seed=0)")


def test_variants_keep_the_looks_of_their_methods(study, tmp_path, folds):
    variants = ("lime (n_samples=10)", "lime (n_samples=20)", "z (targets=all)")
    work = work_of(study, tmp_path, folds[:1], variants)
    assert [section.title for section in grids(work, people=1).page.sections] == [
        "LRP z (targets=all)",
        "LIME positive (n_samples=10)",
        "LIME ± (n_samples=10)",
        "LIME positive (n_samples=20)",
        "LIME ± (n_samples=20)",
    ]


def test_a_column_that_no_explained_image_shows_is_blank_and_a_typo_is_refused(study, tmp_path, folds):
    inputs = tuple(name for name in dict.fromkeys(folds[0].samples["sequence_id"].to_pylist()))[:1]
    rows = [i for i, one in enumerate(folds[0].samples["sequence_id"].to_pylist()) if one in inputs]
    work = work_of(study, tmp_path, folds[:1], rows=rows, choose={"inputs": inputs})
    there = {f"kind{row % 4}" for row in rows}
    blank = next(f"kind{k}" for k in range(4) if f"kind{k}" not in there)
    page = grids(work, columns={"there": min(there), "gone": blank}).page
    assert page.sections[0].notes == ("No image that is explained shows gone.",)
    with pytest.raises(InputError, match="no image of the source shows 'kind9'; did you mean 'kind"):
        grids(work, columns={"there": "kind9"})


def test_a_pair_is_of_one_network_and_different_people_come_first(study, tmp_path, folds):
    work = work_of(study, tmp_path, folds)
    pairs = _pairs([one for net in folds for one in samples_of(work, net)])
    assert all(a.correct and b.correct is False and a.network.title == b.network.title for a, b in pairs)
    assert [pair[0].subject for pair in pairs[:3]] == ["P0", "P1", "P2"]
    (section,) = misclassified(work, pairs=3).page.sections
    assert section.title == "r-1 (seed=0)" and len(section.figures) == 3
    assert "P1, fold 1" in section.figures[1].alt and "network of their fold" in section.notes[0]
