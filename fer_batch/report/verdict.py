"""The page that says of every target whether the network looks where the face says it should."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from fer_batch.report.page import DataTable, Picture, Query, RunSummary, page, picture_file, stylesheet

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
    fold_f1
        F1 on people that the training left out; None where it is not said.
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
    fold_f1: float | None = None
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
    warning
        What a reader must know before any figure.
    new_people
        The same figures of the people that the network was not trained on, where it was on others.
    conservation
        A sentence on maps that do not add up to their logits; empty where there is none to say.
    alarming
        Whether that sentence is a warning.
    """

    targets: tuple[TargetVerdict, ...]
    tables: tuple[DataTable, ...] = ()
    notes: tuple[str, ...] = ()
    queries: tuple[Query, ...] = ()
    warning: str = ""
    new_people: DataTable | None = None
    conservation: str = ""
    alarming: bool = False


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
    full = full_scale(value for item in contents.targets for value in (item.mean, item.high, item.chance))
    rows = [(item, _gauge(item, full)) for item in contents.targets]
    yield (
        FILE,
        page(
            "verdict.html",
            FILE,
            summary,
            more_style=stylesheet("verdict.css"),
            contents=contents,
            rows=rows,
            full=full,
            with_folds=any(item.fold_f1 is not None for item in contents.targets),
            groups=groups,
            states=STATES,
            examples=examples,
            digits=_digits,
        ),
    )


@dataclass(frozen=True)
class _Gauge:
    """Positions from 0 to 100 on the scale of the page; None for what is undefined."""

    mean: float | None
    low: float | None
    high: float | None
    chance: float | None


def _gauge(item: TargetVerdict, full: float) -> _Gauge:
    values = (item.mean, item.low, item.high, item.chance)
    return _Gauge(*(None if math.isnan(value) else round(100 * value / full, 2) for value in values))


def full_scale(shares: Iterable[float]) -> float:
    """The end of an axis from 0 on which all of these shares differ visibly; its half is a short number too.

    Chance levels are small, and on an axis that ends at 1 an interval and the chance beside it would be one dot.
    """
    largest = max((value for value in shares if not math.isnan(value)), default=0.0)
    return next((end for end in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if largest <= end), 1.0)


def _digits(value: float | None, n: int = 3) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{n}f}"
