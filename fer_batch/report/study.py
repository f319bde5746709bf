"""The first page of a study: its question, its cells, and the way to every comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fer_batch.report.page import DataTable, Query, RunSummary, page, stylesheet
from fer_batch.report.text import duration

FILE = "index.html"
LOST = ("failed", "partial")  # what a reader has to see first
_TONES = {"failed": "failed", "partial": "failed", "done": "", "skipped": "skipped", "waiting": "skipped"}


@dataclass(frozen=True)
class StudyCell:
    """One run of the grid.

    Attributes
    ----------
    network, fold, method
        What was run; `fold` is empty for a network without folds.
    varied
        (key, value) of what else the study varies, the same keys in every cell.
    status
        `done`, `partial`, `failed`, `skipped` or `waiting`.
    n_images
        Explained ones.
    seconds, seconds_per_image
        Wall time of the cell, and of its method alone per image; None where not measured.
    reason
        Why it is not done.
    href
        Its own report, relative to the study; empty where there is none.
    """

    network: str
    method: str
    fold: str = ""
    varied: tuple[tuple[str, str], ...] = ()
    status: str = "done"
    n_images: int | None = None
    seconds: float | None = None
    seconds_per_image: float | None = None
    reason: str = ""
    href: str = ""


@dataclass(frozen=True)
class ComparisonLink:
    """A comparison of the study.

    Attributes
    ----------
    title, finding
        What is compared, and its result in a sentence.
    href
        Its page, relative to the study; empty where it could not be made.
    reason
        Why it could not.
    """

    title: str
    finding: str = ""
    href: str = ""
    reason: str = ""


@dataclass(frozen=True)
class StudyContents:
    """What the page shows.

    Attributes
    ----------
    name, question
        Of the study; the question is a sentence or two.
    cells
        In the order of the grid.
    comparisons
        In the order of the job.
    published
        What is compared with a paper: tables with published cells.
    warnings
        (headline, sentence) of what a reader must know before any figure.
    notes
        Sentences that limit what the figures say.
    queries
        SQL that gives the rows behind the page.
    """

    name: str
    question: str
    cells: tuple[StudyCell, ...]
    comparisons: tuple[ComparisonLink, ...] = ()
    published: tuple[DataTable, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    queries: tuple[Query, ...] = ()


def study_page(summary: RunSummary, contents: StudyContents) -> bytes:
    """The page `index.html` of a study.

    Parameters
    ----------
    summary
        Shared by all pages of the study; its counts are not read.
    contents
        What this page shows.

    Raises
    ------
    ValueError
        If cells vary different keys.
    """
    keys = list(dict.fromkeys(tuple(key for key, _ in cell.varied) for cell in contents.cells))
    if len(keys) > 1:
        raise ValueError(f"expected the same varied keys in every cell, got {keys[0]} and {keys[1]}")
    return page(
        "study.html",
        FILE,
        summary,
        script="sort.js",
        more_style=stylesheet("study.css"),
        contents=contents,
        tiles=_tiles(contents.cells),
        varied=keys[0] if keys else (),
        with_folds=any(cell.fold for cell in contents.cells),
        with_reasons=any(cell.reason for cell in contents.cells),
        lost=LOST,
        tones=_TONES,
        contents_of_page=_sections(contents),
    )


def _tiles(cells: Sequence[StudyCell]) -> list[tuple[str, object, str, str]]:
    """Name, figure, explanation and tone of each count."""
    n = Counter(cell.status for cell in cells)
    n_lost = sum(n[status] for status in LOST)
    open_ = len(cells) - n["done"] - n_lost
    return [
        ("cells", len(cells), _grid(cells), ""),
        ("done", n["done"], "explained whole", ""),
        ("failed or partial", n_lost, "with a reason in the table", "bad" if n_lost else ""),
        *([("not run", open_, "skipped, or waiting for the next run", "")] if open_ else []),
        ("time", duration(_total(cell.seconds for cell in cells)), "of all cells together", ""),
    ]


def _grid(cells: Sequence[StudyCell]) -> str:
    networks, folds, methods = (
        len({getattr(cell, name) for cell in cells} - {""}) for name in ("network", "fold", "method")
    )
    counts = [(networks, "network"), (folds, "fold"), (methods, "method")]
    return ", ".join(f"{n} {noun}{'s'[: n != 1]}" for n, noun in counts if n)


def _total(seconds: Iterable[float | None]) -> float | None:
    known = [one for one in seconds if one is not None and one == one]
    return sum(known) if known else None


def _sections(contents: StudyContents) -> list[tuple[str, str]]:
    known = (
        ("comparisons", "Comparisons", bool(contents.comparisons)),
        ("cells", "Cells", True),
        ("published", "Compared with the paper", bool(contents.published)),
        ("limits", "Limits", bool(contents.notes)),
        ("model", "The networks", True),
        ("sql", "SQL", bool(contents.queries)),
    )
    return [(anchor, name) for anchor, name, shown in known if shown]
