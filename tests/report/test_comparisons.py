"""What pages of the usual comparisons say of their figures."""

import math

import numpy as np

from fer_batch.report.comparison import comparison_files
from fer_batch.report.comparisons import (
    MethodFigure,
    class_discrimination,
    faithfulness,
    folds,
    grids,
    misclassified,
    randomisation,
    runtime,
)
from fer_batch.report.page import DataTable, Picture, Published, RunSummary
from fer_batch.visualize.figure import png

PICTURE = Picture(png(np.full((4, 4, 3), 9, np.uint8)), "a picture")
SUMMARY = RunSummary(title="pain", dataset="posed", model="m", explain="e")


def figure(method, mean, half=0.05, **more):
    return MethodFigure(method, mean, mean - half, mean + half, 40, 8, **more)


def test_methods_that_draw_one_picture_for_every_class_are_named():
    rows = [figure("guided backpropagation", 0.97), figure("LRP z", 0.2), figure("LIME", math.nan), figure("CAM", 0.9)]
    page = class_discrimination(rows, PICTURE)
    assert page.lead.startswith("2 of 3 methods draw nearly the same map")
    assert page.lead.endswith(": guided backpropagation, CAM.")
    (table,) = page.sections[0].tables
    assert table.columns == ("Method", "Mean correlation", "95 % from", "to", "Images", "People")
    assert class_discrimination([figure("LRP z", 0.2)], PICTURE).lead.endswith("(mean correlation from 0.9).")
    assert (
        class_discrimination([figure("a", 1.0, note="no target")], PICTURE).sections[0].tables[0].columns[-1] == "Note"
    )


def test_a_method_is_faithful_where_its_whole_interval_is_above_random_order():
    rows = [figure("a", 0.4, chance=0.3), figure("b", 0.33, chance=0.3), figure("c", math.nan, chance=0.3)]
    page = faithfulness(rows, [PICTURE, PICTURE], "logits")
    assert page.lead == "1 of 2 methods mark what the network needs better than a random order does."
    (table,) = page.sections[0].tables
    assert table.columns[4] == "Random order" and table.title.endswith("logits")


def test_randomisation_names_the_methods_that_do_not_change():
    rows = [figure("a", 0.9, chance=0.1)]
    assert (
        "guided backpropagation, deconvnet stay alike"
        in randomisation(rows, PICTURE, ["guided backpropagation", "deconvnet"]).lead
    )
    assert "every method change" in randomisation(rows, PICTURE, []).lead


def test_runtime_sets_published_durations_beside_ours():
    page = runtime(
        {"LIME": 12.3, "LRP z": 0.05, "mine": math.nan}, PICTURE, {"LIME": (480, 480), "LRP z": (1, 5)}, "Weitz 2018"
    )
    assert page.lead == "One image takes 0.05 s with LRP z and 12.3 s with LIME."
    (table,) = page.sections[0].tables
    assert table.source == "Weitz 2018"
    assert [row[2] for row in table.rows] == [Published("8 min"), Published("1 s to 5 s"), None]
    assert runtime({"a": 0.1}, PICTURE).sections[0].tables[0].columns == ("Method", "Seconds per image")
    assert runtime({"a": math.nan}, PICTURE).lead == "No method was measured."


def test_pages_of_pictures_have_a_section_each_and_leave_out_what_is_empty():
    assert [section.title for section in grids([("LRP z", PICTURE), ("LIME ±", PICTURE)]).sections] == [
        "LRP z",
        "LIME ±",
    ]
    assert len(misclassified([PICTURE]).sections) == 1
    assert len(misclassified([PICTURE], [PICTURE]).sections) == 2


def test_folds_show_what_there_is():
    table = DataTable("Folds", ("Fold", "Accuracy"), (("1", 0.5),))
    assert [section.title for section in folds(table, "Mean .5.").sections] == ["Folds"]
    page = folds(table, "Mean .5.", [PICTURE], [table], [PICTURE, PICTURE])
    assert [(len(section.tables), len(section.figures)) for section in page.sections] == [(1, 0), (0, 1), (1, 2)]


def test_every_page_can_be_written_under_its_own_name():
    rows = [figure("a", 0.4, chance=0.3)]
    pages = [
        folds(DataTable("", ("a",), ()), "", [PICTURE]),
        grids([("a", PICTURE)]),
        misclassified([PICTURE]),
        class_discrimination(rows, PICTURE),
        randomisation(rows, PICTURE, ["a"]),
        faithfulness(rows, [PICTURE], "logits"),
        runtime({"a": 1.0}, PICTURE),
    ]
    files = [path for page in pages for path, _ in comparison_files(SUMMARY, page)]
    assert len(files) == len(set(files)) == 2 * len(pages)
