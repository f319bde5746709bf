"""The page that says of every target whether the network looks where the face says it should."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from fer_batch.report.page import DataTable, Picture, Query, RunSummary, page, picture_file

FILE = "verdict.html"
STATES = {"flag": "flagged", "note": "note", "ok": "in place", "open": "open"}


@dataclass(frozen=True)
class Example:
    """One frame: `title` such as `lowest mu .03`, and its map with the region outlined."""

    title: str
    picture: Picture


@dataclass(frozen=True)
class TargetVerdict:
    """One target; figures are NaN where undefined, `f1` is None where the target is not annotated.

    Attributes
    ----------
    target, name
        `AU10`, `Upper Lip Raiser`.
    sentence, state
        In plain words, and one of `STATES`.
    mean, low, high, chance, weighted
        Mu, its interval, chance level, and mu over chance.
    n, n_undefined, n_subjects
        Frames with a mu, frames without, and subjects behind the interval.
    examples
        Of low and high mu.
    """

    target: str
    name: str
    sentence: str
    state: str
    f1: float | None
    mean: float
    low: float
    high: float
    chance: float
    weighted: float
    n: int
    n_undefined: int
    n_subjects: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class VerdictContents:
    """What the page shows.

    Attributes
    ----------
    targets
        In the order of the table.
    tables
        Beside other explanations, datasets and published figures.
    notes
        Sentences on what limits these figures.
    queries
        SQL that gives them.
    """

    targets: tuple[TargetVerdict, ...]
    tables: tuple[DataTable, ...] = ()
    notes: tuple[str, ...] = ()
    queries: tuple[Query, ...] = ()


def verdict_files(summary: RunSummary, contents: VerdictContents) -> Iterator[tuple[str, bytes]]:
    """The pictures, then the page.

    Yields
    ------
    path, content
        Path relative to the report, forward slashes.
    """
    numbers = count(1)
    examples = {}
    for item in contents.targets:
        files = [picture_file(f"pictures/verdict-{next(numbers)}", example.picture) for example in item.examples]
        yield from ((file.path, file.picture.content) for file in files)
        examples[item.target] = list(zip(item.examples, files, strict=True))
    groups = {state: [item.target for item in contents.targets if item.state == state] for state in STATES}
    rows = [(item, _gauge(item)) for item in contents.targets]
    yield (
        FILE,
        page(
            "verdict.html",
            FILE,
            summary,
            contents=contents,
            rows=rows,
            groups=groups,
            states=STATES,
            examples=examples,
            digits=_digits,
        ),
    )


@dataclass(frozen=True)
class _Gauge:
    """Positions on a scale of 0 to 100; None for what is undefined."""

    mean: float | None
    low: float | None
    high: float | None
    chance: float | None


def _gauge(item: TargetVerdict) -> _Gauge:
    values = (item.mean, item.low, item.high, item.chance)
    return _Gauge(*(None if math.isnan(value) else round(100 * value, 2) for value in values))


def _digits(value: float | None, n: int = 3) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{n}f}"
