"""The bar of a row of the index shows a recording of any length, and its episodes are there to read and to search."""

import json

import pytest

from fer_batch.report.index import Index, IndexContents
from fer_batch.report.index_rows import IndexEpisode, IndexRow, chunk
from fer_batch.report.page import RunSummary

COLOURS = {"AU06_A": ("#0072b2", "#0072b2", "#ffffff"), "AU12_A": ("#d55e00", "#d55e00", "#ffffff")}
SVG = "document.querySelectorAll('#rows svg.mini')"


def flicker(n):
    """A recording of n stages, as a network gives them that flickers."""
    stages = tuple(("(NONE)", "(AU06_A)", "(AU06_A, AU12_A)", "(AU12_A)", "(AU06_A)")[i % 5] for i in range(n))
    return {
        "stages": stages,
        "lengths": tuple(1 + i % 4 for i in range(n)),
        "n_frames": sum(1 + i % 4 for i in range(n)),
    }


def episodes(n):
    stages = ("(AU06_A)", "(AU06_A, AU12_A)", "(AU12_A)")
    return tuple(
        IndexEpisode(stages, (40 * i, 40 * i + 8, 40 * i + 20), 40 * i + 29, 1.6 * i, 1.6 * i + 1.2) for i in range(n)
    )


ROWS = (
    IndexRow("short.mp4", span=(0, 29), episodes=episodes(1), **flicker(8)),
    IndexRow("long.mp4", span=(0, 4999), episodes=episodes(125), **flicker(2037)),
    IndexRow("old.mp4", span=(0, 4999), **flicker(2037)),
    IndexRow("calm.mp4", span=(0, 9), episodes=(), stages=("(NONE)",), lengths=(10,), n_frames=10),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    index = Index(RunSummary("clips", "d", "m", "e"))
    for row in ROWS:
        for path, content in index.row(row, ["AU06", "AU12"]):
            (folder / path).write_bytes(content)
    for path, content in index.pages(IndexContents(colours=COLOURS)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_a_bar_is_drawn_at_every_length(browser, site):
    browser.complaints.clear()
    browser.open(f"file://{site}/index.html")
    browser.wait(f"{SVG}.length === 4")
    seen = browser.value(
        f"[...{SVG}].map(s => [...s.querySelectorAll('rect')].map(r => [r.getAttribute('fill'), "
        "+r.getAttribute('x'), +r.getAttribute('y'), +r.getAttribute('width')]))"
    )
    for row, bars in zip(ROWS, seen, strict=True):
        for name in COLOURS:
            own = [width for fill, _, _, width in bars if fill == COLOURS[name][0]]
            if row.sequence_id == "calm.mp4":
                assert not own
            else:
                assert sum(own) > 60, f"{name} has no legible line in the bar of {row.sequence_id}"
        assert all(x >= 0 and x + width <= 221 for _, x, _, width in bars)
        assert len(bars) < 700
    marks = [[bar for bar in bars if bar[0] == "#1f2328"] for bars in seen]
    assert [len(own) for own in marks] == [1, 125, 0, 0], "a line above each episode"
    assert not browser.complaints


def test_episodes_are_read_first_and_searched(browser, site):
    browser.open(f"file://{site}/index.html")
    browser.wait(f"{SVG}.length === 4")
    cells = browser.value("[...document.querySelectorAll('#rows tbody tr')].map(r => r.cells[3].innerText)")
    assert cells[0].startswith("0.0–1.2 s (AU06_A) → (AU06_A, AU12_A) → (AU12_A)")
    assert "and 122 more episodes" in cells[1]
    assert "and 2033 more" in cells[2]
    assert "no episode" in cells[3]
    pattern = "mined=episodes&kind=contiguous&pattern=" + "(AU06_A) -> (AU06_A, AU12_A) -> (AU12_A)".replace(" ", "%20")
    browser.open(f"file://{site}/index.html#{pattern}")
    browser.wait("document.getElementById('shown').textContent.startsWith('2 of')")
    assert "in an episode" in browser.value("document.getElementById('pattern').textContent")
    assert not browser.complaints


def test_without_a_script_episodes_are_in_the_list(site):
    text = (site / "list-1.html").read_text()
    assert "and 122 more episodes" in text
    assert "no episode: nothing begins and ends" in text


def test_a_row_says_where_episodes_were_not_looked_for():
    data = json.loads(chunk(1, ROWS).decode().removeprefix("ferRows(1,").rstrip().removesuffix(");"))
    assert [row[13] if row[13] is None else len(row[13]) for row in data["rows"]] == [1, 125, None, 0]
    assert data["rows"][0][13][0] == [[1, 2, 3], [0, 8, 20], 29, 0.0, 1.2]
