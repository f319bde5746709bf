"""Detections against annotations, relevance against regions, statistics of temporal prototypes: from the tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal

import duckdb

from fer_batch.evaluate.people import People, people_of
from fer_batch.evaluate.summary import group_statistics, statistics_table
from fer_batch.output.latest_run import card_of, latest_run, rule_of
from fer_batch.output.query import connect
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.partition.conservation import conservation_of, judged_medians
from fer_batch.pipeline.partition.evaluation_classes import of_group
from fer_batch.pipeline.partition.evaluation_figures import Evaluation, Subject, action_units, classes, evidence
from fer_batch.pipeline.partition.evaluation_sql import (
    FOLDS,
    FRAMES,
    GRADED,
    PARTITION,
    SUBJECTS,
    labels_view,
)
from fer_batch.pipeline.partition.heatmap_figures import heatmap_rows
from fer_batch.prototypes.stage_counts import paper_counts
from fer_batch.sources.labels import SCALES
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table
from fer_batch.types import InputError

NEW_PEOPLE = "people not trained on"  # group of their rows in table `evaluation`


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
        put_table(store, where, rows_of("evaluation", result.rows))
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
    found = [Subject(*row) for row in connection.execute(SUBJECTS, result.key).fetchall()]
    by_target = {name: list(rows) for name, rows in groupby(found, lambda row: row.target)}
    names = list(by_target)
    head = _head(store, partition) if names else "multilabel"
    result.unknown_targets = _unknown_targets(connection, result, names, head)
    card = card_of(run)
    result.people = _people(found, partition.dataset, card)
    if head == "softmax":
        classes(connection, result, names)
    elif any(row.known for row in found):
        action_units(connection, result, by_target)
    result.conservation = conservation_of(connection, partition, run)
    annotated = sorted(name for name, rows in by_target.items() if any(row.known for row in rows))
    medians = judged_medians(connection, partition, annotated) if result.conservation else {}
    evidence(result, by_target, medians)
    _new_people(connection, result, by_target, head, medians)
    result.frames = dict(connection.execute(FRAMES, result.key).fetchall())
    _statistics(connection, result)
    _folds(connection, result)
    result.rows += heatmap_rows(store, partition)
    result.cardless = None if card.get("name") else run.get("config", {}).get("model", {}).get("checkpoint")
    trained_on = ", ".join(card.get("trained_on") or ())
    for row in result.rows:
        row["trained_on"] = trained_on or None
    return result


def _folds(connection: duckdb.DuckDBPyConnection, result: Evaluation) -> None:
    for target, mean, n, n_folds in connection.execute(FOLDS, result.key).fetchall():
        result.folds[target] = mean if n else math.nan
        result.n_folds = max(result.n_folds, n_folds)


def _people(found: list[Subject], dataset: str, card: Mapping[str, Any]) -> People:
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
    """Those by target, as a training writes them; other values are left out."""
    found = figures.items() if isinstance(figures, dict) else ()
    return {name: value for name, value in found if value is None or isinstance(value, int | float)}


def _new_people(
    connection: duckdb.DuckDBPyConnection,
    result: Evaluation,
    by_target: dict[str, list[Subject]],
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
            classes(connection, result.new, list(by_target), sorted(people.known | people.unnamed))
        elif any(row.known for rows in of_new.values() for row in rows):
            action_units(connection, result.new, of_new, sets=False)
        result.new.conservation = result.conservation
        evidence(result.new, of_new, medians)
        result.rows += [of_group(row, NEW_PEOPLE) for row in result.new.rows]
        scores = result.new.values("f1")
    trained_on: Literal["some", "all"] = "all" if people.all_known else "some"
    result.verdicts = [
        replace(verdict, trained_on=trained_on, new_f1=scores.get(verdict.target)) for verdict in result.verdicts
    ]


def _head(store: Store, partition: Partition) -> str:
    first = next(PartitionReader(store, partition).shards())
    return first.metadata("detections").get(b"head", b"multilabel").decode()


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


def _statistics(connection: duckdb.DuckDBPyConnection, result: Evaluation) -> None:
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
