"""What all pages of a report share: plain records in, (path, bytes) out.

A report works from a folder without a network. Whatever comes from file names is escaped; names of files in the report
are made of ASCII letters, digits and dashes only.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fer_batch.report.text import arrows, beginning, cell, chance, colours, duration, n_hidden, percent, visible
from fer_batch.types import MapStyle

LOCAL = ["'self'", "file:"]  # a page from a folder has no origin that 'self' could mean
_PIXELS_PER_CSS_PIXEL = 1.25  # figures are drawn for print; on a screen their small text may be larger


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
class Query:
    """SQL that gives the rows behind a picture."""

    title: str
    sql: str


@dataclass(frozen=True)
class Published:
    """A cell that a paper printed, shown in another style than what was measured here."""

    value: object


@dataclass(frozen=True)
class DataTable:
    """Any further table; cells are text, numbers, `Published` or None.

    Attributes
    ----------
    source
        Where the published cells are printed; empty where there is none.
    decimals
        Of every figure that is no integer; by default each has three digits.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    caption: str = ""
    source: str = ""
    decimals: int | None = None

    @property
    def numeric(self) -> frozenset[int]:
        """Columns that hold numbers and nothing else, which stand right-aligned."""
        return frozenset(
            i
            for i in range(len(self.columns))
            if all(isinstance(value, int | float) for row in self.rows if (value := bare(row[i])) is not None)
        )


def bare(cell: object) -> object:
    """What a cell holds, whoever measured it."""
    return cell.value if isinstance(cell, Published) else cell


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
    conservation
        A sentence on maps that do not add up to their logits; empty where there is none to say.
    alarming
        Whether that sentence is a warning.
    shows_faces
        Whether pictures contain pixels of faces.
    pages
        (file, name) of the pages of this report that the navigation shows, in order.
    maps
        How pictures show relevance maps.
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
    conservation: str = ""
    alarming: bool = False
    shows_faces: bool = True
    pages: tuple[tuple[str, str], ...] = ()
    maps: MapStyle = field(default_factory=MapStyle)


@dataclass(frozen=True)
class PictureFile:
    """A picture with its path in the report and its size on the page."""

    path: str
    picture: Picture
    width: int | None
    height: int | None


def stylesheet(name: str) -> str:
    """CSS that belongs to one kind of page, for `more_style`."""
    return _asset(name)


def page(
    template: str,
    path: str,
    summary: RunSummary,
    *,
    script: str = "",
    data_folder: bool = False,
    more_style: str = "",
    **values: object,
) -> bytes:
    """A page of a report: a template that extends `base.html`, which marks it in the navigation.

    Parameters
    ----------
    template
        Name in `templates/`.
    path
        The page's file in the report; pages in a subfolder link back with `root`.
    script
        Name in `templates/` of what the page runs; a page without may run nothing.
    data_folder
        Whether it may load scripts of the report's own folder.
    more_style
        CSS after that of all pages.
    values
        For the template; whatever comes from the data is escaped.
    """
    style = _asset("style.css") + more_style
    runs = _asset(script) if script else ""
    sources = [_source(runs)] if script else ["'none'"]
    # Nothing but what is written here may run or load, even if an escape were ever forgotten.
    policy = (
        f"default-src 'none'; img-src 'self' file: data:; style-src {_source(style)}; "
        f"script-src {' '.join(sources + (LOCAL if data_folder else []))}; base-uri 'none'; form-action 'none'"
    )
    written = (
        _environment()
        .get_template(template)
        .render(
            policy=policy,
            style=Markup(style),
            script=Markup(runs),
            here=path,
            root="../" * path.count("/"),
            summary=summary,
            **values,
        )
    )
    return written.encode("utf-8")


@dataclass(frozen=True)
class ReportLink:
    """A report in the list of an output's reports; `demo` where its model card says these are demo weights."""

    dataset: str
    model: str
    explain: str
    href: str
    demo: bool = False


def contents_page(reports: Sequence[ReportLink]) -> bytes:
    """A page that lists reports; it warns of demo weights like its reports where all have them."""
    demo = all(report.demo for report in reports)
    nothing = RunSummary(title="", dataset="", model="", explain="", shows_faces=False, demo=demo)
    return page("contents.html", "index.html", nothing, reports=reports)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fer_batch.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(beginning=beginning, n_hidden=n_hidden, arrows=arrows, percent=percent, cell=cell)
    environment.filters.update(colours=colours, share="{:g}".format, duration=duration, chance=chance)
    environment.tests["published"] = lambda value: isinstance(value, Published)
    return environment


@lru_cache
def _asset(name: str) -> str:
    return resources.files("fer_batch.report").joinpath("templates", name).read_text("utf-8")


@lru_cache(maxsize=64)
def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def picture_file(stem: str, picture: Picture) -> PictureFile:
    """A picture as a file of the report, `stem` with the suffix of its format."""
    content = picture.content
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        scale = _PIXELS_PER_CSS_PIXEL
        return PictureFile(f"{stem}.png", picture, max(1, round(width / scale)), max(1, round(height / scale)))
    return PictureFile(f"{stem}.svg", picture, None, None)
