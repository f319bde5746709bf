import io
import json

import pytest
from PIL import Image

from fer_batch.pipeline.study.comparisons import heatmap_differences as module
from fer_batch.storage.manifest import dump
from fer_batch.storage.parquet import encode, rows_of
from fer_batch.types import InputError


def compared(study, groups=None, n=64):
    """The comparison, what runs on Ray done before."""
    for pair in (groups or module.GROUPS).values():
        for variant in study.work.variants:
            known = (None, module._people(study.store, None))
            task = module._task(study.work, study.work.of_variant(variant), tuple(pair), n, known)
            study.store.put(task.path, dump(task.function(*task.arguments)))
    return module.heatmap_differences(study.work, groups=groups, n_arrangements=n)


def test_right_and_wrong_answers_are_compared_over_all_networks_of_the_study(made_study):
    study = made_study(n=90, networks={"weinet-0a": None}, lost=2)
    found = compared(study)
    (section,) = found.page.sections
    assert section.title == "Right and wrong answers" and any("left out" in note for note in section.notes)
    with Image.open(io.BytesIO(section.figures[0].content)) as picture:
        assert picture.size[0] > 3 * 224
    share, smallest = found.rows
    assert (share.metric, share.n, smallest.metric) == ("heatmap_share_different", 6, "heatmap_smallest_p")
    assert share.value > 0.05 and smallest.value == pytest.approx(2 / 64)  # fear is expected elsewhere than the others


def test_groups_that_cannot_be_tested_are_a_note_and_other_studies_maps_are_in_none(made_study):
    study = made_study(networks={"weinet-0a": None}, folds=(0,))
    groups = {"One person": ["subject_id = 'posed:0'", "subject_id <> 'posed:0'"], "Gone": ["model = 'x'", "true"]}
    found = compared(study, groups)
    notes = [section.notes[0] for section in found.page.sections]
    assert "a test needs 3 people or more" in notes[0] and "no map of a class that is found" in notes[1]
    assert found.rows == ()


def test_groups_are_made_again_where_the_manifest_of_the_training_says_something_else(made_study, tmp_path):
    """Men and women are known from the manifest alone, without a file that the study names."""
    study = made_study(n=90, networks={"weinet-0a": None})
    source = {"format": "manifest", "uri": str(tmp_path / "people.csv"), "dataset": "posed"}
    row = {"run_id": "t", "config": json.dumps({"sources": [source]})}
    study.store.put("tables/runs/dataset=posed/model=weinet-0a/explain=none/t.parquet", encode(rows_of("runs", [row])))
    found = []
    for sexes in ("fm", "ffm"):
        rows = "".join(f"{n},{sexes[n % len(sexes)]}\n" for n in range(12))
        (tmp_path / "people.csv").write_text(f"subject_id,sex\n{rows}")
        (section,) = compared(study, {"Sex": ["sex = 'f'", "sex = 'm'"]}).page.sections
        found.append(section.notes)
    assert "3 and 3 people" in found[0][2] and found[0] != found[1]


def test_a_title_needs_two_groups(made_study):
    study = made_study(networks={"weinet-0a": None}, folds=(0,))
    with pytest.raises(InputError, match="'Odd' needs two conditions, got \\['correct'\\]"):
        module.heatmap_differences(study.work, groups={"Odd": ["correct"]})
