"""The page of nights of a partition, from its tables as they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fer_batch.output.query import connect
from fer_batch.pipeline.partition.drift import ELSEWHERE, Charted, Drift, drift_of, publish_drift, recorded_window
from fer_batch.pipeline.partition.drift_text import alarm_sentence, night_name, rule_sentence
from fer_batch.report.nights import FILE as FILE
from fer_batch.report.nights import SHOWN_NIGHTS, FigureChart, NightsContents, nights_page
from fer_batch.report.page import DataTable, Query, RunSummary
from fer_batch.storage.parquet import Partition
from fer_batch.storage.published import published_files
from fer_batch.storage.store import Store

SHOWN = 20  # alarms of each kind, reasons, new things


def has_nights(store: Store, partition: Partition) -> bool:
    """Whether `fer-batch nightly` was asked about the partition."""
    return bool(published_files(store, partition.folder("drift")))


def nights_files(store: Store, partition: Partition, summary: RunSummary) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the page; table `drift` is written again with it, so that they never differ."""
    found = drift_of(store, partition, recorded_window(store, partition), connect(store))
    publish_drift(store, found)
    yield FILE, nights_page(summary, contents_of(found))


def contents_of(found: Drift) -> NightsContents:
    """What the page shows of a partition."""
    names = tuple(map(night_name, found.nights))
    alarms = found.alarms
    sure = [(names[one.night], alarm_sentence(one)) for one in alarms if one.kind == ELSEWHERE]
    others = [(names[one.night], alarm_sentence(one)) for one in alarms if one.kind != ELSEWHERE]
    return NightsContents(
        names,
        tuple(map(bool, found.reference)),
        tuple(sure[:SHOWN]),
        tuple(others[:SHOWN]),
        len(sure),
        len(others),
        len(found.latest),
        rule_sentence(found),
        tuple(_figure(one) for one in found.charted),
        tuple(_tables(found, names)),
        tuple(_queries(found)),
    )


def _figure(one: Charted) -> FigureChart:
    nights, chart = one.series.nights, one.chart
    limits = {
        name: tuple(getattr(chart, name).tolist())
        for name in ("lower", "upper", "smoothed", "smoothed_lower", "smoothed_upper")
    }
    return FigureChart(
        name=one.name,
        target=one.series.target or "",
        value=tuple(night.value for night in nights),
        low=tuple(night.low for night in nights),
        high=tuple(night.high for night in nights),
        centre=chart.centre,
        side=tuple(chart.side.tolist()),
        n=tuple(night.n_frames for night in nights),
        n_subjects=tuple(night.n_subjects for night in nights),
        **limits,
    )


def _tables(found: Drift, names: tuple[str, ...]) -> Iterator[DataTable]:
    last = len(names) - 1
    first = max(0, len(names) - SHOWN_NIGHTS)
    failed = Counter(dict.fromkeys(range(len(names)), 0))
    for one in found.failures:
        failed[one.night] += one.n
    out, looks, prototypes = (
        Counter(thing.night for thing in things) for things in (found.alarms, found.new_looks, found.new_prototypes)
    )
    rows = [
        (names[k], night.n_inputs, failed[k], night.n_frames, night.frames_per_second, looks[k], prototypes[k], out[k])
        for k, night in list(enumerate(found.nights))[first:]
    ]
    columns = ("Night", "Inputs", "Failed or partial", "Frames", "Frames/s", "New looks", "New prototypes", "Out")
    yield DataTable("Nights", columns, tuple(reversed(rows)), "The latest first. New: in no earlier night.")
    if found.failures:
        reasons = sorted(found.failures, key=lambda one: (-one.night, -one.n))[:SHOWN]
        yield DataTable(
            "Failures by reason",
            ("Night", "Status", "Reason", "Inputs", "Such as"),
            tuple((names[one.night], one.status, one.reason, one.n, one.example) for one in reasons),
        )
    new = [("look", thing) for thing in found.new_looks if thing.night == last]
    new += [("temporal prototype", thing) for thing in found.new_prototypes if thing.night == last]
    if new:
        yield DataTable(
            "Never seen before the latest night",
            ("What", "Which", "Sequences"),
            tuple((what, thing.name, thing.n) for what, thing in new[:SHOWN]),
        )


def _queries(found: Drift) -> Iterator[Query]:
    here = "\n  AND ".join(
        f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in found.partition.key.items()
    )
    yield Query(
        "Every figure beyond its limits",
        "SELECT started_at, alarm, figure, target, look, value, low, high, centre, state, n, n_subjects\n"
        f"FROM drift\nWHERE {here}\n  AND alarm IS NOT NULL\nORDER BY alarm DESC, started_at DESC",
    )
    of = next((one.series for one in found.charted if one.series.target), None)
    if of is None:
        return
    target = str(of.target).replace("'", "''")
    yield Query(
        "One figure, night after night",
        "SELECT started_at, value, low, high, lower, upper, smoothed, state\n"
        f"FROM drift\nWHERE {here}\n  AND figure = '{of.kind.name}' AND target = '{target}'\nORDER BY started_at",
    )
