"""The first page of a study: what it counts, that failures are seen, and that no name changes the page."""

import re

import pytest

from fer_batch.report.page import DataTable, Published, Query, RunSummary
from fer_batch.report.study import ComparisonLink, StudyCell, StudyContents, study_page

SUMMARY = RunSummary(title="pain", dataset="posed", model="2 networks", explain="2 methods")
HOSTILE = "a<script>alert(1)</script>\u202e&\"'"


def cell(method="z", status="done", **more):
    return StudyCell("net", method, "0", (("seed", "0"),), status, 40, 12.0, 0.25, **more)


def shown(*cells, **more):
    return study_page(SUMMARY, StudyContents("pain", "Where does it look?", cells, **more)).decode()


def rows(page):
    table = page[page.index('<table class="cells') :]
    return re.findall(r"<tr.*?</tr>", table[table.index("<tbody>") : table.index("</tbody>")], re.DOTALL)


def test_cells_are_counted_and_lost_ones_are_marked_with_their_reason():
    page = shown(cell(), cell("lime", "failed", reason="out of memory"), cell("gradient", "partial", reason="2 faces"),
                 cell("grad_cam", "waiting"))  # fmt: skip
    tiles = dict(re.findall(r"<dt>([a-z ]+)</dt><dd>([^<]*)</dd>", page))
    assert tiles == {"cells": "4", "done": "1", "failed or partial": "2", "not run": "1", "time": "48 s"}
    done, failed, partial, waiting = rows(page)
    assert '<tr class="lost">' in failed and '<td class="failed">failed</td>' in failed and "out of memory" in failed
    assert '<tr class="lost">' in partial
    assert "lost" not in done and "lost" not in waiting
    assert "1 network, 1 fold, 4 methods" in page


def test_columns_are_there_where_something_is_in_them():
    page = shown(cell())
    assert "Reason" not in page and ">seed<" in page and ">Fold<" in page
    assert ">Fold<" not in shown(StudyCell("net", "z"))
    assert 'data-key="12.0">12 s<' in rows(page)[0], "sorted by seconds, not by their text"
    assert 'data-key="">–<' in rows(shown(StudyCell("net", "z")))[0]


def test_no_text_of_the_data_becomes_markup():
    table = DataTable(HOSTILE, (HOSTILE,), ((Published(HOSTILE),),), HOSTILE, HOSTILE)
    odd = StudyCell(HOSTILE, HOSTILE, HOSTILE, ((HOSTILE, HOSTILE),), HOSTILE, reason=HOSTILE)
    link = ComparisonLink(HOSTILE, HOSTILE, "runtime.html", HOSTILE)
    contents = StudyContents(HOSTILE, HOSTILE, (odd,), (link,), (table,), ((HOSTILE, HOSTILE),), (HOSTILE,),
                             (Query(HOSTILE, HOSTILE),))  # fmt: skip
    page = study_page(SUMMARY, contents).decode()
    assert "<script>alert" not in page and "\u202e" not in page
    assert page.count("<script>") == 1, "the one that sorts"
    assert page.count("&lt;script&gt;alert(1)") > 12


def test_comparisons_are_linked_or_say_why_they_were_not_made():
    page = shown(cell(), comparisons=(ComparisonLink("Runtime", "LIME is slow.", "runtime.html"),
                                      ComparisonLink("Regions", reason="no Action Units")))  # fmt: skip
    assert '<a href="runtime.html">Runtime</a><p>LIME is slow.</p>' in page
    assert "<strong>Regions</strong>" in page and "not made: no Action Units" in page


def test_warnings_stand_before_the_counts():
    summary = RunSummary("pain", "posed", "m", "e", conservation="Sum is 0.6.", alarming=True, demo=True)
    page = study_page(summary, StudyContents("p", "q", (cell(),), warnings=(("Few people.", "4 a fold."),))).decode()
    places = [page.index(text) for text in ("DEMO MODEL", "Few people.", "Maps that do not add up", "<dt>cells</dt>")]
    assert places == sorted(places)


def test_cells_that_vary_other_keys_are_refused():
    with pytest.raises(ValueError, match=r"same varied keys.*\('seed',\) and \(\)"):
        shown(cell(), StudyCell("net", "z"))
