"""A page that compares: tables beside published figures, pictures as files, nothing that needs a script."""

import re

import numpy as np
import pytest

from fer_batch.report.comparison import Comparison, Section, comparison_files
from fer_batch.report.page import DataTable, Picture, Published, Query, RunSummary
from fer_batch.visualize.figure import png

SUMMARY = RunSummary(
    title="pain", dataset="posed", model="m", explain="e", pages=(("index.html", "Study"), ("fold-table.html", "Folds"))
)
HOSTILE = "a<script>alert(1)</script>\u202e&\"'"
SMALL, WIDE = (
    Picture(png(np.full((10, width, 3), 9, np.uint8)), "a picture", "what it shows") for width in (300, 1200)
)


def written(*sections, **more):
    contents = Comparison("fold_table", "Folds", "Ours and theirs.", sections, **more)
    return dict(comparison_files(SUMMARY, contents))


def test_published_figures_stand_in_another_style_with_their_source():
    table = DataTable("Folds", ("Fold", "Accuracy", "Published"), (("1", 0.5, Published(0.537)), ("2", 0.25, None)),
                      source="Weitz 2018", decimals=3)  # fmt: skip
    page = written(Section("Folds", tables=(table,)))["fold-table.html"].decode()
    assert '<td class="number">0.500</td><td class="published number"><cite>0.537</cite></td>' in page
    assert '<td class="number">0.250</td><td class="number">–</td>' in page
    assert "Slanted: <cite>Weitz 2018</cite>." in page
    assert table.numeric == {1, 2}


def test_pictures_are_files_that_the_page_shows_and_come_before_it():
    files = written(Section("a", figures=(WIDE, SMALL)), Section("b", figures=(SMALL,)))
    assert list(files)[-1] == "fold-table.html"
    page = files["fold-table.html"].decode()
    sources = re.findall(r'<img src="([^"]+)" alt="a picture"', page)
    assert sources == list(files)[:-1] and len(set(sources)) == 3
    assert re.findall(r'<figure class="([^"]+)"', page) == ["chart", "chart small", "chart small"]
    assert page.count("<figcaption>what it shows") == 3
    assert '<nav class="contents"' not in page, "two sections need no list of links"


def test_no_text_of_the_data_becomes_markup_and_nothing_runs():
    table = DataTable(HOSTILE, (HOSTILE,), ((HOSTILE,),), HOSTILE, HOSTILE)
    picture = Picture(SMALL.content, HOSTILE, HOSTILE)
    section = Section(HOSTILE, HOSTILE, (table,), (picture,), (HOSTILE,))
    contents = Comparison("x", HOSTILE, HOSTILE, (section,) * 3, ((HOSTILE, HOSTILE),), ((HOSTILE, HOSTILE),),
                          (Query(HOSTILE, HOSTILE),))  # fmt: skip
    page = dict(comparison_files(SUMMARY, contents))["x.html"].decode()
    assert "<script" not in page and "\u202e" not in page
    assert not re.search(r"<[^>]*\sstyle=", page), "the policy of the page forbids it"
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in re.findall(r'href="(#[^"]+)"', page)} <= set(ids)


@pytest.mark.parametrize("name", ["../x", "", "Grids", "a b", "index"])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(ValueError, match="expected a name of lower-case letters"):
        Comparison(name, "t", "l", ())
