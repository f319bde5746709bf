"""The page of nights: what is drawn where, escaped, and without a word on the console of a browser."""

import math

import pytest

from fer_batch.report.nights import SHOWN_NIGHTS, FigureChart, NightsContents, nights_page
from fer_batch.report.page import DataTable, RunSummary

SUMMARY = RunSummary("a<b", "d", "m", "e")
NAN = math.nan


def chart(values, side=None, limits=(0.2, 0.8), name="AU12: <mu>", target="AU12"):
    n = len(values)
    lower, upper = ((NAN,) * n, (NAN,) * n) if limits is None else ((limits[0],) * n, (limits[1],) * n)
    centre = NAN if limits is None else 0.5
    side = tuple(side or [0] * n)
    return FigureChart(
        name, target, tuple(values), (NAN,) * n, (NAN,) * n, lower, upper, tuple(values), lower, upper, centre, side,
        (100,) * n, (5,) * n,
    )  # fmt: skip


def contents(charts, n, **more):
    words = {
        "elsewhere": (("night 3", "AU12: <mu> fell"),),
        "alarms": (),
        "n_elsewhere": 21,
        "n_alarms": 0,
        "n_latest": 1,
    }
    names = tuple(f"night {k}" for k in range(n))
    return NightsContents(
        names, tuple(k < 2 for k in range(n)), rule="1 of 100", charts=tuple(charts), **(words | more)
    )


def points(text):
    return text.count("<circle")


def test_what_comes_from_data_is_escaped_and_what_is_more_is_counted():
    text = nights_page(SUMMARY, contents([chart([0.5, 0.4, 0.1], [0, 0, -1])], 3)).decode()
    assert "<mu>" not in text and "AU12: &lt;mu&gt;: out" in text and "a&lt;b" in text
    assert "And 20 more" in text
    assert "night 2: 0.1, n 100, 5 subjects, below its limits" in text
    assert points(text) == 3 and text.count("#b91c1c") == 1


def test_nights_without_a_value_and_figures_without_limits_leave_gaps():
    text = nights_page(SUMMARY, contents([chart([0.5, NAN, 0.1], limits=None)], 3)).decode()
    assert points(text) == 2 and "no limits yet" in text and "nan" not in text[text.index("<main") :].lower()


def test_the_latest_nights_are_drawn():
    n = SHOWN_NIGHTS + 40
    text = nights_page(SUMMARY, contents([chart([0.5] * n)], n)).decode()
    assert points(text) == SHOWN_NIGHTS and f"The latest {SHOWN_NIGHTS} nights" in text


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [0.0, 0.0, 0.0]])
def test_figures_that_never_change_are_drawn(values):
    text = nights_page(SUMMARY, contents([chart(values, limits=None)], len(values))).decode()
    assert points(text) == len(values)


def test_a_browser_opens_it_without_a_complaint(browser, tmp_path):
    shown = contents(
        [chart([0.5, 0.4, 0.1], [0, 0, -1]), chart([0.9, NAN, 1.0], name="faces", target="")],
        3,
        alarms=(("night 2", "faces fell"),),
        tables=(DataTable("Nights", ("Night", "Inputs"), (("night 2", 5),)),),
    )
    (tmp_path / "nights.html").write_bytes(nights_page(SUMMARY, shown))
    browser.complaints.clear()
    browser.open(f"file://{tmp_path}/nights.html")
    assert browser.value("document.querySelectorAll('.charts svg').length") == 2
    assert browser.value("document.querySelectorAll('details[open]').length") == 1
    assert browser.complaints == []
