"""The figures of evaluations as tables, and all of them for a person at a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from fer_batch.evaluate.conservation import Conservation
from fer_batch.evaluate.interval import MIN_SUBJECTS
from fer_batch.evaluate.people import People
from fer_batch.evaluate.published import DATASETS, published_name
from fer_batch.evaluate.summary import ALL
from fer_batch.evaluate.tables import Mu, Table, comparison_table, f1_table, mu_table, prototype_table, share
from fer_batch.evaluate.verdict import Verdict
from fer_batch.output.text import aligned
from fer_batch.pipeline.partition.evaluation_classes import confusion_table, report_lines
from fer_batch.pipeline.partition.evaluation_figures import Evaluation

_KEYS = ("dataset", "model", "explain")
_MARKS = {"flag": "FLAG", "note": "note", "open": "open", "ok": ""}


def evaluation_text(results: Sequence[Evaluation], published: bool = False) -> str:
    """All figures: of each partition, then the comparison tables."""
    parts = ["\n".join(_partition(result)) for result in results]
    for table in evaluation_tables(results, published):
        parts.append("\n".join([table.title, *aligned([table.columns, *table.rows])]))
        parts[-1] += f"\n({table.caption})" if table.caption else ""
    compared = [result for result in results if result.statistics]
    if len({result.partition.dataset for result in compared}) > 1 and all(
        len(group) == 1 for group in _alike(compared)
    ):
        parts.append("data sets are compared where one network and one method analysed both; here none are")
    return "\n\n".join(parts)


def evaluation_tables(results: Sequence[Evaluation], published: bool = False) -> list[Table]:
    """F1, mu and statistics of temporal prototypes side by side, in the layouts of the papers (methods 13.1 to 13.3).

    Parameters
    ----------
    results
        Partitions of one output.
    published
        Whether to set every published figure beside them; else only those of the data sets that are evaluated.
    """
    named = {result.partition.dataset: published_name(result.partition.dataset) for result in results}
    printed = [name for name in DATASETS if published or name in named.values()]
    tables = []
    if scores := _scores(results):
        tables.append(f1_table(scores, printed))
    for result in results:
        if confusion := confusion_table(result.rows, f"confusion of {_label(result, results)}"):
            tables.append(confusion)
    models = sorted({result.partition.model for result in results})
    for model in models:
        own = [result for result in results if result.partition.model == model]
        of = f" of {model}" if len(models) > 1 else ""
        if columns := _columns(own, "mu"):
            found = mu_table(columns, printed)
            tables.append(replace(found, title=f"mu{of}"))
        if columns := _columns(own, "mu_active"):
            about = "mean over all frames in which a target is seen; in brackets their number, then chance level"
            tables.append(replace(mu_table(columns, ()), title=f"mu{of}, where nothing is annotated", caption=about))
    compared = [result for result in results if result.statistics]
    for result in compared:
        label = _label(result, results)
        tables.append(prototype_table(label, result.statistics, named[result.partition.dataset]))
    for group in _alike(compared):
        if len({result.partition.dataset for result in group}) > 1:
            overall = {_short_label(r, group): next(s for s in r.statistics if s.group == ALL) for r in group}
            settings = "faces, sampling or other settings of the explanation differ"
            one = len({result.partition.explain for result in group}) == 1
            tables.append(comparison_table(overall, "" if one else settings))
    return tables


def evaluation_json(
    results: Sequence[Evaluation], pages: Sequence[str | None], published: bool = False
) -> dict[str, object]:
    """All figures as plain values: `partitions` with rows and verdicts, and the comparison `tables`.

    Parameters
    ----------
    results, published
        As in `evaluation_tables`.
    pages
        Where the verdict page of each partition is.
    """
    partitions = [_partition_json(result) | {"verdict_page": page} for result, page in zip(results, pages, strict=True)]
    return {"partitions": partitions, "tables": [asdict(table) for table in evaluation_tables(results, published)]}


def _partition_json(result: Evaluation) -> dict[str, object]:
    return {
        **result.key,
        "n_annotated": result.n_annotated,
        "folds": {target: _plain(value) for target, value in result.folds.items()},
        "n_folds": result.n_folds,
        "unknown_targets": result.unknown_targets,
        "frames": result.frames,
        "people": _people_json(result.people),
        "labels": asdict(result.rule) | {"n_by_intensity": result.n_graded},
        "conservation": result.conservation and _conservation_json(result.conservation),
        "rows": result.rows,
        "verdicts": [_verdict_json(verdict) for verdict in result.verdicts],
        "notes": list(notes(result)),
    }


def _people_json(people: People) -> dict[str, object]:
    return {
        "n_trained_on": len(people.known),
        "n_new": len(people.new),
        "n_unnamed": len(people.unnamed),
        "f1_fold_mean": {target: _plain(value) for target, value in people.fold_f1.items()},
        "warning": people.warning,
    }


def _conservation_json(found: Conservation) -> dict[str, object]:
    figures = {"n_explained": found.n_explained, "n_outside": found.n_outside}
    return {**figures, "median": _plain(found.median), "band": found.band}


def _verdict_json(verdict: Verdict) -> dict[str, object]:
    return {
        "target": verdict.target,
        "state": verdict.state,
        "sentence": verdict.sentence,
        "region": verdict.where,
        "f1": _plain(verdict.f1),
        "trained_on": verdict.trained_on,
        "new_f1": _plain(verdict.new_f1),
        "by_sequence": verdict.by_sequence,
        "conserves": verdict.conservation is None,
        **{name: _plain(value) for name, value in asdict(verdict.localisation).items()},
    }


def _plain(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _scores(results: Sequence[Evaluation]) -> dict[str, dict[str, float]]:
    """Rows of F1: one per data set and network, as explaining does not change what is detected."""
    rows: dict[str, dict[str, float]] = {}
    for result in results:
        figures, label = result.values("f1"), _label(result, results, ("dataset", "model"))
        if repr(rows.get(label, figures)) != repr(figures):  # other frames or another threshold
            label = f"{label}, {result.partition.explain}"
        if figures:
            rows.setdefault(label, figures)
        if result.folds:
            rows[f"{label}, mean of {result.n_folds} folds"] = result.folds
    return rows


def _columns(results: Sequence[Evaluation], metric: str) -> dict[str, dict[str, Mu]]:
    """Columns of mu of one network: one per data set and explanation."""
    return {
        _label(result, results): {
            row["target"]: Mu(row["value"], row["n"], row["baseline"])
            for row in result.rows
            if row["metric"] == metric and row["value"] is not None and not row.get("group")
        }
        for result in results
        if result.values(metric)
    }


def _label(result: Evaluation, among: Sequence[Evaluation], keys: Sequence[str] = _KEYS) -> str:
    """What tells a partition from the others of an output; the data set where there is nothing to tell."""
    differing = [key for key in keys if len({other.key[key] for other in among}) > 1] or ["dataset"]
    return ", ".join(result.key[key] for key in differing)


def _short_label(result: Evaluation, among: Sequence[Evaluation]) -> str:
    """Its data set, where no other partition is of it."""
    once = sum(other.partition.dataset == result.partition.dataset for other in among) == 1
    return result.partition.dataset if once else _label(result, among)


def _alike(results: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Data sets that one network and one method explained, whatever else their jobs set."""
    groups: dict[tuple[str, str], list[Evaluation]] = {}
    for result in results:
        method = result.partition.explain.rpartition("-")[0]
        groups.setdefault((result.partition.model, method), []).append(result)
    return list(groups.values())


def _partition(result: Evaluation) -> list[str]:
    """Of one partition: what is right, where the evidence lies, and the sentences."""
    part = result.partition
    lines = [f"dataset={part.dataset} model={part.model} explain={part.explain}"]
    if result.people.warning:
        lines += [f"WARNING: {result.people.warning}"]
    if result.conservation and result.conservation.sentence:
        lines += [result.conservation.line]
    single = {row["metric"]: row for row in result.rows if not row["target"] and not row.get("group")}
    if "accuracy" in single:
        lines += aligned(report_lines(result.rows))
    elif result.verdicts or result.values("f1"):
        lines += _targets(result)
    if "f1_mean" in single:
        lines.append(f"mean F1 {share(single['f1_mean']['value'])} over {single['f1_mean']['n']} targets")
    if "set_accuracy" in single:
        row = single["set_accuracy"]
        lines.append(f"share of frames whose set of AUs is right {share(row['value'])} (of {row['n']} fully annotated)")
    if "accuracy" in single:
        row = single["accuracy"]
        lines.append(f"accuracy {share(row['value'])} over {row['n']} frames (chance {share(row['baseline'])})")
    if result.folds:
        lines.append(f"cross-validated in {result.n_folds} folds: the mean of each target is in the table of F1")
    elif not result.n_annotated:
        lines.append("no frame is annotated, so nothing is said of F1; mu is over all active detections")
    if result.unknown_targets:
        lines.append(f"annotated targets without an output: {', '.join(result.unknown_targets)}")
    if result.new is not None and result.new.rows:
        lines += ["", *_new_people(result.new, len(result.people.new))]
    if result.verdicts:
        lines += ["", "verdict", *(f"  {verdict.sentence}" for verdict in result.verdicts)]
    indent = "  " if result.verdicts else ""
    lines += [f"{indent}{note}" for note in notes(result)]
    return lines


def _new_people(result: Evaluation, n: int) -> Iterator[str]:
    yield f"only the {'person' if n == 1 else f'{n:,} people'} it was not trained on"
    single = {row["metric"]: row for row in result.rows if not row["target"]}
    yield from aligned(report_lines(result.rows)) if "accuracy" in single else _targets(result)
    for metric, name in (("f1_mean", "mean F1"), ("accuracy", "accuracy")):
        if metric in single:
            over = "targets" if metric == "f1_mean" else "frames"
            yield f"{name} {share(single[metric]['value'])} over {single[metric]['n']} {over}"


def notes(result: Evaluation) -> Iterator[str]:
    """What limits the figures of a partition, in sentences."""
    if result.people.note:
        yield result.people.note
    if result.cardless:
        yield f"{result.cardless} has no card here, so whether the network was trained on these people is not known."
    faceless = {status: n for status, n in result.frames.items() if status != "ok"}
    if faceless:
        reasons = ", ".join(f"{status} {n:,}" for status, n in faceless.items())
        yield (
            f"{sum(faceless.values()):,} of {sum(result.frames.values()):,} frames show no usable face and are not "
            f"judged ({reasons})."
        )
    if result.n_annotated and any(verdict.f1 is None for verdict in result.verdicts):
        yield "A target without annotations has no F1; its mu is over all frames in which it is seen."
    if any(verdict.by_sequence and verdict.localisation.n for verdict in result.verdicts):
        yield (
            "Some inputs name no subject; each of them was drawn as a subject of its own, so an interval is too narrow "
            "where one person shows in several."
        )
    short = [v.target for v in result.verdicts if v.localisation.n and v.localisation.above_chance is None]
    if short:
        yield (
            f"An interval needs {MIN_SUBJECTS} subjects of whom no one has most of the frames; there are fewer for "
            f"{', '.join(short)}."
        )
    if result.n_graded:
        decides = "decides, whatever occurrence is stated" if result.rule.present_from else "states no occurrence"
        yield f"{result.n_graded:,} labels are intensities: {result.rule.words} (where a label {decides})."
    missing = sum(verdict.localisation.n_undefined for verdict in result.verdicts)
    if missing:
        yield f"{missing} of these detections have no mu: no landmarks, no map, or no positive relevance in it."


def _targets(result: Evaluation) -> list[str]:
    verdicts = {verdict.target: verdict for verdict in result.verdicts}
    scores = {row["target"]: row for row in result.rows if row["metric"] == "f1" and not row.get("group")}
    folds = result.people.fold_f1 if result.people.known else {}
    header = ["target", "F1", *(["in folds"] if folds else []), "frames"]
    if verdicts:
        header += ["mu", "95 % interval", "chance", "mu / chance", "n", "subjects", ""]
    table = [header]
    for target in [*verdicts, *sorted(scores.keys() - verdicts.keys())]:
        row = scores.get(target, {})
        cells = [target, share(row.get("value")), *([share(folds.get(target))] if folds else [])]
        cells.append(str(row.get("n", "-")))
        table.append([*cells, *(_localised(verdicts.get(target)) if verdicts else ())])
    return aligned(table)


def _localised(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return ["-"] * 6 + [""]
    found = verdict.localisation
    interval = "-" if math.isnan(found.low) else f"{share(found.low)} to {share(found.high)}"
    weighted = "-" if math.isnan(found.weighted) else f"{found.weighted:.1f}"
    figures = [share(found.mean), interval, share(found.chance), weighted]
    return [*figures, str(found.n), str(found.n_subjects), _MARKS[verdict.state]]
