"""A page of a study that compares: tables, beside which published figures stand, and figures, in sections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from fer_batch.report.page import DataTable, Picture, PictureFile, Query, RunSummary, page, picture_file, stylesheet

_SMALL = 460  # CSS pixels up to which a picture is shown whole on a narrow screen


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes
    ----------
    title
        Its headline.
    lead
        What it shows, in a sentence or two.
    tables, figures
        In this order.
    notes
        Sentences under them.
    """

    title: str
    lead: str = ""
    tables: tuple[DataTable, ...] = ()
    figures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What a page of comparison shows.

    Attributes
    ----------
    name
        As the job names it, such as `class_discrimination`; of it the file is named.
    title, lead
        Headline, and the sentence under it: the finding.
    sections
        In order; a list of links leads to them where there are more than two.
    terms
        (term, explanation) of how to read the page.
    warnings
        (headline, sentence) of what a reader must know before any figure.
    queries
        SQL that gives the rows behind it.

    Raises
    ------
    ValueError
        If `name` is not made of lower-case letters, digits and underscores.
    """

    name: str
    title: str
    lead: str
    sections: tuple[Section, ...]
    terms: tuple[tuple[str, str], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    queries: tuple[Query, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", self.name) or self.name == "index":
            raise ValueError(f"expected a name of lower-case letters, digits and underscores, got {self.name!r}")

    @property
    def file(self) -> str:
        """The page's path in the report of the study."""
        return f"{self.name.replace('_', '-')}.html"


def comparison_files(summary: RunSummary, contents: Comparison) -> Iterator[tuple[str, bytes]]:
    """The pictures, then the page.

    Yields
    ------
    path, content
        Path relative to the report of the study, forward slashes.
    """
    numbers = count(1)
    sections = []
    for section in contents.sections:
        stem = f"pictures/{contents.file.removesuffix('.html')}"
        files = [picture_file(f"{stem}-{next(numbers)}", picture) for picture in section.figures]
        yield from ((file.path, file.picture.content) for file in files)
        sections.append((section, [(file, _is_small(file)) for file in files]))
    yield (
        contents.file,
        page(
            "comparison.html",
            contents.file,
            summary,
            more_style=stylesheet("study.css"),
            contents=contents,
            sections=sections,
        ),
    )


def _is_small(file: PictureFile) -> bool:
    return file.width is not None and file.width <= _SMALL
