"""Detections against annotations, relevance against regions, and the statistics of the stories, from the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq

from fer_batch import facs
from fer_batch.evaluate.detection import Classification, f1_score
from fer_batch.evaluate.localisation import Localisation, localisation_of_subjects
from fer_batch.evaluate.summary import GroupStatistics, group_statistics, statistics_table
from fer_batch.evaluate.verdict import Verdict
from fer_batch.pipeline.evaluation_sql import CLASSES, COUNTS, FOLDS, PARTITION, SETS, SUBJECTS
from fer_batch.pipeline.latest_run import card_of, latest_run
from fer_batch.pipeline.query import connect
from fer_batch.regions import region_words
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError

SEED = 0  # of every bootstrap: the same tables give the same figures


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
    """

    partition: Partition
    rows: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    statistics: list[GroupStatistics] = field(default_factory=list)
    folds: dict[str, float] = field(default_factory=dict)
    n_folds: int = 0
    n_annotated: int = 0
    unknown_targets: tuple[str, ...] = ()

    @property
    def key(self) -> dict[str, str]:
        """The partition as a dict."""
        return {
            "dataset": self.partition.dataset,
            "model": self.partition.model,
            "explain": self.partition.explain,
        }

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
    if not result.rows:
        return result  # a training, which has written its own figures
    where = f"{partition.folder('evaluation')}/evaluation.parquet"
    store.put(where, encode(rows_of("evaluation", result.rows)))
    return result


def evaluation_of(
    store: Store, partition: Partition, connection: duckdb.DuckDBPyConnection | None = None
) -> Evaluation:
    """The figures of one partition as its tables are now."""
    connection = connection or connect(store)
    result = Evaluation(partition)
    counts = connection.execute(COUNTS, result.key).fetchall()
    names = [target for target, *_ in counts]
    head = _head(store, partition) if names else "multilabel"
    annotated = [target for target, known, *_ in counts if known]
    result.unknown_targets = _unknown_targets(connection, result, names, head)
    if head == "softmax":
        _classes(connection, result, names)
    elif annotated:
        _action_units(connection, result, counts, annotated)
    _evidence(connection, result, names, annotated)
    _stories(connection, result)
    for target, mean, n, n_folds in connection.execute(FOLDS, result.key).fetchall():
        result.folds[target] = mean if n else math.nan
        result.n_folds = max(result.n_folds, n_folds)
    trained_on = ", ".join(card_of(latest_run(store, partition)).get("trained_on") or ())
    for row in result.rows:
        row["trained_on"] = trained_on or None
    return result


def _head(store: Store, partition: Partition) -> str:
    folder = partition.folder("detections")
    first = store.names(folder)[0]
    with store.fs.open(store.path(f"{folder}/{first}"), "rb") as handle:
        metadata = pq.ParquetFile(handle).schema_arrow.metadata or {}
    return metadata.get(b"head", b"multilabel").decode()


def _unknown_targets(
    connection: duckdb.DuckDBPyConnection, result: Evaluation, names: list[str], head: str
) -> tuple[str, ...]:
    # a still may have Action Units beside its class; to a network of classes only the class is addressed
    addressed = "target NOT LIKE 'AU%' AND occurrence" if head == "softmax" else "target LIKE 'AU%'"
    found = connection.execute(
        f"SELECT DISTINCT target FROM annotations WHERE dataset = $dataset AND {addressed} "
        "AND NOT list_contains($names, target) ORDER BY 1",
        {"dataset": result.partition.dataset, "names": names},
    ).fetchall()
    return tuple(name for (name,) in found)


def _action_units(
    connection: duckdb.DuckDBPyConnection, result: Evaluation, counts: list[tuple[Any, ...]], annotated: list[str]
) -> None:
    names, known, *errors = zip(*counts, strict=True)
    scores = f1_score(*errors)
    for name, n, score in zip(names, known, scores, strict=True):
        result.add("f1", score, n, name)
    defined = scores[~np.isnan(scores)]
    result.add("f1_mean", defined.mean() if len(defined) else math.nan, len(defined))
    # only targets that are annotated at all: a network may know more Action Units than the annotator
    n_annotated, n_whole, n_right = connection.execute(SETS, result.key | {"annotated": annotated}).fetchall()[0]
    result.n_annotated = n_annotated
    result.add("set_accuracy", n_right / n_whole if n_whole else math.nan, n_whole)


def _classes(connection: duckdb.DuckDBPyConnection, result: Evaluation, names: list[str]) -> None:
    confusion = np.zeros((len(names), len(names)), np.int64)
    for true, predicted, n in connection.execute(CLASSES, result.key | {"names": names}).fetchall():
        confusion[names.index(true), names.index(predicted)] = n
    found = Classification(confusion)
    result.n_annotated = int(confusion.sum())
    if not result.n_annotated:
        return
    result.add("accuracy", found.accuracy, result.n_annotated, baseline=1 / len(names))
    for c, name in enumerate(names):
        n = int(found.support[c])
        result.add("precision", found.precision[c], n, name)
        result.add("recall", found.recall[c], n, name)
        result.add("f1", found.f1[c], n, name)


def _evidence(
    connection: duckdb.DuckDBPyConnection, result: Evaluation, names: list[str], annotated: list[str]
) -> None:
    """Rows of mu and what goes with it, and the verdicts."""
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in names}
    for target, *row in connection.execute(SUBJECTS, result.key | {"annotated": annotated}).fetchall():
        rows[target].append(tuple(row))
    found = {name: _localisation(of_target) for name, of_target in rows.items()}
    if not any(localisation.n for localisation in found.values()):
        return
    scores = result.values("f1")
    for name, localisation in sorted(found.items(), key=lambda item: (facs.au_id(item[0]) or math.inf, item[0])):
        by_sequence = any(row[2] for row in rows[name])
        version = max((row[-1] or "" for row in rows[name]), default="")
        score = scores[name] if name in annotated else None
        if localisation.n or facs.au_id(name) is not None:
            result.verdicts.append(Verdict(name, region_words(name), localisation, score, by_sequence))
        for metric, value, n, baseline in _figures(localisation):
            # Of a target without annotations no true positives are known, so all its detections count instead.
            named = metric if name in annotated else metric.replace("mu", "mu_active", 1)
            result.add(named, value, n, name, baseline=baseline, regions_version=version or None)


def _localisation(rows: list[tuple[Any, ...]]) -> Localisation:
    """Of one target, from its rows by subject."""
    n_frames = sum(row[0] for row in rows)
    seen = [row for row in rows if row[1]]
    counts = [row[1] for row in seen]
    sums = (np.array([row[i] for row in seen], np.float64) for i in (3, 4, 5))
    rng = np.random.default_rng(SEED)
    return localisation_of_subjects(counts, *sums, n_undefined=n_frames - sum(counts), rng=rng)


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
        "SELECT emotion, n_frames, n_stages, cooccurrence_id, prototype_id FROM temporal_prototypes "
        f"WHERE {PARTITION} ORDER BY sequence_id",
        result.key,
    ).fetchall()
    if not found:
        return
    result.statistics = group_statistics(*zip(*found, strict=True))
    for row, groups in statistics_table(result.statistics).items():
        for group in result.statistics:
            result.add(row, groups[group.group], group.n_sequences, group=group.group)
