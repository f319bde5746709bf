"""Detections against annotations, relevance against regions, and the statistics of the stories, from the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal, NamedTuple

import duckdb
import numpy as np

from fer_batch import facs
from fer_batch.evaluate.conservation import Conservation
from fer_batch.evaluate.detection import Classification, f1_score
from fer_batch.evaluate.localisation import Localisation, localisation_of_subjects
from fer_batch.evaluate.people import People, people_of
from fer_batch.evaluate.summary import GroupStatistics, group_statistics, statistics_table
from fer_batch.evaluate.verdict import Verdict
from fer_batch.explain.conservation import CONSERVATION_BAND
from fer_batch.facs import OccurrenceRule
from fer_batch.output.latest_run import card_of, latest_run, rule_of
from fer_batch.output.query import connect
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.partition.conservation import conservation_of, judged_medians
from fer_batch.pipeline.partition.evaluation_classes import class_rows, of_group
from fer_batch.pipeline.partition.evaluation_sql import (
    CLASSES,
    FOLDS,
    FRAMES,
    GRADED,
    PARTITION,
    SETS,
    SUBJECTS,
    labels_view,
)
from fer_batch.prototypes.stage_counts import paper_counts
from fer_batch.regions import has_region, region_words
from fer_batch.sources.labels import SCALES
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError

NEW_PEOPLE = "people not trained on"  # group of their rows in table `evaluation`


class _Sums(NamedTuple):
    """Over frames of one subject; the sums are None where n is 0."""

    n_frames: int
    n: int  # with a mu
    mass: float
    share: float
    weighted: float


class _Subject:
    """A row of `SUBJECTS`: one target of one subject, or of one sequence whose subject is unknown."""

    def __init__(
        self, target: str, subject_id: str | None, sequence_id: str, regions_version: str | None, *figures: Any
    ) -> None:
        self.target, self.unknown, self.regions_version = target, subject_id is None, regions_version
        self.name = sequence_id if subject_id is None else subject_id
        self.known, self.right, self.invented, self.missed = figures[:4]
        self.true_positives, self.detections = _Sums(*figures[4:9]), _Sums(*figures[9:])


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
        Of the stories, by emotion; empty for stills.
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


def evaluate_output(store: Store) -> list[Evaluation]:
    """Evaluate every partition of an output and store the figures in table `evaluation`.

    Raises
    ------
    InputError
        If nothing is published.
    """
    connection = connect(store)
    keys = connection.execute("SELECT DISTINCT dataset, model, explain FROM sequences ORDER BY ALL").fetchall()
    if not keys:
        raise InputError(f"{store.uri!r} has no published tables yet; run the job first")
    return [evaluate_partition(store, Partition(*key), connection) for key in keys]


def evaluate_partition(
    store: Store, partition: Partition, connection: duckdb.DuckDBPyConnection | None = None
) -> Evaluation:
    """Evaluate one partition and store its figures in table `evaluation`."""
    result = evaluation_of(store, partition, connection)
    where = f"{partition.folder('evaluation')}/evaluation.parquet"
    if result.rows or store.exists(where):  # a training has nothing here but the figures that it wrote itself
        store.put(where, encode(rows_of("evaluation", result.rows)))
    return result


def evaluation_of(
    store: Store, partition: Partition, connection: duckdb.DuckDBPyConnection | None = None
) -> Evaluation:
    """The figures of one partition as its tables are now."""
    connection = connection or connect(store)
    run = latest_run(store, partition)
    result = Evaluation(partition, rule=rule_of(run))
    connection.execute(labels_view(result.rule))
    result.n_graded = connection.execute(GRADED, result.key).fetchall()[0][0]
    found = [_Subject(*row) for row in connection.execute(SUBJECTS, result.key).fetchall()]
    by_target = {name: list(rows) for name, rows in groupby(found, lambda row: row.target)}
    names = list(by_target)
    head = _head(store, partition) if names else "multilabel"
    result.unknown_targets = _unknown_targets(connection, result, names, head)
    card = card_of(run)
    result.people = _people(found, partition.dataset, card)
    if head == "softmax":
        _classes(connection, result, names)
    elif any(row.known for row in found):
        _action_units(connection, result, by_target)
    result.conservation = conservation_of(connection, partition, run)
    annotated = sorted(name for name, rows in by_target.items() if any(row.known for row in rows))
    medians = judged_medians(connection, partition, annotated) if result.conservation else {}
    _evidence(result, by_target, medians)
    _new_people(connection, result, by_target, head, medians)
    result.frames = dict(connection.execute(FRAMES, result.key).fetchall())
    _stories(connection, result)
    for target, mean, n, n_folds in connection.execute(FOLDS, result.key).fetchall():
        result.folds[target] = mean if n else math.nan
        result.n_folds = max(result.n_folds, n_folds)
    result.cardless = None if card.get("name") else run.get("config", {}).get("model", {}).get("checkpoint")
    trained_on = ", ".join(card.get("trained_on") or ())
    for row in result.rows:
        row["trained_on"] = trained_on or None
    return result


def _people(found: list[_Subject], dataset: str, card: dict[str, Any]) -> People:
    scores, folds = (_numbers((card.get("metrics") or {}).get(name)) for name in ("f1_fold_mean", "n_folds"))
    return people_of(
        {row.name for row in found if not row.unknown},
        {row.name for row in found if row.unknown},
        dataset,
        card.get("trained_subjects") or (),
        scores,
        int(max((count for count in folds.values() if count is not None), default=0)),
    )


def _numbers(figures: Any) -> dict[str, float | None]:
    """Those by target, as a training writes them; what another hand wrote in their place is passed over."""
    found = figures.items() if isinstance(figures, dict) else ()
    return {name: value for name, value in found if value is None or isinstance(value, int | float)}


def _new_people(
    connection: duckdb.DuckDBPyConnection,
    result: Evaluation,
    by_target: dict[str, list[_Subject]],
    head: str,
    medians: dict[str, float],
) -> None:
    """Where some of the people were trained on: the figures of the others, as rows of group `NEW_PEOPLE`."""
    people = result.people
    if not people.known:
        return
    scores = people.fold_f1
    if people.new:
        kept = {name: [row for row in rows if row.name in people.new] for name, rows in by_target.items()}
        of_new = {name: rows for name, rows in kept.items() if rows}
        result.new = Evaluation(result.partition)
        if head == "softmax":
            _classes(connection, result.new, list(by_target), sorted(people.known | people.unnamed))
        elif any(row.known for rows in of_new.values() for row in rows):
            _action_units(connection, result.new, of_new, sets=False)
        result.new.conservation = result.conservation
        _evidence(result.new, of_new, medians)
        result.rows += [of_group(row, NEW_PEOPLE) for row in result.new.rows]
        scores = result.new.values("f1")
    trained_on: Literal["some", "all"] = "all" if people.all_known else "some"
    result.verdicts = [
        replace(verdict, trained_on=trained_on, new_f1=scores.get(verdict.target)) for verdict in result.verdicts
    ]


def _head(store: Store, partition: Partition) -> str:
    first = store.names(partition.folder("detections"))[0]
    return PartitionReader(store, partition).shard(first).metadata("detections").get(b"head", b"multilabel").decode()


def _unknown_targets(
    connection: duckdb.DuckDBPyConnection, result: Evaluation, names: list[str], head: str
) -> tuple[str, ...]:
    # a still may have Action Units beside its class; to a network of classes only the class is addressed
    addressed = "target NOT LIKE 'AU%' AND occurs" if head == "softmax" else "target LIKE 'AU%'"
    found = connection.execute(
        f"SELECT DISTINCT target FROM labels WHERE dataset = $dataset AND {addressed} "
        "AND NOT list_contains($names, target) ORDER BY 1",
        {"dataset": result.partition.dataset, "names": names},
    ).fetchall()
    return tuple(name for (name,) in found if name.lower() not in SCALES)


def _action_units(
    connection: duckdb.DuckDBPyConnection,
    result: Evaluation,
    by_target: dict[str, list[_Subject]],
    sets: bool = True,
) -> None:
    scores = []
    for name, rows in by_target.items():
        errors = (sum(getattr(row, kind) for row in rows) for kind in ("right", "invented", "missed"))
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


def _classes(
    connection: duckdb.DuckDBPyConnection, result: Evaluation, names: list[str], left_out: Sequence[str] = ()
) -> None:
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


def _evidence(result: Evaluation, by_target: dict[str, list[_Subject]], medians: dict[str, float]) -> None:
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
            unknown = any(row.unknown for row in by_target[name])
            score = scores.get(name, math.nan) if name in annotated else None
            occurs = any(row.right or row.missed for row in by_target[name])
            invented = 0 if occurs else sum(row.invented for row in by_target[name])
            verdict = Verdict(name, region_words(name), localisation, score, unknown, invented)
            result.verdicts.append(replace(verdict, conservation=_unsound(medians.get(name))))
        if name in medians and localisation.n:
            result.add("conservation", medians[name], localisation.n, name, baseline=1.0)
        version = max((row.regions_version or "" for row in by_target[name]), default="")
        for metric, value, n, baseline in _figures(localisation):
            named = metric if name in annotated else metric.replace("mu", "mu_active", 1)
            result.add(named, value, n, name, baseline=baseline, regions_version=version or None)


def _unsound(median: float | None) -> float | None:
    """The median where it is outside the band of sound maps."""
    low, high = CONSERVATION_BAND
    return None if median is None or low <= median <= high else median


def _localisation(subjects: list[_Sums]) -> Localisation:
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


def _stories(connection: duckdb.DuckDBPyConnection, result: Evaluation) -> None:
    found = connection.execute(
        "SELECT emotion, n_frames, n_stages, cooccurrence_id, prototype_id, text FROM temporal_prototypes "
        f"WHERE {PARTITION} ORDER BY sequence_id",
        result.key,
    ).fetchall()
    if not found:
        return
    emotions, n_frames, n_stages, cooccurrence_ids, prototype_ids, texts = zip(*found, strict=True)
    result.statistics = group_statistics(
        emotions, n_frames, n_stages, cooccurrence_ids, prototype_ids, paper_counts(texts)
    )
    for row, groups in statistics_table(result.statistics).items():
        for group in result.statistics:
            result.add(row, groups[group.group], group.n_sequences, group=group.group)
