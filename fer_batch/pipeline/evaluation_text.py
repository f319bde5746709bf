"""The figures of an evaluation for a person at a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fer_batch.evaluate.summary import statistics_table
from fer_batch.evaluate.verdict import Verdict, two_digits
from fer_batch.pipeline.evaluate import Evaluation

_MARKS = {"flag": "FLAG", "note": "note", "open": "open", "ok": ""}


def evaluation_text(result: Evaluation) -> str:
    """The figures of one partition."""
    part = result.partition
    lines = [f"dataset={part.dataset} model={part.model} explain={part.explain}"]
    single = {row["metric"]: row for row in result.rows if not row["target"] and not row.get("group")}
    if "accuracy" in single:
        lines += _classes(result)
    elif result.verdicts or result.values("f1"):
        lines += _targets(result)
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
        lines.append("no frame is annotated, so nothing is said of F1; mu is over all active detections")
    if result.unknown_targets:
        lines.append(f"annotated targets without an output: {', '.join(result.unknown_targets)}")
    if result.verdicts:
        lines += ["", "verdict", *(f"  {verdict.sentence}" for verdict in result.verdicts)]
    if result.statistics:
        table = statistics_table(result.statistics)
        groups = list(next(iter(table.values())))
        lines.append("")
        lines += aligned(
            [["", *groups]] + [[name, *(_figure(values[g], 2) for g in groups)] for name, values in table.items()]
        )
    return "\n".join(lines)


def _targets(result: Evaluation) -> list[str]:
    verdicts = {verdict.target: verdict for verdict in result.verdicts}
    scores = {row["target"]: row for row in result.rows if row["metric"] == "f1"}
    header = ["target", "F1", "frames"]
    if verdicts:
        header += ["mu", "95 % interval", "chance", "mu / chance", "n", "subjects", ""]
    table = [header]
    for target in [*verdicts, *sorted(scores.keys() - verdicts.keys())]:
        row = scores.get(target, {})
        cells = [target, two_digits(row.get("value")), str(row.get("n", "-"))]
        table.append([*cells, *(_localised(verdicts.get(target)) if verdicts else ())])
    return aligned(table)


def _localised(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return ["-"] * 6 + [""]
    found = verdict.localisation
    interval = "-" if math.isnan(found.low) else f"{_figure(found.low)}-{_figure(found.high)}"
    figures = [_figure(found.mean), interval, _figure(found.chance), _figure(found.weighted, 1)]
    return [*figures, str(found.n), str(found.n_subjects), _MARKS[verdict.state]]


def _classes(result: Evaluation) -> list[str]:
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for row in result.rows:
        if row["target"] and row["metric"] in ("precision", "recall", "f1"):
            figures.setdefault(row["target"], {})[row["metric"]] = row
    table = [["class", "precision", "recall", "f1", "n"]]
    for name, of_class in sorted(figures.items()):
        cells = [_figure(of_class[metric]["value"]) for metric in ("precision", "recall", "f1")]
        table.append([name, *cells, str(of_class["f1"]["n"])])
    return aligned(table)


def _figure(value: float | None, digits: int = 3) -> str:
    if value is None or math.isnan(value):
        return "-"
    whole = isinstance(value, int) or (value > 1 and float(value).is_integer())
    return str(int(value)) if whole else f"{value:.{digits}f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
