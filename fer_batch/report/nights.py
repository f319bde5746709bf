"""The page of nights: what left its limits, figures night after night, failures, and what was never seen before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fer_batch.report.page import DataTable, Query, RunSummary, page, stylesheet

FILE = "nights.html"
SHOWN_NIGHTS = 60  # the latest, in charts and in the table
WIDTH, HEIGHT, EDGE = 330.0, 120.0, 9.0
_LINES = ("lower", "upper", "smoothed", "smoothed_lower", "smoothed_upper")
_AXIS = 34.0  # left of the first night, where the values stand


@dataclass(frozen=True)
class FigureChart:
    """A figure night after night with its limits; NaN where there is none.

    Attributes
    ----------
    name, target
        What it is, and whose; the target is empty for figures of whole frames or inputs.
    value, low, high
        Of each night, with its interval.
    lower, upper, smoothed, smoothed_lower, smoothed_upper
        Limits, moving average and its limits.
    centre
        Mean of the reference.
    side
        Of each night: -1 below, 0, 1 above.
    n, n_subjects
        Frames or inputs, and subjects, of each night.
    """

    name: str
    target: str
    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    smoothed: tuple[float, ...]
    smoothed_lower: tuple[float, ...]
    smoothed_upper: tuple[float, ...]
    centre: float
    side: tuple[int, ...]
    n: tuple[int, ...]
    n_subjects: tuple[int, ...]

    @property
    def is_out(self) -> bool:
        """Whether the latest night is."""
        return bool(self.side and self.side[-1])


@dataclass(frozen=True)
class NightsContents:
    """What the page shows.

    Attributes
    ----------
    nights
        What each is called, in their order.
    reference
        Whether each is in the reference window.
    elsewhere
        Sentences on the latest nights in which the network looks elsewhere while it stays sure: (night, sentence).
    alarms
        The same of all other figures.
    n_elsewhere, n_alarms
        How many there are of either.
    n_latest
        Alarms of the latest night.
    rule
        How a night is judged, in a sentence.
    charts
        Every figure.
    tables
        Nights, failures, and what was never seen before.
    queries
    """

    nights: tuple[str, ...]
    reference: tuple[bool, ...]
    elsewhere: tuple[tuple[str, str], ...]
    alarms: tuple[tuple[str, str], ...]
    n_elsewhere: int
    n_alarms: int
    n_latest: int
    rule: str
    charts: tuple[FigureChart, ...]
    tables: tuple[DataTable, ...] = ()
    queries: tuple[Query, ...] = ()

    @property
    def has_limits(self) -> bool:
        """Whether any figure has."""
        return any(not math.isnan(chart.centre) for chart in self.charts)


@dataclass(frozen=True)
class _Mark:
    """A night on a chart: place, interval, whether it is out, and what to read when pointed at."""

    x: float
    y: float
    low: float | None
    high: float | None
    out: bool
    words: str


@dataclass(frozen=True)
class _Drawn:
    """A chart as the template draws it: `ticks` are (y, value), lines are points of an SVG polyline."""

    name: str
    out: bool
    is_open: bool
    words: str
    marks: tuple[_Mark, ...]
    reference: tuple[float, float] | None
    centre: float | None
    lower: str
    upper: str
    smoothed: str
    smoothed_lower: str
    smoothed_upper: str
    ticks: tuple[tuple[float, float], ...]


def nights_page(summary: RunSummary, contents: NightsContents) -> bytes:
    """The page; charts are drawn in it."""
    groups: dict[str, list[_Drawn]] = {}
    for chart in contents.charts:
        groups.setdefault(chart.target, []).append(_drawn(chart, contents))
    return page(
        "nights.html",
        FILE,
        summary,
        more_style=stylesheet("nights.css"),
        contents=contents,
        groups=[(target, drawn, sum(one.out for one in drawn)) for target, drawn in groups.items()],
        n_shown=min(SHOWN_NIGHTS, len(contents.nights)),
        size=(WIDTH, HEIGHT),
    )


def _drawn(chart: FigureChart, contents: NightsContents) -> _Drawn:
    start = max(0, len(contents.nights) - SHOWN_NIGHTS)
    shown = range(start, len(contents.nights))
    scale = _Scale.of(chart, shown)
    step = (WIDTH - _AXIS - EDGE) / max(1, len(shown) - 1)
    x = {k: round(_AXIS + (k - start) * step, 1) for k in shown}
    marks = tuple(
        _Mark(x[k], scale.y(chart.value[k]), *_ends(scale, chart, k), bool(chart.side[k]), _words(chart, contents, k))
        for k in shown
        if not math.isnan(chart.value[k])
    )
    inside = [x[k] for k in shown if contents.reference[k]]
    lines = {
        name: " ".join(f"{x[k]},{scale.y(own[k])}" for k in shown if not math.isnan(own[k]))
        for name in _LINES
        for own in [getattr(chart, name)]
    }
    return _Drawn(
        chart.name,
        chart.is_out,
        math.isnan(chart.centre),
        _words(chart, contents, len(contents.nights) - 1),
        marks,
        (inside[0] - step / 2, inside[-1] - inside[0] + step) if inside else None,
        None if math.isnan(chart.centre) else scale.y(chart.centre),
        ticks=tuple((scale.y(value), value) for value in (scale.bottom, scale.top)),
        **lines,
    )


def _ends(scale: _Scale, chart: FigureChart, k: int) -> tuple[float | None, float | None]:
    low, high = chart.low[k], chart.high[k]
    return (None, None) if math.isnan(low) or math.isnan(high) else (scale.y(low), scale.y(high))


def _words(chart: FigureChart, contents: NightsContents, k: int) -> str:
    if math.isnan(chart.value[k]):
        return f"{contents.nights[k]}: none"
    interval = "" if math.isnan(chart.low[k]) else f" ({chart.low[k]:.3g} to {chart.high[k]:.3g})"
    out = {-1: ", below its limits", 1: ", above its limits"}.get(chart.side[k], "")
    people = f"n {chart.n[k]}, {chart.n_subjects[k]} subjects"
    return f"{contents.nights[k]}: {chart.value[k]:.3g}{interval}, {people}{out}"


@dataclass(frozen=True)
class _Scale:
    """The vertical axis of a chart."""

    bottom: float
    top: float

    @classmethod
    def of(cls, chart: FigureChart, shown: Sequence[int]) -> _Scale:
        """An axis that shows the values and limits of some nights; intervals may leave it."""
        columns = (chart.value, chart.lower, chart.upper, chart.smoothed)
        known = [column[k] for column in columns for k in shown if not math.isnan(column[k])] or [0.0]
        low, high = min(known), max(known)
        if low >= 0 and high <= 1 and (high - low < 0.04 or low < 0.1):
            low = 0.0 if low < 0.1 else low
        room = max(high - low, 1e-3 * abs(high), 1e-6)
        return cls(low, low + room)

    def y(self, value: float) -> float:
        """Where a value stands, from the top; held at the edges of the chart."""
        share = (value - self.bottom) / (self.top - self.bottom)
        return round(HEIGHT - EDGE - min(1.06, max(-0.06, share)) * (HEIGHT - 2 * EDGE), 1)
