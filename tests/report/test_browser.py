"""The report in headless Chromium, from a folder and from a static host: open, filter, open a sequence, patterns."""

import functools
import http.server
import json
import threading

import numpy as np
import pytest

from fer_batch.pipeline.stages import draw_report as write_report
from fer_batch.report import index
from fer_batch.report.comparison import comparison_files
from fer_batch.report.comparisons import runtime
from fer_batch.report.page import Picture, RunSummary
from fer_batch.report.study import ComparisonLink, StudyCell, StudyContents, study_page
from fer_batch.storage.parquet import encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.visualize.figure import png

N, CHUNK = 26, 10


@pytest.fixture(scope="module")
def site(tmp_path_factory, report_scale):
    """A report of 26 sequences and three inputs without, in three files of rows."""
    store = Store(str(tmp_path_factory.mktemp("site")))
    report_scale.write_tables(store, N, n_maps=6)
    here = report_scale.HERE
    odd = [
        {"sequence_id": "broken <b>.avi", "status": "failed", "reason": "no moov & no mdat", "kind": "video"},
        {"sequence_id": "old.mp4", "status": "skipped", "reason": "not asked for", "kind": "video"},
        {"sequence_id": "wall.mp4", "status": "done", "kind": "video", "emotion": "surprise"},
    ]
    rows = rows_of("sequences", [row | {"run_id": "r"} for row in odd])
    store.put(f"{here.folder('sequences')}/shard-99999.parquet", encode(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "CHUNK_ROWS", CHUNK)
        write_report(store, card={"demo": True, "targets": list(report_scale.TARGETS)})
    return store.path(f"report/{here.dataset}/{here.model}/{here.explain}")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module", params=["folder", "host"])
def url(request, site):
    if request.param == "folder":
        yield f"file://{site}"
        return
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


SHOWN = "document.getElementById('shown').textContent"
ROWS = "document.querySelectorAll('#rows tbody tr').length"
NAMES = "[...document.querySelectorAll('#rows tbody th bdi')].map(node => node.textContent)"
LOADED = "[...document.querySelectorAll('script[src]')].length"


def choose(browser, name: str, value: str) -> None:
    browser.value(
        f"(() => {{ const one = document.querySelector('select[name={name}]'); one.value = {json.dumps(value)}; "
        "one.dispatchEvent(new Event('change')); })()"
    )


def search(browser, text: str) -> None:
    browser.value(
        f"(() => {{ const one = document.getElementById('search'); one.value = {json.dumps(text)}; "
        "one.dispatchEvent(new Event('input')); })()"
    )


def options(browser, name: str) -> dict[str, int]:
    found = browser.value(
        f"[...document.querySelectorAll('select[name={name}] option')].slice(1).map(o => [o.value, o.textContent])"
    )
    return {value: int(text.rsplit("(", 1)[1].rstrip(")")) for value, text in found}


def test_browse_filter_open_and_patterns(browser, url):
    browser.complaints.clear()
    browser.open(f"{url}/index.html")
    browser.wait(f"{SHOWN} === '{N + 3} sequences'")
    assert browser.value(ROWS) == N + 3
    assert browser.value("document.querySelectorAll('#rows svg.mini').length") == N
    assert "DEMO MODEL" in browser.value("document.body.innerText")
    assert browser.value("document.querySelectorAll('#rows b').length") == 0, "names are text"

    emotions = options(browser, "emotion")
    assert sum(emotions.values()) == N + 3
    choose(browser, "emotion", "fear")
    browser.wait(f"{SHOWN}.startsWith('{emotions['fear']} of')")
    assert set(browser.value("[...document.querySelectorAll('#rows tbody tr')].map(r => r.cells[2].textContent)")) == {
        "fear"
    }
    targets = options(browser, "target")
    choose(browser, "emotion", "")
    choose(browser, "target", "AU12")
    browser.wait(f"{SHOWN}.startsWith('{targets['AU12']} of')")
    choose(browser, "target", "")
    choose(browser, "status", "failed")
    browser.wait(f"{SHOWN}.startsWith('1 of')")
    assert browser.value(NAMES) == ["broken <b>.avi"]
    assert "no moov & no mdat" in browser.value("document.getElementById('rows').innerText")
    choose(browser, "status", "no face found")
    browser.wait(f"{NAMES}[0] === 'wall.mp4'")
    browser.value("document.getElementById('reset').click()")
    browser.wait(f"{SHOWN} === '{N + 3} sequences'")
    search(browser, "s000 00017")
    browser.wait(f"{SHOWN}.startsWith('1 of')")
    search(browser, "no such thing")
    browser.wait(f"{SHOWN}.startsWith('0 of')")
    assert "q=no%20such%20thing" in browser.value("location.hash"), "a view can be sent to somebody"

    browser.open(f"{url}/index.html#q=00017")
    browser.wait(f"{SHOWN}.startsWith('1 of')")
    browser.click("#rows tbody a")
    words = browser.value("document.body.innerText")
    for heading in (
        "Episodes",
        "Every frame: the temporal prototype, stage by stage",
        "The frames nearest to the means",
        "When",
        "Where the network looks",
    ):
        assert heading in words
    assert "WHERE sequence_id = 'S000/00017.mp4'" in words
    assert browser.value("document.querySelectorAll('.strip li').length") >= 2
    drawn = "[...document.querySelectorAll('.strip use, .card use')].every(u => u.getBBox().width === 100)"
    assert browser.value(drawn), "every picture that is used is there"
    assert browser.value("document.querySelector('svg.timeline').getBoundingClientRect().width") > 400

    browser.open(f"{url}/patterns.html")
    n = int(browser.value("document.querySelector('table.patterns a').textContent"))
    browser.click("table.patterns a")
    browser.wait(f"{SHOWN}.startsWith('{n} of')")
    assert browser.value("document.getElementById('pattern').textContent").startswith(
        "Sequences with the gapped pattern"
    )
    links = browser.value("[...document.querySelectorAll('nav.pages a')].map(a => a.textContent)")
    assert links[:2] == ["Sequences", "Patterns"]
    assert browser.complaints == []


def test_rows_are_loaded_when_they_are_needed(browser, tmp_path):
    browser.complaints.clear()
    rows = index.Index(_summary())
    files = {}
    for i in range(1200):
        stages = ("(NONE)", f"(AU{1 + i % 2:02d}_A)")
        files.update(rows.row(index.IndexRow(f"clip {i:04d}", stages=stages, lengths=(1, 2), n_frames=3), ("AU01",)))
    files.update(rows.pages(index.IndexContents()))
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    browser.open(f"file://{tmp_path}/index.html")
    browser.wait(f"{SHOWN} === '1200 sequences'")
    assert browser.value(ROWS) == 100
    assert browser.value(LOADED) == 1, "the first page needs the first file only"
    browser.value("document.querySelector('#pager button:last-child').click()")
    browser.wait(f"{NAMES}[0] === 'clip 0100'")
    assert browser.value(LOADED) == 1
    browser.open(f"file://{tmp_path}/index.html#page=11")
    browser.wait(f"{NAMES}[0] === 'clip 1000'")
    assert browser.value(LOADED) == 1, "and the eleventh page the third"
    browser.open(f"file://{tmp_path}/index.html#page=99")
    browser.wait(f"{NAMES}[0] === 'clip 0000'")
    search(browser, "au02")
    browser.wait(f"{SHOWN} === '600 of 1200 sequences'")
    assert browser.value(LOADED) == 3, "a search needs all"
    assert browser.complaints == []
    (tmp_path / "data" / "sequences-2.js").unlink()
    browser.open(f"file://{tmp_path}/index.html#page=6")
    browser.wait(f"{SHOWN}.includes('data/sequences-2.js is not there')")


def test_a_search_with_an_arrow_finds_the_stages_in_that_order(browser, tmp_path):
    browser.complaints.clear()
    rows = index.Index(_summary())
    sequences = {
        "rise": "(NONE) -> (AU06_A) -> (AU06_A, AU12_A) -> (NONE)",
        "fall": "(AU06_A, AU12_A) -> (AU06_A) -> (NONE)",
        "apart": "(NONE) -> (AU12_A) -> (AU06_A)",
        "again": "(NONE) -> (AU06_A) -> (NONE) -> (AU06_A) -> (NONE) -> (AU06_B)",
        "a -> b": "(NONE)",
    }
    files = {}
    for name, text in sequences.items():
        stages = tuple(text.split(" -> "))
        one = index.IndexRow(name, stages=stages, lengths=(1,) * len(stages), n_frames=9, emotion="fear")
        files.update(rows.row(one, ("AU06",)))
    files.update(rows.pages(index.IndexContents()))
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    browser.open(f"file://{tmp_path}/index.html#q=(NONE)%20-%3E%20(AU06_A)")
    browser.wait(f"{SHOWN} === '2 of 5 sequences'")
    assert browser.value(NAMES) == ["rise", "again"], "stages that follow each other, in that order"

    def found(text: str) -> list[str]:
        search(browser, text)
        browser.wait(f"decodeURIComponent(location.hash) === {json.dumps('#q=' + text)}")
        return browser.value(NAMES)

    for arrow in ("->", " -> ", "→", " → "):
        assert found(f"(AU06_A){arrow}(AU06_A, AU12_A)") == ["rise"]
        assert found(f"none{arrow}au06_a{arrow}au06_a,au12_a") == ["rise"], "brackets and capitals may be left out"
    assert found("(AU06_A, AU12_A) → (AU06_A)") == ["fall"]
    assert found("(AU12_A) -> (AU06_A)") == ["apart"], "whole stages, not some of their labels"
    assert found("again (NONE) -> (AU06_A) fear") == ["again"], "other words are looked for anywhere"
    assert found("apart (NONE) -> (AU06_A)") == []
    assert found("(NONE) ->") == [*sequences], "while it is being typed"
    assert found("a -> b") == ["a -> b"], "a name with an arrow is a name"
    assert found("au12 fear") == ["rise", "fall", "apart"]
    search(browser, "")
    browser.wait(f"{SHOWN} === '5 sequences'")
    copied = browser.value("document.querySelectorAll('#rows tbody tr')[3].cells[3].textContent")
    assert copied.endswith(" and 2 more")
    assert found(copied) == ["again"], "text that is copied from the page"
    assert browser.complaints == []


def test_a_study_is_sorted_by_its_columns_and_leads_to_its_comparisons(browser, tmp_path):
    browser.complaints.clear()
    times = {"lime": 600.0, "z": 9.5, "gradient": None, "cam": 80.0}
    cells = tuple(
        StudyCell("net <b>", name, seconds=time, seconds_per_image=time, status="done" if time else "failed")
        for name, time in times.items()
    )
    picture = Picture(png(np.full((300, 900, 3), 99, np.uint8)), "a chart")
    comparison = runtime({"lime": 600.0, "z": 9.5}, picture, {"lime": (480, 480)}, "a paper")
    contents = StudyContents("study", "Which?", cells, (ComparisonLink("Runtime", "Slow.", comparison.file),))
    summary = RunSummary("study", "d", "m", "e", pages=(("index.html", "Study"), (comparison.file, "Runtime")))
    for path, content in (*comparison_files(summary, comparison), ("index.html", study_page(summary, contents))):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)

    def methods() -> list[str]:
        return browser.value("[...document.querySelectorAll('.cells tbody tr')].map(row => row.cells[1].textContent)")

    def sort(column: int) -> str:
        browser.value(f"document.querySelectorAll('.cells thead button')[{column}].click()")
        return browser.value(f"document.querySelectorAll('.cells thead th')[{column}].getAttribute('aria-sort')")

    browser.open(f"file://{tmp_path}/index.html")
    assert methods() == ["lime", "z", "gradient", "cam"]
    assert sort(4) == "ascending" and methods() == ["z", "cam", "lime", "gradient"]
    assert sort(4) == "descending" and methods() == ["lime", "cam", "z", "gradient"], "what is missing stays last"
    assert sort(1) == "ascending" and methods() == ["cam", "gradient", "lime", "z"]
    assert browser.value("document.querySelectorAll('[aria-sort]').length") == 1
    browser.click(".links a")
    assert "What an explanation costs" in browser.value("document.querySelector('h1').textContent")
    assert browser.value("[...document.images].every(image => image.complete && image.naturalWidth === 900)")
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert "8 min" in browser.value("document.querySelector('td.published').textContent")
    assert browser.complaints == []


def _summary() -> RunSummary:
    return RunSummary(title="d", dataset="d", model="m", explain="e")
