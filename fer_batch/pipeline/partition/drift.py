"""What changed from night to night in a partition: figures beside control limits, and what was never seen before."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.evaluate.control_chart import ControlChart, can_be_charted, control_chart, looks_elsewhere
from fer_batch.output.latest_run import latest_run, rule_of
from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation_sql import PARTITION, labels_view
from fer_batch.pipeline.partition.night_series import CONFIDENCE, F1, MU, Night, Series, nights_of, series_of
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table
from fer_batch.types import InputError

FALSE_ALARMS = 0.01  # nights with any alarm, of those in which nothing changed
N_REFERENCE = 10
ELSEWHERE, CHANGE = "looks_elsewhere", "change"

_PAGES = f"SELECT run_id, sequence_id FROM sequences WHERE {PARTITION}"
_FAILURES = f"""
    SELECT run_id, status, coalesce(reason, 'no reason was recorded'),
           count(DISTINCT coalesce(uri, sequence_id)), min(sequence_id)
    FROM sequences WHERE {PARTITION} AND status IN ('failed', 'partial') GROUP BY ALL ORDER BY ALL
"""


def _first_seen(table: str, key: str, condition: str) -> str:
    """The night in which each value of some columns was seen first, and in how many sequences of it."""
    return f"""
        WITH place AS (SELECT unnest($order::VARCHAR[]) AS run_id, unnest(range(len($order::VARCHAR[]))) AS night),
        seen AS (
            SELECT night, {key} AS key, count(DISTINCT sequence_id) AS n FROM (
                SELECT * FROM {table} WHERE {PARTITION} AND {condition}
            ) JOIN ({_PAGES}) USING (sequence_id) JOIN place USING (run_id) GROUP BY ALL
        )
        SELECT min(night) AS first, key, arg_min(n, night) FROM seen GROUP BY key ORDER BY first, 3 DESC, key
    """


_LOOKS = _first_seen("cluster_looks", "target || '@' || look", "look IS NOT NULL")
_PROTOTYPES = _first_seen("temporal_prototypes", "cooccurrence_text", "n_frames > 0")


class NewThing(NamedTuple):
    """A look (`AU01@2`) or a temporal prototype that no earlier night has; `n` sequences of its first night have it."""

    night: int
    name: str
    n: int


class Failure(NamedTuple):
    """Inputs of a night with the same reason, and one of them."""

    night: int
    status: str
    reason: str
    n: int
    example: str


@dataclass(frozen=True)
class Charted:
    """A figure over all nights with its limits."""

    series: Series
    chart: ControlChart

    @property
    def name(self) -> str:
        """What a sentence calls it: `AU12 mu over chance`, `AU12@3 frames with the look`."""
        kind, target, look, _ = self.series.kind, self.series.target, self.series.look, self.series.nights
        if kind.name == "look":
            return f"{target}@{look}: {kind.words}" if look else f"{target}: frames with a look that was not common"
        return f"{target}: {kind.words}" if target else kind.words


class Alarm(NamedTuple):
    """A figure beyond its limits in a night; `kind` is `ELSEWHERE` or `CHANGE`."""

    night: int
    kind: str
    charted: Charted


@dataclass(frozen=True)
class Drift:
    """Everything that the page and the table say of a partition.

    Attributes
    ----------
    partition
    window
        Of the reference, as it was asked for.
    nights
        In their order.
    reference : shape (T,), bool
        Those that later ones are compared with.
    charted
        Figures, by kind and target.
    elsewhere
        By target, nights in which mu is below its limits while F1, or confidence, is not; shape (T,), bool.
    new_looks, new_prototypes
        Of the nights after the reference, by night.
    failures
        By night.
    """

    partition: Partition
    window: str
    nights: tuple[Night, ...]
    reference: NDArray[np.bool_]
    charted: tuple[Charted, ...]
    elsewhere: dict[str, NDArray[np.bool_]]
    new_looks: tuple[NewThing, ...]
    new_prototypes: tuple[NewThing, ...]
    failures: tuple[Failure, ...]

    @property
    def n_charts(self) -> int:
        """Figures that have limits."""
        return sum(not one.chart.is_open for one in self.charted)

    @property
    def alarms(self) -> list[Alarm]:
        """The latest night first; where the network looks elsewhere while it stays sure, before all others."""
        found = [
            Alarm(k, self._kind(one, k), one) for one in self.charted for k in np.flatnonzero(one.chart.side).tolist()
        ]
        return sorted(found, key=lambda alarm: (alarm.kind != ELSEWHERE, -alarm.night))

    def _kind(self, one: Charted, night: int) -> str:
        of = self.elsewhere.get(one.series.target or "")
        return ELSEWHERE if one.series.kind is MU and of is not None and of[night] else CHANGE

    @property
    def latest(self) -> list[Alarm]:
        """Alarms of the latest night."""
        return [alarm for alarm in self.alarms if alarm.night == len(self.nights) - 1]


def reference_nights(nights: Sequence[Night], window: str) -> NDArray[np.bool_]:
    """Which nights are in the reference window, shape (T,), bool.

    Parameters
    ----------
    nights
        In their order.
    window
        How many of the first ones, or two dates with `..` between, both in it: `2026-01-01..2026-01-14`.

    Raises
    ------
    InputError
        If it is neither.
    """
    if window.isdecimal() and int(window) > 0:
        return np.arange(len(nights)) < int(window)
    try:
        first, last = map(dt.date.fromisoformat, window.split(".."))
    except ValueError:
        raise InputError(
            f"a reference window is a number of nights or two dates (10, 2026-01-01..2026-01-14), got {window!r}"
        ) from None
    if last < first:
        raise InputError(f"the reference window {window} ends before it begins")
    days = [night.started_at.astimezone(dt.UTC).date() if night.started_at else None for night in nights]
    return np.array([day is not None and first <= day <= last for day in days], bool)


def drift_of(
    store: Store,
    partition: Partition,
    window: str = str(N_REFERENCE),
    connection: duckdb.DuckDBPyConnection | None = None,
) -> Drift:
    """Compare the nights of a partition, as its tables are now, with those of the reference window.

    The share of false alarms, `FALSE_ALARMS`, is divided evenly over all figures that have limits (Bonferroni).

    Parameters
    ----------
    store, partition
        Whose nights.
    window
        Of the reference, as `reference_nights` reads it.
    connection
        With the views of the output, where there is one.

    Raises
    ------
    InputError
        If the window is none.
    """
    connection = connection or connect(store)
    connection.execute(labels_view(rule_of(latest_run(store, partition))))
    nights = nights_of(connection, partition)
    reference = reference_nights(nights, window)
    series = series_of(connection, partition, nights, reference)
    level = FALSE_ALARMS / max(1, sum(can_be_charted(one.nights, reference) for one in series))
    charted = tuple(Charted(one, control_chart(one.nights, reference, level, one.kind.scale)) for one in series)
    end = int(np.flatnonzero(reference).max(initial=-1))
    looks, prototypes = (_new(connection, sql, partition, nights, end) for sql in (_LOOKS, _PROTOTYPES))
    place = {night.run_id: k for k, night in enumerate(nights)}
    rows = connection.execute(_FAILURES, partition.key).fetchall()
    failed = tuple(sorted(Failure(place[row[0]], *row[1:]) for row in rows))
    return Drift(partition, window, tuple(nights), reference, charted, _elsewhere(charted), looks, prototypes, failed)


def _new(
    connection: duckdb.DuckDBPyConnection, sql: str, partition: Partition, nights: Sequence[Night], end: int
) -> tuple[NewThing, ...]:
    order = {"order": [night.run_id for night in nights]}
    rows = connection.execute(sql, partition.key | order).fetchall()
    return tuple(NewThing(*row) for row in rows if row[0] > end)


def _elsewhere(charted: Sequence[Charted]) -> dict[str, NDArray[np.bool_]]:
    """By target: mu falls; F1 holds where the night has it, else confidence."""
    by_kind = {(one.series.kind, one.series.target): one.chart for one in charted}
    found = {}
    for (kind, target), mu in by_kind.items():
        if kind is not MU or target is None or mu.is_open:
            continue
        sure = [chart for kind in (F1, CONFIDENCE) if (chart := by_kind.get((kind, target)))]
        found[target] = looks_elsewhere(mu, sure)
    return found


def publish_drift(store: Store, found: Drift) -> None:
    """Write table `drift` of a partition, whole."""
    alarms = {(id(alarm.charted), alarm.night): alarm.kind for alarm in found.alarms}
    rows = [row for one in found.charted for row in _rows(found, one, alarms)]
    path = f"{found.partition.folder('drift')}/drift.parquet"
    put_table(store, path, rows_of("drift", rows), {"reference": found.window}, keep_same=True)


def recorded_window(store: Store, partition: Partition) -> str:
    """The reference window with which table `drift` of a partition was written last."""
    with store.fs.open(store.path(f"{partition.folder('drift')}/drift.parquet"), "rb") as handle:
        metadata = pq.read_schema(handle).metadata or {}
    return str(metadata.get(b"reference", str(N_REFERENCE).encode()).decode())


def _rows(found: Drift, one: Charted, alarms: Mapping[tuple[int, int], str]) -> list[dict[str, object]]:
    chart = one.chart
    rows: list[dict[str, object]] = []
    for k, (night, own) in enumerate(zip(found.nights, one.series.nights, strict=True)):
        if not own.n_frames:
            continue
        limits = {
            name: number(getattr(chart, name)[k])
            for name in ("lower", "upper", "smoothed", "smoothed_lower", "smoothed_upper")
        }
        rows.append(
            {
                "run_id": night.run_id,
                "started_at": night.started_at,
                "figure": one.series.kind.name,
                "target": one.series.target,
                "look": one.series.look,
                **{name: number(getattr(own, name)) for name in ("value", "low", "high")},
                "n": own.n_frames,
                "n_subjects": own.n_subjects,
                "centre": number(chart.centre),
                **limits,
                "state": state_of(found, one, k),
                "alarm": alarms.get((id(one), k)),
            }
        )
    return rows


def number(value: float) -> float | None:
    """None in the place of NaN."""
    return None if math.isnan(value) else float(value)


def state_of(found: Drift, one: Charted, night: int) -> str:
    """Of a figure in a night, as table `drift` says it."""
    if found.reference[night]:
        return "reference"
    if found.reference[night:].any():
        return "before"
    if one.chart.is_open:
        return "open"
    return ("within", "above", "below")[int(one.chart.side[night])]
