"""The report: works offline, links only to what is there, and believes no file name."""

import re
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fer_batch.report.page import (
    NO_FACE,
    PAGE_ROWS,
    ClusterRow,
    DataTable,
    IndexContents,
    Picture,
    Problem,
    PrototypeCount,
    Query,
    Report,
    RunSummary,
    SequenceStory,
    StageRow,
    Still,
    StillGroup,
    contents_page,
    slug,
    visible,
)

TOY = "(NONE) -> (AU02_A) -> (AU01_A, AU02_A, AU04_A) -> (NONE)"
NASTY = (
    "<script>alert(1)</script>.mp4",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "../../etc/passwd",
    "a b#c?d%2e%2e/e&amp;.avi",
    "表情/видео 😀.webm",
    "tab\tand\x1bescape\x00",
    "right\u202eot left",
    "bytes\udcff\udc80.mp4",
    "javascript:alert(4)",
    "{{ 7 * 7 }}{% raw %}",
    "</style></title><svg onload=alert(5)>",
)


def png(width: int = 30, height: int = 15) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = zlib.compress(b"".join(b"\0" + bytes(width) for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def story(name: str, **changes) -> SequenceStory:
    picture = Picture(png(), f"picture of {name}", f"caption of {name}")
    values = {
        "sequence_id": name,
        "subject_id": name,
        "emotion": name,
        "text": TOY,
        "n_frames": 18,
        "n_stages": 4,
        "reduction": 0.5556,
        "thumbnail": picture,
        "strip": picture,
        "timeline": picture,
        "spectra": (picture,),
        "stages": (StageRow("(NONE)", 0, 3, 4, 0, 0.16), StageRow(f"({name}_A)", 4, 9, 5, 1, None)),
        "clusters": (ClusterRow(name, "A", 8, 1, 2, 2, name, 3, float("nan"), None), ClusterRow("x", "", *[None] * 8)),
        "queries": (Query(name, f"SELECT * FROM stages WHERE sequence_id = '{name}'"),),
        "facts": ((name, name),),
    }
    return SequenceStory(**(values | changes))


def summary(name: str = "clips", **changes) -> RunSummary:
    counts = {"found": 5, "done": 2, "failed": 2, "skipped": 1, "already_done": 0}
    values = {
        "title": name,
        "dataset": name,
        "model": name,
        "explain": name,
        "counts": counts,
        "run_id": name,
        "weights_license": name,
        "facts": ((name, name),),
    }
    return RunSummary(**(values | changes))


def contents(name: str) -> IndexContents:
    picture = Picture(png(), name, name)
    return IndexContents(
        prototypes=(PrototypeCount(f"({name}_A) -> (NONE)", 3, ((name, 3),)),),
        n_distinct_prototypes=2,
        n_stories=4,
        galleries=((name, picture),),
        stills=(
            StillGroup(name, 9, (Still(name, picture, name, name),)),
            StillGroup("other", 1, (Still(name, picture),)),
        ),
        problems=(Problem(name, "failed", name), Problem(name, "skipped", None)),
        n_problems=2,
        tables=(DataTable(name, (name, "n"), ((name, 0.123456), (None, float("nan"))), name),),
    )


def files(report_summary: RunSummary, stories=(), index: IndexContents | None = None) -> dict[str, bytes]:
    report = Report(report_summary)
    found: dict[str, bytes] = {}
    for one in stories:
        for path, content in report.sequence(one):
            assert path not in found, "no file is written over"
            found[path] = content
    for path, content in report.index(index or IndexContents()):
        assert path not in found, "no file is written over"
        found[path] = content
    return found


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and text."""

    VOID = frozenset(["meta", "link", "img", "br", "input", "hr"])

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html.decode("utf-8"))
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def pages(found: dict[str, bytes]) -> dict[str, Page]:
    return {path: Page(content) for path, content in found.items() if path.endswith(".html")}


def tags_of(name: str) -> dict[str, list[str]]:
    everything = files(summary(name), [story(name)], contents(name))
    return {PurePosixPath(path).parent.name: [tag for tag, _ in page.tags] for path, page in pages(everything).items()}


PLAIN_TAGS = tags_of("clips")


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_name_adds_no_tag_no_attribute_and_is_still_readable(name):
    found = files(summary(name), [story(name)], contents(name))
    assert tags_of(name) == PLAIN_TAGS, "the same tags as for a plain name"
    for page in pages(found).values():
        for tag, attributes in page.tags:
            assert not any(key.startswith("on") for key in attributes), (tag, attributes)
            assert "style" not in attributes
    index = Page(found["index.html"])
    assert " ".join(str(visible(name)).split()) in index.words


@pytest.mark.parametrize("name", NASTY)
def test_paths_stay_inside_the_report_and_are_plain(name):
    found = files(summary(name), [story(name)], contents(name))
    for path in found:
        assert re.fullmatch(r"([a-z]+/)?[a-z0-9-]+\.(html|png|svg)", path), path


@given(st.text(st.characters(), max_size=80), st.text(st.characters(), max_size=80))
@example("a/b", "a-b")
@example("A", "a")
@example("é", "e")
@example("\udcff", "\udcfe")
@example("", " ")
def test_slugs_are_safe_and_different_for_different_names(one, other):
    assert re.fullmatch(r"[a-z0-9-]{12,72}", slug(one))
    assert (slug(one) == slug(other)) == (one == other)


def test_slugs_are_readable_and_stay_the_same():
    assert slug("S005/001").startswith("s005-001-")
    assert slug("S005/001") == slug("S005/001")


@pytest.mark.parametrize("names", [("clips/a.mp4", "S005/001"), NASTY])
def test_every_link_and_picture_resolves_to_a_file_of_the_report(names):
    found = files(summary(), [story(name) for name in names], contents("x"))
    seen = {"index.html"}
    for path, page in pages(found).items():
        ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
        assert len(ids) == sum("id" in attributes for _, attributes in page.tags), "ids are unique"
        links = [(a, a["href"]) for a in page.of("a")] + [(i, i["src"]) for i in page.of("img")]
        for _, link in links:
            parts = urlsplit(link)
            assert not parts.scheme
            assert not parts.netloc
            if not parts.path:
                assert parts.fragment in ids
                continue
            base = PurePosixPath(path).parent
            target = []
            for part in (base / unquote(parts.path)).parts:
                target.pop() if part == ".." else target.append(part)
            assert "/".join(target) in found, link
            seen.add("/".join(target))
    assert seen == set(found), "nothing is written that no page shows"


def test_every_page_is_whole_without_a_network_and_without_scripts():
    found = files(summary(), [story("a")], contents("x"))
    for path, page in pages(found).items():
        for tag in ("link", "iframe", "object", "base", "form"):
            assert not page.of(tag), path
        for script in page.of("script"):
            assert "src" not in script
        assert b"http://" not in found[path]
        assert b"https://" not in found[path]
        assert b"@import" not in found[path]
        (policy,) = [m["content"] for m in page.of("meta") if m.get("http-equiv") == "Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
    index = Page(found["index.html"])
    assert [p for p in index.of("p") if p.get("class") == "filter"] == [{"class": "filter", "hidden": None}], (
        "a box that needs the script is hidden until the script shows it"
    )
    assert not any("hidden" in attributes for attributes in index.of("tr"))


def test_the_index_says_the_counts_and_the_reasons():
    words = Page(files(summary(), [story("a.mp4")], contents("bad.avi"))["index.html"]).words
    for part in (
        "found 5",
        "done 2",
        "failed 2",
        "skipped 1",
        "of these, from earlier runs 0",
        "bad.avi failed bad.avi",
    ):
        assert part in words
    assert "(NONE) → (AU02_A) → (AU01_A, AU02_A, AU04_A) → (NONE)" in words
    assert " -> " not in words


def test_unknown_counts_are_dashes_not_zeros():
    words = Page(files(summary(counts={}))["index.html"]).words
    assert "found –" in words
    assert "None: every input was processed" in words


def test_a_demo_model_is_loud_on_every_page_and_others_are_not():
    for demo in (True, False):
        for path, page in pages(files(summary(demo=demo), [story("a")])).items():
            assert ("DEMO MODEL" in page.words) == demo, path


def test_a_missing_licence_is_said():
    assert "not stated" in Page(files(summary(weights_license=""))["index.html"]).words
    assert "CC-BY 4.0" in Page(files(summary(weights_license="CC-BY 4.0"))["index.html"]).words


def test_a_sequence_with_nothing_but_a_text_has_a_row_and_no_page():
    bare = SequenceStory("a.mp4", "(NONE)", 3, 1)
    found = files(summary(), [bare])
    assert set(found) == {"index.html"}
    page = Page(found["index.html"])
    assert "a.mp4" in page.words
    assert "0 of 1 sequences" in page.words


def test_a_sequence_page_has_its_figures_numbers_and_sql():
    found = files(summary(), [story("S005/001")])
    page = Page(found[f"sequences/{slug('S005/001')}.html"])
    assert len(page.of("img")) == 3
    assert all(image["alt"] for image in page.of("img"))
    assert {(i["width"], i["height"]) for i in page.of("img")} == {("24", "12")}
    assert "SELECT * FROM stages WHERE sequence_id = 'S005/001'" in page.words
    assert "caption of S005/001" in page.words
    assert "nan" not in page.words.lower().split()


def test_long_stories_are_cut_in_the_index_and_whole_on_their_page():
    text = " -> ".join(f"(AU{i:02d}_A)" for i in range(30))
    found = files(summary(), [story("long", text=text, n_stages=30)])
    index, page = Page(found["index.html"]), Page(found[f"sequences/{slug('long')}.html"])
    assert "and 26 more" in index.words
    assert "(AU29_A)" not in index.words
    assert "(AU29_A)" in page.words


def test_a_sequence_without_a_face_has_no_story_and_says_why():
    found = files(summary(), [story("empty.mp4", text="", n_frames=0, n_stages=0, strip=None)])
    assert "no face found" in Page(found["index.html"]).words
    assert "No face was found in any frame" in Page(found[f"sequences/{slug('empty.mp4')}.html"]).words


@pytest.mark.parametrize(
    ("n_sequences", "sentence"),
    [((1, 1), "the 2 sequences with a face have 2 different"), ((1,), "nothing to count"), ((2, 1), None)],
)
def test_prototypes_are_counted_in_a_table_only_where_one_occurs_twice(n_sequences, sentence):
    counts = tuple(PrototypeCount(f"(AU{i:02d}_A)", n) for i, n in enumerate(n_sequences, 1))
    index = IndexContents(prototypes=counts, n_distinct_prototypes=len(counts), n_stories=sum(n_sequences))
    page = Page(files(summary(), (), index)["index.html"])
    assert bool(page.of("meter")) == (sentence is None)
    assert sentence is None or sentence in page.words


def test_a_still_without_a_face_is_listed_without_a_picture():
    name = "a_rather_long_name_of_a_file_of_a_wall.jpg"
    found = files(summary(), (), IndexContents(stills=(StillGroup(NO_FACE, 3, (Still(name, None),)),)))
    page = Page(found["index.html"])
    assert set(found) == {"index.html"}
    assert "no face found 1 of 3 listed" in page.words
    assert [bdi["title"] for bdi in page.of("bdi") if "title" in bdi] == [name], "what is cut can be read"


def test_many_sequences_are_spread_over_pages_that_link_to_each_other():
    n = 2 * PAGE_ROWS + 1
    bare = {"strip": None, "timeline": None, "spectra": (), "thumbnail": None, "subject_id": None, "emotion": None}
    found = files(summary(), [story(f"clip {i:05d}", **bare) for i in range(n)])
    assert sorted(found) == ["index.html", "sequences-2.html", "sequences-3.html"]
    words = {path: page.words for path, page in pages(found).items()}
    assert sum(text.count("clip 0") for text in words.values()) == n
    for path, page in pages(found).items():
        links = {urlsplit(a["href"]).path for a in page.of("a")}
        assert set(found) - {path} <= links


def test_stills_have_a_gallery_that_says_how_many_it_leaves_out():
    words = Page(files(summary(), (), contents("happiness"))["index.html"]).words
    assert "happiness 1 of 9 shown" in words
    assert "annotated: happiness" in words


def test_pictures_may_be_svg():
    drawing = Picture(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing")
    found = files(summary(), [story("a", strip=drawing)])
    assert f"pictures/{slug('a')}-stages.svg" in found


def test_the_contents_page_lists_every_report():
    page = Page(contents_page([("<b>", "m-1", "lrp-2", "x/index.html"), ("d", "m-1", "lrp-2", "y/index.html")]))
    assert [a["href"] for a in page.of("a")] == ["#content", "x/index.html", "y/index.html"]
    assert "<b>" in page.words


def test_a_browser_loads_the_pages_without_complaint(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium to load the pages")
    found = files(summary(demo=True), [story(name) for name in NASTY], contents(NASTY[0]))
    for path, content in found.items():
        (tmp_path / "report" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "report" / path).write_bytes(content)
    for path in ("index.html", f"sequences/{slug(NASTY[1])}.html"):
        done = subprocess.run(
            [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--enable-logging=stderr",
                "--dump-dom",
                (tmp_path / "report" / path).as_uri(),
            ],
            capture_output=True,
            timeout=60,
            check=True,
        )
        complaints = [line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
        assert not complaints
        dom = done.stdout.decode("utf-8")
        if path == "index.html":
            assert f"{len(NASTY)} of {len(NASTY)}</output>" in dom, "the filter ran"
            assert 'class="filter" hidden' not in dom
