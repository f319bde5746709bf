"""Tables in the layout of the paper, its figures below ours."""

from dataclasses import replace

import pytest

from fer_batch.pipeline.study.comparisons.cue_pairs import families
from fer_batch.pipeline.study.comparisons.cue_tables import (
    layers_table,
    methods_table,
    networks_table,
    score_name,
    strengths_table,
)
from fer_batch.report.page import Published


def shown(row):
    return tuple(cell.value if isinstance(cell, Published) else cell for cell in row)


def near(*values):
    return pytest.approx(values, abs=0.01)


def test_methods_stand_without_and_with_maps_and_printed_figures_below(sweep):
    table = methods_table(families(*sweep()), "raf_db")
    assert [row[0] for row in table.rows] == [
        *("cam", "  published, RAF-DB", "lime", "cam (head=prm)", "  published, RAF-DB"),
        "lime (head=prm)",
    ]
    cam, printed, _, prm, printed_prm, *_ = table.rows
    assert cam[3:] == near(0.5, 0.7, 0.5, 0.55, 0.85) and prm[3:] == near(0.45, 0.65, 0.5, 0.5, 0.75)
    assert all(isinstance(cell, Published) for cell in printed[1:] if cell is not None)
    assert shown(printed)[1:] == (0.8820, 0.8895, 0.55, 0.70, None, 0.57, 0.85)
    assert shown(printed_prm)[1:3] == (0.8813, 0.8888)
    assert len(table.columns) == len(cam) == len(printed)
    assert shown(methods_table(families(*sweep()), "affectnet").rows[1])[1:3] == (0.6088, 0.6237)


@pytest.mark.parametrize(
    ("explanation", "shared", "accuracy"),
    [
        ("attention", {"architecture": "apvit"}, 0.91),
        ("class_map", {"options": {"head": "wildcat"}}, 0.8826),
    ],
)
def test_what_all_networks_share_tells_their_method_too(sweep, cues, explanation, shared, accuracy):
    work, _ = sweep()
    networks = [_of_model(cues(f"net{place}-a", cams=((explanation, 0.6),)), shared) for place in (0, 1)]
    assert shown(methods_table(families(work, networks), "raf_db").rows[1])[1] == accuracy


def _of_model(network, changes):
    (fold,) = network.folds
    model = replace(fold.network.model, **changes)
    return replace(network, folds=(replace(fold, network=replace(fold.network, model=model)),))


def test_without_a_pair_there_is_no_table_of_methods(sweep):
    work, networks = sweep()
    assert methods_table(families(work, networks[:1]), "raf_db") is None


def test_strengths_and_layers_have_the_rows_of_the_paper(sweep):
    plain, prm = families(*sweep())
    table = strengths_table(plain, "raf_db")
    assert [shown(row)[0] for row in table.rows] == [0, 1, 4, 0, 0.01, 1, 4]
    assert table.columns == ("Lambda", "Accuracy", "ATT-COS", "CAM-COS cam", "CAM-COS lime")
    assert table.rows[2][2:] == near(0.85, 0.7, 0.55) and shown(table.rows[-1])[1:] == (0.8895, 0.86, 0.71, None)
    layers = layers_table(plain, "raf_db")
    assert [(row[0], row[1]) for row in layers.rows] == [
        *(("none", None), ("  published, RAF-DB", None), ("layer4", "5"), ("  published, RAF-DB", None)),
        *(("layer1", "2"), ("  published, RAF-DB", None)),
    ]
    assert shown(layers.rows[3])[2:] == (0.8895, None, 0.70, None)
    assert len(layers_table(plain, "affectnet").rows) == 3 and len(strengths_table(plain, "affectnet").rows) == 3
    assert strengths_table(prm, "raf_db") is layers_table(prm, "raf_db") is None


def test_every_network_says_whether_people_or_images_stand_behind_its_interval(cues):
    table = networks_table([cues(subjects=7), cues(name="b-1", subjects=70, att=0.7)])
    assert [row[-1] for row in table.rows] == ["person (7)", "image"]
    assert [row[2] for row in table.rows] == ["layer4", "layer4"]
    assert table.rows[1][3] == pytest.approx(0.7, abs=0.01) and table.rows[1][4] < 0.7 < table.rows[1][5]
    assert table.rows[0][6] == pytest.approx(0.5) and len(table.columns) == len(table.rows[0])
    assert score_name(cues(head="multilabel")) == "Mean F1"
