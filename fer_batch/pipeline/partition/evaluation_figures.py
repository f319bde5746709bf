"""The figures of a partition: detection against annotations, relevance against regions, from sums over its people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import duckdb
import numpy as np

from fer_batch import facs
from fer_batch.evaluate.conservation import Conservation
from fer_batch.evaluate.detection import Classification, f1_score
from fer_batch.evaluate.localisation import Localisation, localisation_of_subjects
from fer_batch.evaluate.people import People
from fer_batch.evaluate.summary import GroupStatistics
from fer_batch.evaluate.verdict import Verdict
from fer_batch.explain.conservation import CONSERVATION_BAND
from fer_batch.facs import OccurrenceRule
from fer_batch.pipeline.partition.evaluation_classes import class_rows
from fer_batch.pipeline.partition.evaluation_sql import CLASSES, SETS
from fer_batch.regions import has_region, region_words
from fer_batch.storage.parquet import Partition


@dataclass
class Evaluation:
    """Figures of one partition.

    Attributes
    ----------
    partition
        What they are of.
    rows
        Rows of table `evaluation`.
    verdicts
        One per target with a region, by Action Unit; empty where no frame has a relevance mass.
    statistics
        Of the temporal prototypes, by emotion; empty for stills.
    folds
        By target, F1 averaged over the folds of a cross-validation that define one; NaN for none.
    n_folds
        How many folds there are; 0 where the network was not cross-validated here.
    n_annotated
        Ok frames with at least one annotation.
    unknown_targets
        Annotated targets that the network has no output for.
    frames
        How many frames there are of each status.
    people
        Whether the network was trained on those whose faces it sees here.
    new
        The figures of those it was not trained on, where there are others.
    rule
        When annotations count as present.
    n_graded
        Labels of the network's targets that an intensity decides.
    conservation
        Of its maps; None where the method need not conserve relevance, or is not known.
    cardless
        Checkpoint of the run whose card is not found, so that nothing can be said of its training; else None.
    """

    partition: Partition
    rows: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    statistics: list[GroupStatistics] = field(default_factory=list)
    folds: dict[str, float] = field(default_factory=dict)
    n_folds: int = 0
    n_annotated: int = 0
    unknown_targets: tuple[str, ...] = ()
    frames: dict[str, int] = field(default_factory=dict)
    people: People = field(default_factory=People)
    new: Evaluation | None = None
    rule: OccurrenceRule = field(default_factory=OccurrenceRule)
    n_graded: int = 0
    conservation: Conservation | None = None
    cardless: str | None = None

    @property
    def key(self) -> dict[str, str]:
        """The partition as a dict."""
        return self.partition.key

    def add(self, metric: str, value: float, n: int, target: str | None = None, **more: Any) -> None:
        """Append a row; an undefined value is NULL."""
        known = None if value is None or math.isnan(value) else float(value)
        self.rows.append({"target": target, "metric": metric, "value": known, "n": int(n), **more})

    def values(self, metric: str) -> dict[str, float]:
        """A metric by target, as it is over all folds and groups; NaN where undefined."""
        return {
            row["target"]: math.nan if row["value"] is None else row["value"]
            for row in self.rows
            if row["metric"] == metric and row["target"] and not row.get("group")
        }


class Sums(NamedTuple):
    """Over frames of one subject; the sums are None where n is 0."""

    n_frames: int
    n: int  # with a mu
    mass: float
    share: float
    weighted: float


class Subject:
    """A row of `SUBJECTS`: one target of one subject, or of one sequence whose subject is unknown."""

    def __init__(
        self, target: str, subject_id: str | None, sequence_id: str, regions_version: str | None, *figures: Any
    ) -> None:
        self.target, self.unknown, self.regions_version = target, subject_id is None, regions_version
        self.name = sequence_id if subject_id is None else subject_id
        self.known, self.hits, self.false_alarms, self.misses = figures[:4]
        self.true_positives, self.detections = Sums(*figures[4:9]), Sums(*figures[9:])


def action_units(
    connection: duckdb.DuckDBPyConnection,
    result: Evaluation,
    by_target: dict[str, list[Subject]],
    sets: bool = True,
) -> None:
    """Add F1 of every target, their mean, and how often all Action Units of a frame are detected as annotated.

    Parameters
    ----------
    connection
        With the views of the output, and that of `labels_view`.
    result
        To which they are added.
    by_target
        Figures of its subjects.
    sets
        Whether whole frames are compared too; this sets `result.n_annotated`.
    """
    scores = []
    for name, rows in by_target.items():
        errors = (sum(getattr(row, kind) for row in rows) for kind in ("hits", "false_alarms", "misses"))
        scores.append(float(f1_score(*errors)))
        result.add("f1", scores[-1], sum(row.known for row in rows), name)
    defined = [score for score in scores if not math.isnan(score)]
    result.add("f1_mean", sum(defined) / len(defined) if defined else math.nan, len(defined))
    if not sets:
        return
    # only targets that are annotated at all: a network may know more Action Units than the annotator
    n_annotated = sum(any(row.known for row in rows) for rows in by_target.values())
    found = connection.execute(SETS, result.key | {"n_annotated": n_annotated}).fetchall()
    result.n_annotated, n_whole, n_right = found[0]
    result.add("set_accuracy", n_right / n_whole if n_whole else math.nan, n_whole)


def classes(
    connection: duckdb.DuckDBPyConnection, result: Evaluation, names: list[str], left_out: Sequence[str] = ()
) -> None:
    """Add accuracy, the figures of every class and the confusion matrix (methods E-3).

    Parameters
    ----------
    connection
        With the views of the output, and that of `labels_view`.
    result
        To which they are added.
    names
        Of the classes.
    left_out
        People whose frames do not count.
    """
    confusion = np.zeros((len(names), len(names)), np.int64)
    asked = result.key | {"names": names, "left_out": list(left_out)}
    for true, predicted, n in connection.execute(CLASSES, asked).fetchall():
        confusion[names.index(true), names.index(predicted)] = n
    found = Classification(confusion)
    result.n_annotated = int(confusion.sum())
    if not result.n_annotated:
        return
    result.add("accuracy", found.accuracy, result.n_annotated, baseline=1 / len(names))
    result.rows += class_rows(found, names)


def evidence(result: Evaluation, by_target: dict[str, list[Subject]], medians: dict[str, float]) -> None:
    """Rows of mu and what goes with it, and the verdicts.

    Parameters
    ----------
    result
        To which they are added.
    by_target
        Figures of its subjects.
    medians
        Of the judged frames' sums of maps over logits, where they should be near 1.
    """
    # Of a target without annotations no true positives are known, so all its detections count instead.
    annotated = {name for name, rows in by_target.items() if any(row.known for row in rows)}
    found = {
        name: _localisation([row.true_positives if name in annotated else row.detections for row in rows])
        for name, rows in by_target.items()
    }
    if not any(localisation.n for localisation in found.values()):
        return
    scores = result.values("f1")
    for name, localisation in sorted(found.items(), key=lambda item: (facs.au_id(item[0]) or math.inf, item[0])):
        if localisation.n or has_region(name):
            score = scores.get(name, math.nan) if name in annotated else None
            verdict = _verdict(name, localisation, by_target[name], score)
            result.verdicts.append(replace(verdict, conservation=_unsound(medians.get(name))))
        if name in medians and localisation.n:
            result.add("conservation", medians[name], localisation.n, name, baseline=1.0)
        version = max((row.regions_version or "" for row in by_target[name]), default="")
        for metric, value, n, baseline in _figures(localisation):
            named = metric if name in annotated else metric.replace("mu", "mu_active", 1)
            result.add(named, value, n, name, baseline=baseline, regions_version=version or None)


def _verdict(name: str, found: Localisation, rows: list[Subject], score: float | None) -> Verdict:
    unknown = any(row.unknown for row in rows)
    occurs = any(row.hits or row.misses for row in rows)
    false_alarms = 0 if occurs else sum(row.false_alarms for row in rows)
    return Verdict(name, region_words(name), found, score, unknown, false_alarms)


def _unsound(median: float | None) -> float | None:
    """The median where it is outside the band of sound maps."""
    low, high = CONSERVATION_BAND
    return None if median is None or low <= median <= high else median


def _localisation(subjects: list[Sums]) -> Localisation:
    seen = [sums for sums in subjects if sums.n]
    return localisation_of_subjects(
        [sums.n for sums in seen],
        [sums.mass for sums in seen],
        [sums.share for sums in seen],
        [sums.weighted for sums in seen],
        n_undefined=sum(sums.n_frames - sums.n for sums in subjects),
    )


def _figures(found: Localisation) -> Iterator[tuple[str, float, int, float | None]]:
    """Metric, value, n, baseline."""
    if found.n:
        yield "mu", found.mean, found.n, found.chance
        yield "mu_weighted", found.weighted, found.n, 1.0
        yield "mu_low", found.low, found.n_subjects, found.chance
        yield "mu_high", found.high, found.n_subjects, found.chance
    if found.n + found.n_undefined:
        yield "mu_undefined", found.n_undefined, found.n + found.n_undefined, None
