"""The verdict page: what it shows, and that nothing from the data can change it."""

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.report.page import DataTable, Picture, Query, RunSummary
from fer_batch.report.verdict import Example, TargetVerdict, VerdictContents, full_scale, verdict_files
from fer_batch.visualize.figure import png

PNG = png(np.full((20, 20, 3), 200, np.uint8))
SUMMARY = RunSummary(title="faces", dataset="faces", model="m", explain="e")
HOSTILE = "a<script>alert(1)</script>\u202e.mp4"


def target(name="AU10", state="flag", **more):
    figures = {"f1": 0.81, "mean": 0.2, "low": 0.15, "high": 0.27, "chance": 0.18, "weighted": 1.1}
    counts = {"n": 40, "n_undefined": 0, "n_subjects": 5}
    return TargetVerdict(name, "Upper Lip Raiser", "A sentence.", state, **{**figures, **counts, **more})


def shown(*targets, **more):
    """The page as text, and all files."""
    files = dict(verdict_files(SUMMARY, VerdictContents(targets, **more)))
    return files["verdict.html"].decode(), files


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.seen = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.seen.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []


def test_every_link_has_its_place_and_nothing_needs_a_style_or_a_script():
    page, _ = shown(target(), target("AU04", "ok"), queries=(Query("q", "SELECT 1"),))
    tags = Tags(page)
    assert len(tags.ids) == len(set(tags.ids))
    assert {link[1:] for link in tags.links if link.startswith("#")} <= set(tags.ids)
    assert not any("style" in found or any(key.startswith("on") for key in found) for _, found in tags.seen)
    assert not any(tag == "script" for tag, _ in tags.seen)


def test_states_are_counted_and_a_flag_names_its_target():
    page, _ = shown(target("AU10", "flag"), target("AU04", "note"), target("AU25", "note"), target("AU27", "open"))
    counts = re.findall(r"<dt>([a-z ]+)</dt><dd>(\d+)</dd>", page)
    assert counts == [("flagged", "1"), ("with a note", "2"), ("in place", "0"), ("open", "1")]
    assert 'chance: <a href="#AU10">AU10</a></dd>' in page
    assert '<h3 class="flag">AU10' in page


def test_all_gauges_are_drawn_to_the_scale_that_is_written_at_the_axis():
    page, _ = shown(target(), target("AU04", mean=0.3, high=0.37))
    assert 'aria-label="axis from 0 to 0.4"' in page
    assert '<circle cx="50.0"' in page
    assert '<line x1="37.5" y1="6.5" x2="67.5" y2="6.5"' in page
    assert '<line x1="45.0" y1="1" x2="45.0" y2="13"' in page
    assert '<circle cx="75.0"' in page
    assert 'aria-label="mu 0.2, interval 0.15 to 0.27, chance 0.18"' in page


@given(st.lists(st.floats(0, 1) | st.just(math.nan)))
def test_the_axis_holds_every_share_and_is_not_much_longer(shares):
    full = full_scale(shares)
    known = [value for value in shares if not math.isnan(value)]
    assert max(known, default=0) <= full <= max(0.01, 2.5 * max(known, default=0))


def test_a_small_mu_is_told_from_chance():
    page, _ = shown(target(mean=0.043, low=0.040, high=0.048, chance=0.03))
    assert 'aria-label="axis from 0 to 0.05"' in page


def test_a_phone_shows_the_verdict_and_the_gauge_first():
    page, _ = shown(target())
    row = page[page.index("<tbody>") :]
    assert row.index('class="flag">flagged') < row.index('class="gauge"') < row.index("0.810")


def test_people_who_were_trained_on_are_said_before_any_figure():
    plain, _ = shown(target())
    assert "TRAINED ON" not in plain
    assert "mean over folds" not in plain
    only = DataTable("Only the person it was not trained on", ("Target", "F1"), (("AU10", 0.25),))
    page, _ = shown(target(fold_f1=0.24), warning="3 of 4 <people>.", new_people=only)
    assert page.index("3 of 4 &lt;people&gt;.") < page.index("<dt>flagged</dt>")
    assert re.search(r'0\.810</td><td class="number">0\.240</td>', page)
    assert "Only the person it was not trained on" in page


def test_what_is_not_known_is_a_dash():
    nan = dict.fromkeys(("mean", "low", "high", "chance", "weighted"), math.nan)
    page, _ = shown(target("AU27", "open", f1=None, n=0, n_subjects=0, **nan))
    assert 'aria-label="no mu"' in page
    assert "<circle" not in page
    assert not re.search(r"\bnan\b", page)


def test_examples_are_files_beside_the_page():
    example = Example("lowest mu .03", Picture(PNG, "a map", "S005/001, frame 12"))
    page, files = shown(target(examples=(example, example)))
    assert sorted(files) == ["pictures/verdict-1.png", "pictures/verdict-2.png", "verdict.html"]
    assert list(files)[-1] == "verdict.html"  # never links to what is not there yet
    assert page.count("<strong>lowest mu .03</strong>") == 2


@pytest.mark.parametrize("where", ["sentence", "caption", "table", "target"])
def test_names_cannot_become_markup(where):
    example = Example("x", Picture(PNG, HOSTILE, HOSTILE))
    one = {
        "sentence": lambda: shown(TargetVerdict(**{**vars(target()), "sentence": HOSTILE})),
        "caption": lambda: shown(target(examples=(example,))),
        "table": lambda: shown(target(), tables=(DataTable("t", (HOSTILE,), ((HOSTILE,),)),)),
        "target": lambda: shown(target(HOSTILE)),
    }[where]()[0]
    assert "<script>" not in one
    assert "\u202e" not in one
    assert "&lt;script&gt;" in one
