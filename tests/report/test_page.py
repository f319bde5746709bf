"""The report: works offline, links only to what is there, and believes no file name."""

import dataclasses
import json
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fer_batch.report.chips import Chip
from fer_batch.report.index import (
    CHUNK_ROWS,
    CHUNK_STAGES,
    NO_FACE,
    Index,
    IndexContents,
    IndexRow,
    Problem,
    Still,
    StillGroup,
)
from fer_batch.report.page import DataTable, Picture, Query, ReportLink, RunSummary, contents_page
from fer_batch.report.patterns import PatternGroup, PatternRow, PatternsPart, PrototypeCount, patterns_files
from fer_batch.report.sequence import Cluster, SequencePage, Stage, Target, sequence_page, sequence_path
from fer_batch.report.text import slug, visible

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


def sequence(name: str, **changes) -> SequencePage:
    label = Chip(f"{name}_A", "#0072b2", "#004a75", "#ffffff")
    bare = dict.fromkeys(("n_frames", "first_frame", "exemplar_frame"))
    values = {
        "sequence_id": name,
        "subject_id": name,
        "emotion": name,
        "text": TOY,
        "n_frames": 18,
        "n_stages": 4,
        "reduction": 0.5556,
        "timeline": "<svg><rect/></svg>",
        "stages": (
            Stage("(NONE)", 0, 3, 4, seconds=0.16, outline="<path/>"),
            Stage(f"({name}_A)", 4, 9, 5, (label,), 1, None, 2, layer=0),
        ),
        "clusters": (
            Cluster(name, "A", label, 8, 1, 2, 2, name, 3, float("nan"), None, png(), 0, 1),
            Cluster("x", "", Chip("x"), **bare, outline="<path/>"),
        ),
        "targets": (Target(name, name, (0,), "<svg><rect/></svg>"), Target("x", "", (1,), note="1 map: one cluster")),
        "layers": (png(), png()),
        "faces": {2: b"\xff\xd8\xff a crop"},
        "queries": (Query(name, f"SELECT * FROM stages WHERE sequence_id = '{name}'"),),
        "facts": ((name, name),),
        "command": f"fer-batch report OUT --figures '{name}'",
    }
    return SequencePage(**(values | changes))


def row(name: str, **changes) -> IndexRow:
    values = {
        "sequence_id": name,
        "subject_id": name,
        "emotion": name,
        "n_frames": 18,
        "reduction": 0.5556,
        "stages": tuple(TOY.split(" -> ")),
        "lengths": (4, 2, 9, 3),
        "page": sequence_path(name),
    }
    return IndexRow(**(values | changes))


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
        prototypes=((f"({name}_A) -> (NONE)", 3), (TOY, 1)),
        colours={f"{name}_A": ("#0072b2", "#004a75", "#ffffff")},
        stills=(
            StillGroup(name, 9, (Still(name, picture, name, name),)),
            StillGroup("other", 1, (Still(name, picture),)),
        ),
        problems=(Problem(name, "failed", name), Problem(name, "skipped", None)),
        n_problems=2,
        tables=(DataTable(name, (name, "n"), ((name, 0.123456), (None, float("nan"))), name),),
    )


def patterns(name: str, report_summary: RunSummary) -> dict[str, bytes]:
    rows = (PatternRow(name, f"({name}_A) -> (NONE)", 3, 0.75, 2, 2.0, 0.01, 0.02), PatternRow(None, TOY, 2, 0.5))
    groups = (
        PatternGroup(None, 4, Picture(png(), name, name), rows[1:]),
        PatternGroup(name, 4, None, rows[:1], rows[:1]),
    )
    counts = (PrototypeCount(f"({name}_A) -> (NONE)", 3, ((name, 3),)),)
    plain = PatternRow(name, f"({name}) -> (NONE)", None, 0.75, 3, 2.0, 0.01, 0.02)
    parts = (
        PatternsPart(
            False, 4, (PrototypeCount(f"({name}) -> (NONE)", 4),), 1, 1, (PatternGroup(name, 4, None, (plain,)),), 6
        ),
        PatternsPart(True, 4, counts, 2, 1, groups, 6),
    )
    return dict(patterns_files(report_summary, parts, 0.1, Query(name, f"SELECT '{name}'"), (name,)))


def files(report_summary: RunSummary, names=(), contents: IndexContents | None = None) -> dict[str, bytes]:
    """A report of sequences with these names, and of the patterns of the first."""
    index, found = Index(report_summary), {}

    def add(more) -> None:
        for path, content in more:
            assert path not in found, "no file is written over"
            found[path] = content

    for name in names:
        add([(sequence_path(name), sequence_page(report_summary, sequence(name)))])
        add(index.row(row(name), ("AU02", "AU01")))
    add(index.pages(contents or IndexContents()))
    if names:
        add(patterns(names[0], report_summary).items())
    return found


def rows_of(script: bytes) -> dict:
    """What a file of rows hands over."""
    match = re.fullmatch(rb"ferRows\((\d+),(.*)\);\n", script)
    return json.loads(match[2])


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
    everything = files(summary(name), [name], contents(name))
    return {path.replace(slug(name), "x"): [tag for tag, _ in page.tags] for path, page in pages(everything).items()}


PLAIN_TAGS = tags_of("clips")
PAGES = (("index.html", "Sequences"), ("patterns.html", "Patterns"))


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_name_adds_no_tag_no_attribute_and_is_still_readable(name):
    found = files(summary(name), [name], contents(name))
    assert tags_of(name) == PLAIN_TAGS, "the same tags as for a plain name"
    for page in pages(found).values():
        for tag, attributes in page.tags:
            assert not any(key.startswith("on") for key in attributes), (tag, attributes)
            assert "style" not in attributes
    for path in ("index.html", "list-1.html", "patterns.html", sequence_path(name)):
        assert " ".join(str(visible(name)).split()) in Page(found[path]).words
    (packed,) = rows_of(found["data/sequences-1.js"])["rows"]
    assert packed[0] == visible(name)


@pytest.mark.parametrize("name", NASTY)
def test_paths_stay_inside_the_report_and_are_plain(name):
    found = files(summary(name), [name], contents(name))
    for path in found:
        assert re.fullmatch(r"([a-z]+/)?[a-z0-9-]+\.(html|png|svg|js)", path), path


@given(st.text(st.characters(), max_size=80))
@example("</script><script>alert(1)")
@example("\u2028 \udcff & <!--")
def test_rows_travel_as_ascii_that_no_page_could_mistake_for_markup(name):
    index = Index(summary())
    assert list(index.row(row(name))) == []
    found = dict(index.pages(IndexContents()))
    script = found["data/sequences-1.js"]
    assert not set(script) & set(b"<>&")
    data = rows_of(script)
    assert data["rows"][0][0] == visible(name)
    assert [data["stages"][i] for i in data["rows"][0][10]] == TOY.split(" -> ")


@pytest.mark.parametrize("names", [("clips/a.mp4", "S005/001"), NASTY])
def test_every_link_and_picture_resolves_to_a_file_of_the_report(names):
    found = files(summary(pages=PAGES), names, contents("x"))
    seen = {"index.html"}
    for path, page in pages(found).items():
        ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
        assert len(ids) == sum("id" in attributes for _, attributes in page.tags), "ids are unique"
        assert {use["href"][1:] for use in page.of("use")} <= ids
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
    data = rows_of(found["data/sequences-1.js"])
    assert {packed[8] for packed in data["rows"]} == {sequence_path(name) for name in names}
    assert seen == set(found) - {"data/sequences-1.js"}, "nothing is written that no page shows"


def test_every_page_is_whole_without_a_network_and_only_the_index_runs_a_script():
    found = files(summary(), ["a"], contents("x"))
    for path, page in pages(found).items():
        for tag in ("iframe", "object", "base", "form"):
            assert not page.of(tag), path
        assert page.of("link") == [{"rel": "icon", "href": "data:,"}], "a host is not asked for an icon"
        scripts = page.of("script")
        assert all("src" not in script for script in scripts)
        assert len(scripts) == (2 if path == "index.html" else 0)
        assert b"https://" not in found[path]
        assert b"@import" not in found[path]
        (policy,) = [m["content"] for m in page.of("meta") if m.get("http-equiv") == "Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert ("script-src 'none'" in policy) == (path != "index.html")
    index = Page(found["index.html"])
    assert [d for d in index.of("div") if d.get("id") == "browse"] == [{"id": "browse", "hidden": None}], (
        "what needs the script is hidden until the script shows it"
    )
    assert "list-1.html" in [a["href"] for a in index.of("a")], "without a script there is a list"


def test_the_index_says_the_counts_and_the_reasons():
    words = Page(files(summary(), ["a.mp4"], contents("bad.avi"))["index.html"]).words
    for part in (
        "found 5",
        "done 2",
        "failed 2",
        "skipped 1",
        "of these, from earlier runs 0",
        "bad.avi failed bad.avi",
    ):
        assert part in words


def test_unknown_counts_are_dashes_not_zeros():
    words = Page(files(summary(counts={}))["index.html"]).words
    assert "found –" in words
    assert "None: every input was processed" in words


def test_a_demo_model_is_loud_on_every_page_and_others_are_not():
    for demo in (True, False):
        for path, page in pages(files(summary(demo=demo), ["a"])).items():
            assert ("DEMO MODEL" in page.words) == demo, path


def test_a_missing_licence_is_said():
    assert "not stated" in Page(files(summary(weights_license=""))["index.html"]).words
    assert "CC-BY 4.0" in Page(files(summary(weights_license="CC-BY 4.0"))["index.html"]).words


def test_a_sequence_page_has_its_figures_numbers_and_sql():
    page = Page(sequence_page(summary(), sequence("S005/001")))
    assert [image["id"] for image in page.of("image")] == ["m0", "p0", "p1", "f2"], "every picture once"
    assert all(image["href"].startswith("data:image/") for image in page.of("image"))
    uses = [use["href"] for use in page.of("use")]
    assert uses == ["#f2", "#p0", "#f2", "#m0", "#f2", "#p0", "#f2", "#p1"], "strip, frames, mean, Top 25, Top 10"
    assert all(svg.get("aria-label") or svg.get("aria-hidden") or not svg for svg in page.of("svg"))
    assert "SELECT * FROM stages WHERE sequence_id = 'S005/001'" in page.words
    assert "(NONE) → (AU02_A) → (AU01_A, AU02_A, AU04_A) → (NONE)" in page.words
    assert "fer-batch report OUT --figures 'S005/001'" in page.words
    assert "nan" not in page.words.lower().split()


def test_a_page_that_cannot_show_a_face_or_a_map_draws_an_outline_and_says_so():
    page = Page(sequence_page(summary(), sequence("a", faces={})))
    assert not [use for use in page.of("use") if use["href"].startswith("#f")]
    assert "No mean map is stored." in page.words
    assert "1 map: one cluster" in page.words


def test_a_split_by_steps_says_how_sure_it_is():
    plain = sequence("a")
    assert "eigenvalues of the graph of its maps lie near zero" in Page(sequence_page(summary(), plain)).words
    clusters = tuple(dataclasses.replace(one, rule="steps", stability=0.876, p_split=0.0004) for one in plain.clusters)
    targets = (
        dataclasses.replace(plain.targets[0], clusters=(0, 1), p_split=0.0004),
        dataclasses.replace(plain.targets[1], p_split=0.31),
    )
    words = Page(sequence_page(summary(), dataclasses.replace(plain, clusters=clusters, targets=targets))).words
    assert "a new group begins where they take a step" in words
    assert "Drift and noise alone make so clear a step with a probability of less than .001." in words
    assert "No step that drift and noise do not make (p 0.31)." in words
    assert "stability 0.88" in words
    assert "p of the split Stability" in words


def test_long_prototypes_are_cut_in_lists_and_whole_on_their_page():
    stages = tuple(f"(AU{i:02d}_A)" for i in range(30))
    index = Index(summary())
    list(index.row(row("long", stages=stages, lengths=(1,) * 30)))
    listed = Page(dict(index.pages(IndexContents()))["list-1.html"])
    assert "and 26 more" in listed.words
    assert "(AU29_A)" not in listed.words
    assert "(AU29_A)" in Page(sequence_page(summary(), sequence("long", text=" -> ".join(stages)))).words


def test_a_sequence_without_a_face_has_no_prototype_and_says_why():
    index = Index(summary())
    list(index.row(row("empty.mp4", stages=(), lengths=(), n_frames=0)))
    assert "no face found" in Page(dict(index.pages(IndexContents()))["list-1.html"]).words
    empty = sequence("empty.mp4", text="", n_frames=0, n_stages=0, stages=())
    assert "No face was found in any frame" in Page(sequence_page(summary(), empty)).words


@pytest.mark.parametrize(
    ("n_sequences", "sentence"),
    [((1, 1), "the 2 sequences with a face have 2 different"), ((1,), "nothing to count"), ((2, 1), None)],
)
def test_prototypes_are_counted_in_a_table_only_where_one_occurs_twice(n_sequences, sentence):
    counts = tuple(PrototypeCount(f"(AU{i:02d}_A)", n) for i, n in enumerate(n_sequences, 1))
    part = PatternsPart(True, sum(n_sequences), counts, len(counts), 2, ())
    found = dict(patterns_files(summary(), (part,), 0.1, Query("", "")))
    page = Page(found["patterns.html"])
    assert bool(page.of("meter")) == (sentence is None)
    assert sentence is None or sentence in page.words


def test_patterns_say_support_lift_and_q_and_lead_to_their_sequences():
    page = Page(patterns("fear & joy", summary())["patterns.html"])
    assert "(fear & joy_A) → (NONE) 3 2 75 % 2 0.01 0.02" in page.words
    links = [urlsplit(a["href"]) for a in page.of("a")]
    wanted = [
        dict(part.split("=") for part in link.fragment.split("&"))
        for link in links
        if link.path == "index.html" and "pattern=" in link.fragment
    ]
    assert {(one["kind"], unquote(one["pattern"]), unquote(one.get("emotion", ""))) for one in wanted} == {
        ("gapped", "(fear & joy_A) -> (NONE)", "fear & joy"),
        ("contiguous", "(fear & joy_A) -> (NONE)", "fear & joy"),
        ("gapped", TOY, ""),
    }, "the index knows prototypes with letters"


def test_what_is_active_comes_first_and_a_run_too_long_to_be_gapped_says_so():
    page = Page(patterns("joy", summary())["patterns.html"])
    assert page.words.index("joy) → (NONE)") < page.words.index("joy_A) → (NONE)")
    assert "(joy) → (NONE) ≥ 3 3 75 % 2 0.01 0.02" in page.words
    assert "Patterns of up to 6 stages were looked for" in page.words
    assert "None is typical: every q is above 0.1" in page.words
    found = [h["id"] for h in page.of("h3") if "id" in h]
    joy = f"group-{slug('joy')}"
    assert found == ["active-whole", f"active-{joy}", "letters-whole", "letters-all", f"letters-{joy}"]


def test_a_still_without_a_face_is_listed_without_a_picture():
    name = "a_rather_long_name_of_a_file_of_a_wall.jpg"
    found = files(summary(), (), IndexContents(stills=(StillGroup(NO_FACE, 3, (Still(name, None),)),)))
    page = Page(found["index.html"])
    assert set(found) == {"index.html"}
    assert "no face found 1 of 3 listed" in page.words
    assert [bdi["title"] for bdi in page.of("bdi") if "title" in bdi] == [name], "what is cut can be read"


@pytest.mark.parametrize(("n_stages", "n_files"), [(3, 3), (CHUNK_STAGES // 100, 11)])
def test_many_sequences_are_spread_over_files_of_bounded_size(n_stages, n_files):
    n = 2 * CHUNK_ROWS + 1
    index, found = Index(summary()), {}
    for i in range(n):
        plain = {"subject_id": None, "emotion": None, "stages": ("(AU12_A)",) * n_stages, "lengths": (1,) * n_stages}
        found.update(index.row(row(f"clip {i:05d}", **plain), ("AU12",)))
        assert len(index._pending) < CHUNK_ROWS, "rows stream through"
    found.update(index.pages(IndexContents()))
    scripts = [name for name in found if name.endswith(".js")]
    assert len(scripts) == n_files
    assert max(len(found[name]) for name in scripts) < 250_000
    names = [packed[0] for name in scripts for packed in rows_of(found[name])["rows"]]
    assert names == [f"clip {i:05d}" for i in range(n)]
    manifest = json.loads(re.search(rb'id="manifest">(.*?)</script>', found["index.html"])[1])
    assert sum(manifest["chunks"]) == n
    lists = [found[f"list-{number}.html"] for number in range(1, n_files + 1)]
    assert sum(content.count(b"<bdi>clip ") for content in lists) == n
    assert b"list-2.html" in lists[0]


def test_stills_have_a_gallery_that_says_how_many_it_leaves_out():
    words = Page(files(summary(), (), contents("happiness"))["index.html"]).words
    assert "happiness 1 of 9 shown" in words
    assert "annotated: happiness" in words


def test_the_contents_page_lists_every_report():
    reports = [ReportLink("<b>", "m-1", "lrp-2", "x/index.html"), ReportLink("d", "m-1", "lrp-2", "y/index.html")]
    page = Page(contents_page(reports))
    assert [a["href"] for a in page.of("a")] == ["#content", "x/index.html", "y/index.html"]
    assert "<b>" in page.words
    assert "demo model" not in page.words.lower()


def test_the_contents_page_says_which_reports_come_from_demo_weights():
    mine = ReportLink("d", "mine-1", "lrp-2", "x/index.html")
    demo = ReportLink("d", "demo-1", "lrp-2", "y/index.html", demo=True)
    words = Page(contents_page([mine, demo])).words
    assert "demo-1 demo model" in words and "mine-1 demo model" not in words and "DEMO MODEL." not in words
    assert "DEMO MODEL." in Page(contents_page([demo])).words
