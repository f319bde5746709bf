"""The figures of every night of a partition, by subject: DuckDB sums up, so memory grows with nights times people.

A night is a run that has inputs: rows know it through `sequences.run_id`. An input that is done again moves to the
night that did it last.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.night_mean import NightMean, night_mean
from fer_batch.pipeline.partition.evaluation_sql import PARTITION, TRUTH
from fer_batch.storage.parquet import Partition

COMMON = 0.05  # share of the reference's frames from which on a look has a series of its own
_ROWS = 10_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_INPUTS = f"""
    SELECT run_id, sequence_id, coalesce('subject ' || subject_id, sequence_id) AS subject, status, uri, n_frames
    FROM sequences WHERE {PARTITION}
"""
_NIGHTS = f"""
    SELECT s.run_id, epoch_us(r.started_at), epoch_us(r.finished_at), r.frames_per_second,
           count(DISTINCT coalesce(uri, sequence_id)), coalesce(sum(s.n_frames), 0)::BIGINT
    FROM ({_INPUTS}) s LEFT JOIN (SELECT * FROM runs WHERE {PARTITION}) r USING (run_id)
    GROUP BY ALL ORDER BY 2 NULLS FIRST, s.run_id
"""
_TARGETS = f"""
    SELECT target, run_id, subject, count(*), count(*) FILTER (active), count(probability) FILTER (active),
           sum(probability::DOUBLE) FILTER (active), count(mu) FILTER (active AND region_share > 0),
           sum(mu::DOUBLE / region_share) FILTER (active AND region_share > 0),
           2 * count(*) FILTER (active AND truth), count(*) FILTER (active <> truth)
    FROM (SELECT * FROM detections WHERE {PARTITION}) JOIN ({_INPUTS}) USING (sequence_id)
    LEFT JOIN ({TRUTH}) USING (sequence_id, frame_index, target)
    GROUP BY ALL ORDER BY target, run_id, subject
"""
_FACES = f"""
    SELECT NULL, run_id, subject, count(*), count(*) FILTER (f.status = 'ok')
    FROM (SELECT sequence_id, status FROM frames WHERE {PARTITION} AND status <> 'decode_error') f
    JOIN ({_INPUTS}) USING (sequence_id) GROUP BY ALL ORDER BY run_id, subject
"""
_FAILED = f"""
    SELECT NULL, run_id, subject, count(DISTINCT coalesce(uri, sequence_id)),
           count(DISTINCT coalesce(uri, sequence_id)) FILTER (status IN ('failed', 'partial'))
    FROM ({_INPUTS}) WHERE status <> 'skipped' GROUP BY ALL ORDER BY run_id, subject
"""
_LOOKS = f"""
    SELECT target, run_id, subject, look, sum(p.n_frames)::BIGINT
    FROM (SELECT * FROM cluster_looks WHERE {PARTITION} AND look IS NOT NULL)
    JOIN (SELECT sequence_id, target, cluster, n_frames FROM prototypes WHERE {PARTITION}) p
        USING (sequence_id, target, cluster)
    JOIN ({_INPUTS}) USING (sequence_id) GROUP BY ALL ORDER BY target, run_id, subject, look
"""


class Night(NamedTuple):
    """A run with inputs; when it started and ended, as far as table `runs` knows."""

    run_id: str
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    frames_per_second: float | None
    n_inputs: int
    n_frames: int


class Kind(NamedTuple):
    """A figure that is followed: on which scale it is charted, and what it is called."""

    name: str
    scale: str
    words: str


MU = Kind("mu", "ratio", "mu over chance")
F1 = Kind("f1", "share", "F1")
CONFIDENCE = Kind("confidence", "mean", "confidence where active")
ACTIVE = Kind("active", "share", "frames active")
LOOK = Kind("look", "share", "frames with the look")
FACES = Kind("faces", "share", "frames with a face")
FAILED = Kind("failed", "share", "inputs failed or partial")
KINDS = (MU, F1, CONFIDENCE, ACTIVE, LOOK, FACES, FAILED)


@dataclass(frozen=True)
class Series:
    """A figure over all nights.

    Attributes
    ----------
    kind
    target
        None of figures of whole frames or inputs.
    look
        Its number; None of other kinds, and of all looks together that are not common in the reference.
    nights
        One for each night, in their order.
    """

    kind: Kind
    target: str | None
    look: int | None
    nights: tuple[NightMean, ...]


def nights_of(connection: duckdb.DuckDBPyConnection, partition: Partition) -> list[Night]:
    """Runs of a partition that have inputs, in the order in which they started."""
    rows = connection.execute(_NIGHTS, partition.key).fetchall()
    return [Night(run_id, _moment(start), _moment(end), *rest) for run_id, start, end, *rest in rows]


def _moment(microseconds: int | None) -> dt.datetime | None:
    return None if microseconds is None else _EPOCH + dt.timedelta(microseconds=microseconds)


def series_of(
    connection: duckdb.DuckDBPyConnection, partition: Partition, nights: Sequence[Night], reference: NDArray[np.bool_]
) -> list[Series]:
    """Every figure of every night, by kind and target.

    Parameters
    ----------
    connection
        With the views of the output, and that of `evaluation_sql.labels_view`.
    partition, nights
        Whose figures.
    reference : shape (T,), bool
        Nights whose looks are common or not.
    """
    place = {night.run_id: k for k, night in enumerate(nights)}
    found = [
        *_of_targets(connection, partition, place),
        *_of_looks(connection, partition, place, reference),
        *_of_rows(connection, _FACES, partition, place, FACES),
        *_of_rows(connection, _FAILED, partition, place, FAILED),
    ]
    order = [kind.name for kind in KINDS]
    return sorted(found, key=lambda one: (order.index(one.kind.name), one.target or "", one.look or 0))


class _NightRows(NamedTuple):
    """Subjects of one night and target: sums, shape (S, columns), float64."""

    target: str | None
    night: int
    subjects: list[str]
    sums: NDArray[np.float64]


def _grouped(
    connection: duckdb.DuckDBPyConnection, sql: str, partition: Partition, place: Mapping[str, int]
) -> Iterator[_NightRows]:
    """Rows by target and night; one night is in memory at a time."""
    answer = connection.execute(sql, partition.key)
    rows = (row for piece in iter(lambda: answer.fetchmany(_ROWS), []) for row in piece)
    for (target, run_id), own in groupby(rows, key=lambda row: row[:2]):
        chosen = list(own)
        sums = np.array([[value or 0 for value in row[3:]] for row in chosen], np.float64)
        yield _NightRows(target, place[run_id], [row[2] for row in chosen], sums)


def _of_rows(
    connection: duckdb.DuckDBPyConnection, sql: str, partition: Partition, place: Mapping[str, int], kind: Kind
) -> Iterator[Series]:
    means = {
        one.night: night_mean(one.sums[:, 0], one.sums[:, 1]) for one in _grouped(connection, sql, partition, place)
    }
    if means:
        yield _series(kind, None, None, means, len(place))


def _series(kind: Kind, target: str | None, look: int | None, means: Mapping[int, NightMean], n: int) -> Series:
    return Series(kind, target, look, tuple(means.get(k, NightMean()) for k in range(n)))


def _of_targets(
    connection: duckdb.DuckDBPyConnection, partition: Partition, place: Mapping[str, int]
) -> Iterator[Series]:
    for target, own in groupby(_grouped(connection, _TARGETS, partition, place), key=lambda one: one.target):
        means: dict[Kind, dict[int, NightMean]] = {ACTIVE: {}, CONFIDENCE: {}, MU: {}, F1: {}}
        for one in own:
            n, n_active, n_sure, sure, n_mu, mu, right, wrong = one.sums.T
            means[ACTIVE][one.night] = night_mean(n, n_active)
            means[CONFIDENCE][one.night] = night_mean(n_sure, sure, CONFIDENCE.scale)
            means[MU][one.night] = night_mean(n_mu, mu, MU.scale)
            means[F1][one.night] = night_mean(right + wrong, right)
        for kind, found in means.items():
            if any(night.n_frames for night in found.values()):
                yield _series(kind, target, None, found, len(place))


def _of_looks(
    connection: duckdb.DuckDBPyConnection, partition: Partition, place: Mapping[str, int], reference: NDArray[np.bool_]
) -> Iterator[Series]:
    """Shares of the common looks of each target, and of all others together."""
    for target, own in groupby(_grouped(connection, _LOOKS, partition, place), key=lambda one: one.target):
        tables = {one.night: _look_table(one) for one in own}
        total: dict[int, float] = {}
        for night, (_, shares) in tables.items():
            for look, frames in shares.items() if reference[night] else ():
                total[look] = total.get(look, 0.0) + frames.sum()
        common = sorted(look for look, n in total.items() if n >= COMMON * sum(total.values()))
        for chosen in [[look] for look in common] if len(common) > 1 else []:
            yield _series(LOOK, target, chosen[0], _look_means(tables, chosen), len(place))
        others = {look for _, shares in tables.values() for look in shares} - set(common)
        yield _series(LOOK, target, None, _look_means(tables, sorted(others)), len(place))


_LookTable = tuple[NDArray[np.float64], Mapping[int, NDArray[np.float64]]]


def _look_table(night: _NightRows) -> _LookTable:
    """Frames with any look of each subject, shape (S,), and those with each look, shape (S,) by look."""
    number = {name: k for k, name in enumerate(dict.fromkeys(night.subjects))}
    row = np.array([number[name] for name in night.subjects], np.int64)
    looks, frames = night.sums[:, 0].astype(np.int64), night.sums[:, 1]

    def by_subject(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(row[chosen], frames[chosen], len(number)).astype(np.float64)

    found = {int(look): by_subject(looks == look) for look in np.unique(looks)}
    return by_subject(np.ones(len(looks), bool)), found


def _look_means(tables: Mapping[int, _LookTable], looks: Sequence[int]) -> dict[int, NightMean]:
    means = {}
    for night, (total, shares) in tables.items():
        own = sum((shares[look] for look in looks if look in shares), np.zeros(len(total)))
        means[night] = night_mean(total, own)
    return means
