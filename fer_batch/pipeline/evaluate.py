"""Detections against annotations, relevance against regions, and the statistics of the stories, from the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.evaluate.detection import classification, f1, set_accuracy
from fer_batch.evaluate.summary import group_statistics, statistics_table
from fer_batch.pipeline.query import connect
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError

_PARTITION = "dataset = $dataset AND model = $model AND explain = $explain"


@dataclass
class Evaluation:
    """Figures of one partition.

    Attributes
    ----------
    partition
        What they are of.
    rows
        Rows of table `evaluation`.
    stories
        Row name to group to figure, in the layout of Finzel et al. 2021, Table 1; empty for stills.
    n_annotated
        Ok frames with at least one annotation.
    unknown_targets
        Annotated targets that the network has no output for.
    """

    partition: Partition
    rows: list[dict[str, Any]] = field(default_factory=list)
    stories: dict[str, dict[str, float]] = field(default_factory=dict)
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


def evaluate_output(store: Store) -> list[Evaluation]:
    """Evaluate every partition of an output and store the figures in table `evaluation`.

    About 100 bytes of memory are needed for each (frame, target).

    Raises
    ------
    InputError
        If nothing is published.
    """
    connection = connect(store)
    keys = connection.execute("SELECT DISTINCT dataset, model, explain FROM sequences ORDER BY ALL").fetchall()
    if not keys:
        raise InputError(f"{store.uri!r} has no published tables yet; run the job first")
    results = []
    for key in keys:
        result = Evaluation(Partition(*key))
        _detections(connection, store, result)
        _stories(connection, result)
        store.put(
            f"{result.partition.folder('evaluation')}/evaluation.parquet", encode(rows_of("evaluation", result.rows))
        )
        results.append(result)
    return results


def _head(store: Store, partition: Partition) -> str:
    folder = partition.folder("detections")
    first = store.names(folder)[0]
    with store.fs.open(store.path(f"{folder}/{first}"), "rb") as handle:
        metadata = pq.ParquetFile(handle).schema_arrow.metadata or {}
    return metadata.get(b"head", b"multilabel").decode()


def _detections(connection: duckdb.DuckDBPyConnection, store: Store, result: Evaluation) -> None:
    found = connection.execute(
        f"""
        SELECT d.target, d.active, CAST(a.occurrence AS FLOAT) AS truth, d.mu, d.region_share
        FROM (SELECT * FROM detections WHERE {_PARTITION}) d
        LEFT JOIN (
            SELECT sequence_id, frame_index, target, bool_or(occurrence) AS occurrence
            FROM annotations WHERE dataset = $dataset GROUP BY ALL
        ) a USING (sequence_id, frame_index, target)
        ORDER BY d.sequence_id, d.frame_index, d.target
        """,
        result.key,
    ).fetchnumpy()
    names = sorted(set(found["target"].tolist()))
    if not names:
        return
    shape = (-1, len(names))  # every ok frame has one row per target
    active = np.asarray(found["active"], bool).reshape(shape)
    truth = _floats(found["truth"]).reshape(shape)
    mu, share = _floats(found["mu"]).reshape(shape), _floats(found["region_share"]).reshape(shape)
    annotated = np.asarray(~np.isnan(truth).all(1))
    result.n_annotated = int(annotated.sum())
    head = _head(store, result.partition)
    result.unknown_targets = _unknown_targets(connection, result, names, head)
    if head == "softmax" and annotated.any():
        _classes(result, names, active, truth, annotated)
    elif annotated.any():
        _action_units(result, names, active, truth)
    for a, name in enumerate(names):
        chosen = active[:, a] & (truth[:, a] == 1 if annotated.any() else True)
        _mean_mu(result, name, mu[chosen, a], share[chosen, a], "mu" if annotated.any() else "mu_active")


def _floats(values: Any) -> NDArray[np.float64]:
    return np.ma.filled(np.ma.asarray(values, np.float64), np.nan)


def _action_units(result: Evaluation, names: list[str], active: NDArray[np.bool_], truth: NDArray[np.float64]) -> None:
    score = f1(active, truth)
    for a, name in enumerate(names):
        result.add("f1", score.f1[a], score.n[a], name)
    defined = score.f1[~np.isnan(score.f1)]
    result.add("f1_mean", defined.mean() if len(defined) else math.nan, len(defined))
    # only targets that are annotated at all: a network may know more Action Units than the annotator
    known = ~np.isnan(truth).all(0)
    share, n = set_accuracy(active[:, known], truth[:, known])
    result.add("set_accuracy", share, n)


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


def _classes(
    result: Evaluation,
    names: list[str],
    active: NDArray[np.bool_],
    truth: NDArray[np.float64],
    annotated: NDArray[np.bool_],
) -> None:
    true = np.where(annotated, np.nan_to_num(truth).argmax(1), -1)
    found = classification(active.argmax(1), true, len(names))
    result.add("accuracy", found.accuracy, int(annotated.sum()), baseline=1 / len(names))
    for c, name in enumerate(names):
        n = int(found.support[c])
        result.add("precision", found.precision[c], n, name)
        result.add("recall", found.recall[c], n, name)
        result.add("f1", found.f1[c], n, name)


def _mean_mu(result: Evaluation, name: str, mu: NDArray[np.float64], share: NDArray[np.float64], metric: str) -> None:
    known = ~np.isnan(mu)
    if known.any():
        result.add(metric, mu[known].mean(), int(known.sum()), name, baseline=float(share[known].mean()))


def _stories(connection: duckdb.DuckDBPyConnection, result: Evaluation) -> None:
    found = connection.execute(
        "SELECT emotion, n_frames, n_stages, cooccurrence_id, prototype_id FROM temporal_prototypes "
        f"WHERE {_PARTITION} ORDER BY sequence_id",
        result.key,
    ).fetchall()
    if not found:
        return
    emotions, frames, stages, bare, lettered = zip(*found, strict=True)
    statistics = group_statistics(emotions, frames, stages, bare, lettered)
    result.stories = statistics_table(statistics)
    for row, groups in result.stories.items():
        for group in statistics:
            result.add(row, groups[group.group], group.n_sequences, group=group.group)


def evaluation_text(result: Evaluation) -> str:
    """The figures for a person."""
    part = result.partition
    lines = [f"dataset={part.dataset} model={part.model} explain={part.explain}"]
    by_target: dict[str, dict[str, dict[str, Any]]] = {}
    for row in result.rows:
        if row["target"]:
            by_target.setdefault(row["target"], {})[row["metric"]] = row
    metrics = [m for m in ("f1", "precision", "recall", "mu", "mu_active") if any(m in v for v in by_target.values())]
    if by_target:
        header = ["target", *metrics]
        if {"mu", "mu_active"} & set(metrics):
            header.append("chance")
        header.append("n")
        table = []
        for target, figures in sorted(by_target.items()):
            cells = [target, *(_figure(figures.get(metric, {}).get("value")) for metric in metrics)]
            mu = figures.get("mu") or figures.get("mu_active") or {}
            if "chance" in header:
                cells.append(_figure(mu.get("baseline")))
            first = figures.get(metrics[0], {})
            table.append([*cells, str(first.get("n", mu.get("n", "-")))])
        lines += _aligned([header, *table])
    single = {row["metric"]: row for row in result.rows if not row["target"] and not row.get("group")}
    if "f1_mean" in single:
        lines.append(f"mean F1 {_figure(single['f1_mean']['value'])} over {single['f1_mean']['n']} targets")
    if "set_accuracy" in single:
        row = single["set_accuracy"]
        lines.append(
            f"share of frames whose set of AUs is right {_figure(row['value'])} (of {row['n']} fully annotated)"
        )
    if "accuracy" in single:
        row = single["accuracy"]
        lines.append(f"accuracy {_figure(row['value'])} over {row['n']} frames (chance {_figure(row['baseline'])})")
    if not result.n_annotated:
        lines.append("no frame is annotated, so nothing is said of F1; mu_active is over all active detections")
    if result.unknown_targets:
        lines.append(f"annotated targets without an output: {', '.join(result.unknown_targets)}")
    if result.stories:
        groups = list(next(iter(result.stories.values())))
        lines.append("")
        lines += _aligned(
            [["", *groups]]
            + [[name, *(_figure(values[g], 2) for g in groups)] for name, values in result.stories.items()]
        )
    return "\n".join(lines)


def _figure(value: float | None, digits: int = 3) -> str:
    if value is None or math.isnan(value):
        return "-"
    whole = isinstance(value, int) or (value > 1 and float(value).is_integer())
    return str(int(value)) if whole else f"{value:.{digits}f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
