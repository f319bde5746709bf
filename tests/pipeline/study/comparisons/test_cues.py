"""ATT-COS and CAM-COS over a whole test part, through the public function."""

import numpy as np
import pytest

from fer_batch.pipeline.study.comparisons.cues import action_unit_cues
from fer_batch.pipeline.study.cue_images import Codebook
from fer_batch.pipeline.study.cue_networks import network_cues
from fer_batch.types import InputError


def test_every_fold_layer_explanation_and_class_has_its_rows_and_the_page_its_parts(cue_study):
    work = cue_study()
    found = action_unit_cues(work)
    cam = [row for row in found.rows if (row.metric, row.explain) == ("cam_cos", "cam")]
    assert {(row.target, row.fold) for row in cam} == {
        (target, fold) for target in (None, "disgust", "happiness") for fold in (None, 0, 1)
    }
    assert {row.layer for row in found.rows if row.metric == "att_cos"} == {
        *("relu", "layer1", "layer2", "layer3", "layer4")
    }
    assert {row.model for row in found.rows} == {"net-1"} and all(0 < row.value < 1 for row in found.rows)
    whole = {row.target: row for row in cam if row.fold is None}
    assert whole[None].value == pytest.approx((whole["disgust"].value + whole["happiness"].value) / 2)
    assert (
        whole[None].n
        == whole["disgust"].n + whole["happiness"].n
        == sum(row.n for row in cam if row.fold is not None and row.target is None)
    )
    assert 0.4 < whole["disgust"].baseline < 0.6
    by_fold = [row for row in cam if row.target == "disgust" and row.fold is not None]
    assert whole["disgust"].value == pytest.approx(sum(r.value * r.n for r in by_fold) / sum(r.n for r in by_fold))
    assert [section.title for section in found.page.sections] == ["All networks", "net-1"]
    assert [figure.alt.partition(",")[0] for figure in found.page.sections[1].figures] == [
        "Shares of the true class",
        "Mean cosines by class",
        "Mean attention and mean class maps of net-1: disgust (18)",
        "One image of each class under net-1: disgust",
    ]
    assert "a constant map has 0.49" in found.page.lead
    assert any("2 of net-1 test images" in note for note in found.page.sections[0].notes)


def test_a_layer_can_be_named_and_images_limited(cue_study):
    (network,) = network_cues(cue_study(methods=("cam",)), Codebook(), ("layer3",), 4)
    assert [column.name for column in network.columns] == ["layer3", "cam"]
    assert [len(fold.samples.rows) for fold in network.folds] == [4, 4]
    assert np.isfinite(network.pooled(network.layers[0]).mean)


def test_without_faces_or_cells_there_is_one_sentence(cue_study, study, tmp_path):
    with pytest.raises(InputError, match="68 landmarks, and no network has any; give faces"):
        action_unit_cues(cue_study(lost=24))
    with pytest.raises(InputError, match="unknown value 'martines'; did you mean 'martinez'"):
        action_unit_cues(cue_study(), codebook="martines")
    with pytest.raises(InputError, match="layers: expected a list of modules"):
        action_unit_cues(cue_study(), layers="layer4")
    with pytest.raises(InputError, match="images: expected a whole number from 1, got 0"):
        action_unit_cues(cue_study(), images=0)
    assert "nothing to compare" in action_unit_cues(study.work(tmp_path, [])).page.lead
