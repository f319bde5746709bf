"""The static report of one partition: plain records in, (path, bytes) out.

Works from a folder without a network. Whatever comes from file names is escaped; names of files in the report are made
of ASCII letters, digits and dashes only. Sequences stream through: of each, only its row of the index is kept.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

PAGE_ROWS = 500  # sequences of one index page
INDEX_STAGES = 4  # stages of a story that its row in the index writes out
MAX_PROBLEMS = 2000
NO_FACE = "no face found"
_PIXELS_PER_CSS_PIXEL = 1.25  # figures are drawn for print; on a screen their small text may be larger
_INVISIBLE, _HARMLESS = ("Cc", "Cf", "Cs"), "\n\u200d"  # the joiner makes one emoji of several


@dataclass(frozen=True)
class Picture:
    """An image and the words that stand for it.

    Attributes
    ----------
    content
        PNG or SVG.
    alt
        What is to be seen, for who cannot see it.
    caption
        What is shown, with units.
    """

    content: bytes
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class StageRow:
    """One stage in numbers; `seconds` where the frame rate is known."""

    text: str
    first_frame: int
    last_frame: int
    n_frames: int
    n_missing_frames: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class ClusterRow:
    """One cluster in numbers, None where undefined."""

    target: str
    cluster: str
    n_frames: int | None
    first_frame: int | None
    exemplar_frame: int | None
    n_clusters: int | None = None
    rule: str | None = None
    n_neighbors: int | None = None
    eigengap: float | None = None
    silhouette: float | None = None


@dataclass(frozen=True)
class Query:
    """SQL that gives the rows behind a picture."""

    title: str
    sql: str


@dataclass(frozen=True)
class SequenceStory:
    """One sequence.

    Attributes
    ----------
    text
        Temporal prototype with ASCII arrows.
    n_frames, n_missing_frames
        Ok frames (0: the pages say that no face was found), and frames without a usable face.
    n_stages, n_distinct_stages, reduction
        As in table `temporal_prototypes`.
    facts
        Further (name, value) pairs for the head of its page.
    thumbnail
        Small strip for the index.
    strip, timeline, spectra
        Figures of its page; a story without any of them has no page, only a row.
    """

    sequence_id: str
    text: str
    n_frames: int
    n_stages: int
    n_missing_frames: int = 0
    n_distinct_stages: int | None = None
    reduction: float | None = None
    subject_id: str | None = None
    emotion: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    thumbnail: Picture | None = None
    strip: Picture | None = None
    timeline: Picture | None = None
    spectra: tuple[Picture, ...] = ()
    stages: tuple[StageRow, ...] = ()
    clusters: tuple[ClusterRow, ...] = ()
    queries: tuple[Query, ...] = ()

    @property
    def has_page(self) -> bool:
        """Whether there is anything to show beyond the row of the index."""
        return bool(self.strip or self.timeline or self.spectra)


@dataclass(frozen=True)
class Still:
    """One still: its picture if it shows a face, its annotated class, and a line of detail such as probabilities."""

    sequence_id: str
    picture: Picture | None
    truth: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class StillGroup:
    """Stills of one predicted class: how many there are, and those that are shown."""

    name: str
    n: int
    shown: tuple[Still, ...]


@dataclass(frozen=True)
class Problem:
    """An input that was not processed, with its status (failed, skipped) and the reason."""

    sequence_id: str
    status: str
    reason: str | None


@dataclass(frozen=True)
class PrototypeCount:
    """How many sequences have one temporal prototype, and of which emotions (most frequent first)."""

    text: str
    n_sequences: int
    emotions: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class DataTable:
    """Any further table; cells are text, numbers or None."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    caption: str = ""

    @property
    def numeric(self) -> frozenset[int]:
        """Columns that hold numbers and nothing else, which stand right-aligned."""
        return frozenset(
            i
            for i in range(len(self.columns))
            if all(isinstance(row[i], int | float) for row in self.rows if row[i] is not None)
        )


@dataclass(frozen=True)
class RunSummary:
    """What every page says about the run.

    Attributes
    ----------
    title
        Headline, usually the dataset.
    counts
        `found`, `done`, `failed`, `skipped`, `already_done`; a missing one is shown as unknown.
    demo
        Whether the model card says these are demo weights: every page then says so loudly.
    facts
        (name, value) pairs of the model card.
    shows_faces
        Whether pictures contain pixels of faces.
    pages
        (file, name) of the pages of this report that the navigation shows, in order.
    """

    title: str
    dataset: str
    model: str
    explain: str
    counts: Mapping[str, int] = field(default_factory=dict)
    run_id: str = ""
    started_at: str = ""
    finished_at: str = ""
    version: str = ""
    demo: bool = False
    weights_license: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    shows_faces: bool = True
    pages: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class IndexContents:
    """What the index shows beside the sequences, known once all have passed.

    Attributes
    ----------
    prototypes, n_distinct_prototypes, n_stories
        The commonest, how many there are, and in how many sequences.
    galleries
        (heading, picture) of small multiples.
    stills
        Groups by predicted class.
    problems, n_problems
        Failed and skipped inputs, and how many there are.
    tables
        Further tables, such as evaluation.
    """

    prototypes: tuple[PrototypeCount, ...] = ()
    n_distinct_prototypes: int = 0
    n_stories: int = 0
    galleries: tuple[tuple[str, Picture], ...] = ()
    stills: tuple[StillGroup, ...] = ()
    problems: tuple[Problem, ...] = ()
    n_problems: int = 0
    tables: tuple[DataTable, ...] = ()


@dataclass(frozen=True)
class _File:
    """A picture with its path in the report and its size on the page."""

    path: str
    picture: Picture
    width: int | None
    height: int | None


@dataclass(frozen=True)
class _Row:
    sequence_id: str
    subject_id: str | None
    emotion: str | None
    text: str
    n_hidden: int
    n_frames: int
    n_missing_frames: int
    n_stages: int
    reduction: float | None
    link: str
    thumbnail: _File | None


@dataclass(frozen=True)
class _StillGroup:
    name: str
    n: int
    anchor: str
    pictures: tuple[tuple[Still, _File | None], ...]


class Report:
    """Renders a report: first `sequence` for each, then `index` once.

    Parameters
    ----------
    summary
        What every page says.
    """

    def __init__(self, summary: RunSummary) -> None:
        self.summary = summary
        self._rows: list[_Row] = []
        self._environment = _environment()

    def sequence(self, story: SequenceStory) -> Iterator[tuple[str, bytes]]:
        """Files of one sequence: its pictures and its page, where it has one.

        Yields
        ------
        path, content
            Path relative to the report, forward slashes.
        """
        name = slug(story.sequence_id)
        pictures = {"thumbnail": story.thumbnail, "stages": story.strip, "timeline": story.timeline}
        files = {
            key: picture_file(f"pictures/{name}-{key}", picture)
            for key, picture in pictures.items()
            if picture is not None
        }
        spectra = [picture_file(f"pictures/{name}-clusters-{i}", picture) for i, picture in enumerate(story.spectra, 1)]
        yield from ((item.path, item.picture.content) for item in (*files.values(), *spectra))
        link = ""
        if story.has_page:
            link = f"sequences/{name}.html"
            yield (
                link,
                self._render(
                    "sequence.html",
                    link,
                    story=story,
                    facts=_facts(story),
                    strip=files.get("stages"),
                    timeline=files.get("timeline"),
                    spectra=spectra,
                    clusters_table=_clusters_table(story.clusters),
                    stages_table=_stages_table(story.stages),
                ),
            )
        self._rows.append(
            _Row(
                sequence_id=story.sequence_id,
                subject_id=story.subject_id,
                emotion=story.emotion,
                text=_beginning(story.text),
                n_hidden=_n_hidden(story.text),
                n_frames=story.n_frames,
                n_missing_frames=story.n_missing_frames,
                n_stages=story.n_stages,
                reduction=story.reduction,
                link=link,
                thumbnail=files.get("thumbnail"),
            )
        )

    def index(self, contents: IndexContents) -> Iterator[tuple[str, bytes]]:
        """Pages of the index and the pictures on them; call it last.

        Yields
        ------
        path, content
            `index.html` comes last, so that it never links to what is not there.
        """
        galleries = [
            (title, picture_file(f"pictures/gallery-{i}", picture))
            for i, (title, picture) in enumerate(contents.galleries, 1)
        ]
        stills = [_still_group(group, number) for number, group in enumerate(contents.stills, 1)]
        for _, item in galleries:
            yield item.path, item.picture.content
        for shown in stills:
            yield from ((item.path, item.picture.content) for _, item in shown.pictures if item is not None)
        chunks = [self._rows[at : at + PAGE_ROWS] for at in range(0, len(self._rows), PAGE_ROWS)] or [[]]
        pages = ["index.html", *(f"sequences-{number}.html" for number in range(2, len(chunks) + 1))]
        counted = {
            "n_sequences": len(self._rows),
            "n_without_pages": sum(not row.link for row in self._rows),
            "prototypes": contents.prototypes,
            "n_distinct_prototypes": contents.n_distinct_prototypes,
            "n_stories": contents.n_stories,
            "tables": contents.tables,
            "n_problems": contents.n_problems,
        }
        for number in range(len(chunks) - 1, 0, -1):
            yield (
                pages[number],
                self._render(
                    "sequences.html", pages[number], rows=chunks[number], number=number, pages=pages, contents=counted
                ),
            )
        sections = (
            ("sequences", "Sequences", bool(self._rows)),
            ("prototypes", "Temporal prototypes", bool(contents.prototypes)),
            ("galleries", "Commonest stories", bool(galleries)),
            ("stills", "Stills", bool(stills)),
            *((f"table-{i}", table.title, True) for i, table in enumerate(contents.tables, 1)),
            ("problems", "Failed and skipped", True),
            ("model", "Model", True),
        )
        yield (
            "index.html",
            self._render(
                "index.html",
                "index.html",
                contents=counted,
                rows=chunks[0],
                pages=pages,
                galleries=galleries,
                stills=stills,
                problems=contents.problems[:MAX_PROBLEMS],
                tiles=_tiles(self.summary.counts),
                contents_of_page=[(anchor, name) for anchor, name, shown in sections if shown],
            ),
        )

    def _render(self, template: str, path: str, **values: object) -> bytes:
        return _rendered(self._environment, template, path, summary=self.summary, **values)


def page(template: str, path: str, summary: RunSummary, **values: object) -> bytes:
    """A further page of a report: a template that extends `base.html`, which marks it in the navigation.

    Parameters
    ----------
    template
        Name in `templates/`.
    path
        The page's file in the report; pages in a subfolder link back with `root`.
    values
        For the template; whatever comes from the data is escaped.
    """
    return _rendered(_environment(), template, path=path, summary=summary, **values)


def contents_page(reports: Sequence[tuple[str, str, str, str]]) -> bytes:
    """A page that lists reports as (dataset, model, explain, link)."""
    nothing = RunSummary(title="", dataset="", model="", explain="", shows_faces=False)
    return page("contents.html", "index.html", nothing, reports=reports)


def slug(name: str) -> str:
    """A file name for any text: readable, safe on every system, different for different texts.

    Parameters
    ----------
    name
        For example a `sequence_id`; anything, path separators and undecodable bytes included.

    Returns
    -------
    str
        Lower-case ASCII letters, digits and dashes: what is readable of `name`, then ten hex digits of its hash.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    readable = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].rstrip("-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{readable or 'x'}-{digest}"


def visible(text: object) -> object:
    """Text in which no character is invisible to the reader or changes the order of its neighbours.

    File names may hold control characters, text-direction overrides and bytes that are no UTF-8; they are written as
    escapes (`\\x1b`, `\\u202e`).
    """
    if not isinstance(text, str) or isinstance(text, Markup):
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _INVISIBLE and c not in _HARMLESS else c for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _rendered(environment: Environment, template: str, path: str, **values: object) -> bytes:
    assets = {name: _asset(name) for name in ("style.css", "filter.js")}
    # Nothing but what is written here may run or load, even if an escape were ever forgotten.
    policy = (
        f"default-src 'none'; img-src 'self' file:; style-src {_source(assets['style.css'])}; "
        f"script-src {_source(assets['filter.js'])}; base-uri 'none'; form-action 'none'"
    )
    page = environment.get_template(template).render(
        policy=policy,
        style=Markup(assets["style.css"]),
        script=Markup(assets["filter.js"]),
        here=path,
        root="../" * path.count("/"),
        **values,
    )
    return page.encode("utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fer_batch.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(beginning=_beginning, n_hidden=_n_hidden, arrows=_arrows, percent=_percent, cell=_cell)
    return environment


def _asset(name: str) -> str:
    return resources.files("fer_batch.report").joinpath("templates", name).read_text("utf-8")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _arrows(text: str) -> Markup:
    """A temporal prototype with printed arrows, broken over lines between stages only."""
    if not text:
        return Markup("–")
    stages = []
    for stage in str(visible(text)).split(" -> "):
        kind = "stage none" if stage == "(NONE)" else "stage"
        # A stage of many labels may break inside, after a comma.
        kind += " long" if len(stage) > 40 else ""
        stages.append(Markup('<span class="{}">{}</span>').format(kind, stage))
    return Markup(' <span class="to">→</span> ').join(stages)


def _beginning(text: str) -> str:
    """The first stages of a story, as many as a table row shows."""
    return " -> ".join(text.split(" -> ")[:INDEX_STAGES])


def _n_hidden(text: str) -> int:
    return max(0, text.count(" -> ") + 1 - INDEX_STAGES)


def _percent(value: float | None) -> str:
    return "–" if value is None or value != value else f"{100 * value:.0f} %"


def _cell(value: object) -> object:
    if value is None or value == "" or value != value:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else escape(visible(value))


def picture_file(stem: str, picture: Picture) -> _File:
    """A picture as a file of the report, `stem` with the suffix of its format."""
    content = picture.content
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        scale = _PIXELS_PER_CSS_PIXEL
        return _File(f"{stem}.png", picture, max(1, round(width / scale)), max(1, round(height / scale)))
    return _File(f"{stem}.svg", picture, None, None)


def _still_group(group: StillGroup, number: int) -> _StillGroup:
    # A still may be in several groups, so the name of its file holds the number of the group.
    pictures = tuple(
        (
            still,
            None
            if still.picture is None
            else picture_file(f"pictures/{slug(still.sequence_id)}-still-{number}", still.picture),
        )
        for still in group.shown
    )
    return _StillGroup(group.name, group.n, f"class-{slug(group.name)}", pictures)


def _tiles(counts: Mapping[str, int]) -> list[tuple[str, int | None, str, str]]:
    """Name, number, explanation and tone of each count."""
    known = ("found", "done", "failed", "skipped", "already_done")
    found, done, failed, skipped, already = (counts.get(name) for name in known)
    return [
        ("found", found, "inputs of the source", ""),
        ("done", done, "have rows in every table", ""),
        ("failed", failed, "with a reason below", "bad" if failed else ""),
        ("skipped", skipped, "deliberately not processed", ""),
        ("of these, from earlier runs", already, "not computed again", ""),
    ]


def _facts(story: SequenceStory) -> list[tuple[str, str]]:
    different = "" if story.n_distinct_stages is None else f", {story.n_distinct_stages} different"
    facts = [
        ("Emotion", story.emotion),
        ("Subject", story.subject_id),
        ("Frames with a face", str(story.n_frames)),
        ("Frames without a usable face", str(story.n_missing_frames) if story.n_missing_frames else None),
        ("Stages", f"{story.n_stages}" + different),
        (
            "Reduction in description length",
            None if story.reduction is None else f"{_percent(story.reduction)} (1 − stages / frames)",
        ),
    ]
    return [(name, value) for name, value in facts if value is not None] + list(story.facts)


def _stages_table(stages: Sequence[StageRow]) -> DataTable | None:
    if not stages:
        return None
    timed = any(stage.seconds is not None for stage in stages)
    columns = ("Stage", "Labels", "First frame", "Last frame", "Frames", "Missing")
    rows = tuple(
        (
            i,
            stage.text,
            stage.first_frame,
            stage.last_frame,
            stage.n_frames,
            stage.n_missing_frames,
            *((None if stage.seconds is None else round(stage.seconds, 3),) if timed else ()),
        )
        for i, stage in enumerate(stages, 1)
    )
    caption = "First and last frame are both part of the stage; missing frames lie between them."
    return DataTable("Stages", columns + (("Seconds",) if timed else ()), rows, caption)


def _clusters_table(clusters: Sequence[ClusterRow]) -> DataTable | None:
    if not clusters:
        return None
    columns = (
        "Target",
        "Cluster",
        "Frames",
        "First frame",
        "Exemplar frame",
        "Clusters",
        "Rule",
        "k",
        "Eigengap",
        "Silhouette",
    )
    rows = tuple(
        (
            c.target,
            c.cluster,
            c.n_frames,
            c.first_frame,
            c.exemplar_frame,
            c.n_clusters,
            c.rule,
            c.n_neighbors,
            c.eigengap,
            c.silhouette,
        )
        for c in clusters
    )
    caption = (
        "k: neighbours in the graph; eigengap: distance to the next eigenvalue; silhouette: −1 mixed to 1 well apart."
    )
    return DataTable("Clusters", columns, rows, caption)
