"""What pages of the usual comparisons say of their figures."""

import math

import numpy as np

from fer_batch.report.comparison import Section, comparison_files
from fer_batch.report.comparisons import (
    MethodFigure,
    Randomised,
    class_discrimination,
    grids,
    nothing_done,
    randomisation,
    runtime,
)
from fer_batch.report.page import Picture, Published, RunSummary
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


def test_randomisation_says_each_finding_in_its_own_words():
    kinds = ("image", "picture", "changes", "open")
    found = [Randomised(figure(f"m{i}", 0.5), figure(f"m{i}", 0.9, chance=0.1), kind) for i, kind in enumerate(kinds)]
    page = randomisation(found, [PICTURE], 0.35, 0.5)
    said = page.lead.split(". ")
    assert len(said) == 4 and "m0 follow the image" in said[0] and "m1 stay the same picture" in said[1]
    assert "Of m2" not in page.lead and "Of m3 it is open" in said[2] and "m2 change" in said[3]
    (table,) = page.sections[0].tables
    assert table.rows[0][1:4] == (0.5, 0.45, 0.55) and table.rows[0][-1] == "follows the image"
    assert "0.35" in table.caption and any("0.5" in text for _, text in page.terms)
    assert "every method change" in randomisation(found[2:3], [PICTURE], 0.35, 0.5).lead


def test_networks_are_named_where_there_are_several():
    rows = [figure("z, a", 0.95, network="a-1"), figure("z, b", 0.2, network="b-2")]
    page = class_discrimination(rows, PICTURE)
    assert page.lead.endswith(": z, a.") and page.sections[0].tables[0].rows[1][:2] == ("z, b", "b-2")
    both = class_discrimination([rows[0], figure("y, a", 0.95, network="a-1")], PICTURE)
    assert both.lead.endswith(": z, a; y, a.")
    table = runtime({"z, a": 1.0}, None, networks={"z, a": "a-1"}).sections[0].tables[0]
    assert (table.columns[1], table.rows[0]) == ("Network", ("z, a", "a-1", 1.0))


def test_a_study_without_a_cell_that_is_done_says_so():
    page = nothing_done("grids", "Grids")
    assert (page.name, page.sections) == ("grids", ()) and "nothing to compare" in page.lead


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


def test_grids_have_a_section_each():
    sections = [Section("LRP z", figures=(PICTURE,)), Section("LIME ±", figures=(PICTURE,), notes=("None.",))]
    assert grids(sections).sections == tuple(sections)


def test_every_page_can_be_written_under_its_own_name():
    rows = [figure("a", 0.4, chance=0.3)]
    pages = [
        grids([Section("a", figures=(PICTURE,))]),
        class_discrimination(rows, PICTURE),
        randomisation([Randomised(rows[0], rows[0], "image")], [PICTURE], 0.35, 0.5),
        runtime({"a": 1.0}, PICTURE),
    ]
    files = [path for page in pages for path, _ in comparison_files(SUMMARY, page)]
    assert len(files) == len(set(files)) == 2 * len(pages)
