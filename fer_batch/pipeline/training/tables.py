"""What a training leaves to be read: tables, the network of the best fold with its card, and a picture."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.config import TrainConfig
from fer_batch.models.card import Card, ModelSpec, resolve
from fer_batch.output.run_record import versions
from fer_batch.pipeline.training.classes import class_figures, class_lines, confusion_of
from fer_batch.pipeline.training.folds import parts_of
from fer_batch.pipeline.training.marker import FoldJob, FoldMarker, defined, preprocessing_of
from fer_batch.storage.parquet import Partition, decode, rows_of
from fer_batch.storage.store import Store, join
from fer_batch.storage.writing import put_table

CHECKPOINTS = "checkpoints"


def publish_fold(store: Store, job: FoldJob, where: Partition, marker: FoldMarker) -> None:
    """Tables `training`, `evaluation` and `predictions` of one fold; the same files however often."""
    recipe, fold, name = job.config.recipe_name, job.index, f"fold-{job.index:03d}.parquet"
    epochs = [
        {"recipe": recipe, "fold": fold, "epoch": number, "split": split, "metric": metric, "value": value}
        for number, epoch in enumerate(marker["history"], 1)
        for key, value in epoch.items()
        for split, metric in [key.split("/")]
    ]
    put_table(store, f"{where.folder('training')}/{name}", rows_of("training", epochs))
    trained_on = " + ".join(sorted(marker["n_samples"]["train"]))
    figures: list[dict[str, object]] = [
        {"target": target, "metric": "f1", "value": value, "n": n, "split": "test", "fold": fold,
         "trained_on": trained_on}
        for target, value, n in zip(job.targets, marker["f1"], marker["n_observed"], strict=True)
    ]  # fmt: skip
    if marker.get("accuracy") is not None:
        figures.append({**figures[0], "target": None, "metric": "accuracy", "value": marker["accuracy"]})
    common = {"split": "test", "fold": fold, "trained_on": trained_on}
    figures += [{**row, **common} for row in class_figures(marker, job.targets)]
    put_table(store, f"{where.folder('evaluation')}/{name}", rows_of("evaluation", figures))
    predictions = decode(store.read_bytes(job.path(".predictions.parquet")))
    for dataset in sorted(set(predictions["dataset"].to_pylist())):
        rows = predictions.filter(pc.equal(predictions["dataset"], dataset)).drop_columns(["dataset"])
        folder = replace(where, dataset=dataset).folder("predictions")
        put_table(store, f"{folder}/{name}", rows.cast(rows_of("predictions", []).schema))


def means(markers: Sequence[FoldMarker]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """F1 of every target over the folds that define it (methods CV-1, G-21).

    Returns
    -------
    shape (A,) float64 and shape (A,) int64
        Means in [0, 1], NaN where no fold defines one, and how many folds do.
    """
    values = np.array([[math.nan if v is None else v for v in marker["f1"]] for marker in markers], np.float64)
    n = (~np.isnan(values)).sum(0)
    return np.divide(np.nansum(values, 0), n, out=np.full(values.shape[1], math.nan), where=n > 0), n


def mean_accuracy(markers: Sequence[FoldMarker]) -> float | None:
    """Accuracy (methods E-3), mean over folds; None of Action Units."""
    values = _accuracies(markers)
    return float(np.mean(values)) if values else None


def _accuracies(markers: Sequence[FoldMarker]) -> list[float]:
    return [value for marker in markers if (value := marker.get("accuracy")) is not None]


def best_fold(markers: Sequence[FoldMarker]) -> int:
    """Place of the fold of the highest mean F1 over its defined targets; the first of equals."""
    scores = [np.mean([v for v in marker["f1"] if v is not None] or [-1.0]) for marker in markers]
    return int(np.argmax(scores))


def publish_model(
    store: Store,
    config: TrainConfig,
    model: str,
    jobs: Sequence[FoldJob],
    markers: Sequence[FoldMarker],
) -> tuple[str, str, str]:
    """The network of the best fold (or of all) with its card, and the picture of the training.

    Returns
    -------
    URIs of the best fold's checkpoint and of the picture, and the digest by which a run of that checkpoint knows it
    """
    best, folder = best_fold(markers), f"{CHECKPOINTS}/{model}"
    kept = range(len(jobs)) if config.keep_models == "all" else [best]
    written = {}
    for place in kept:
        data = store.read_bytes(jobs[place].path(".safetensors"))
        card = _card(config, model, jobs[place].targets, markers, place, hashlib.sha256(data).hexdigest())
        names = [f"fold-{jobs[place].index:03d}"] if config.keep_models == "all" else []
        for name in [*names, *(["best"] if place == best else [])]:
            store.put(f"{folder}/{name}.safetensors", data)
            store.put(f"{folder}/{name}.json", (card.model_dump_json(indent=2) + "\n").encode())
            written[name] = join(config.output, f"{folder}/{name}.safetensors")
    picture = f"{folder}/training.png"
    store.put(picture, _picture(config, jobs[0].targets, markers))
    for name, drawn in _confusions(config, jobs[0].targets, markers):
        store.put(f"{folder}/{name}.png", drawn)
    if config.tensorboard:
        _tensorboard(store, f"tensorboard/{model}", markers)
    spec = ModelSpec(checkpoint="best.safetensors", factory=config.network.factory)
    digest = resolve(spec, lambda name: store.read_bytes(f"{folder}/{name}")).digest
    return written["best"], join(config.output, picture), digest


def _card(
    config: TrainConfig, model: str, targets: Sequence[str], markers: Sequence[FoldMarker], place: int, sha256: str
) -> Card:
    marker = markers[place]
    people = {part: len(names) for part, names in marker["subjects"].items()}
    tested = ", ".join(marker["subjects"]["test"][:3]) + (" ..." if people["test"] > 3 else "")
    posed = [source.dataset for source in config.sources if source.posed is not None]
    counts = (f"{name}: {count} crops" for name, count in sorted(marker["n_samples"]["train"].items()))
    return Card(
        name=config.network.name,
        architecture=config.network.architecture,
        factory=config.network.factory,
        options=config.network.options,
        targets=tuple(targets),
        head=config.head,
        preprocessing=preprocessing_of(config, marker),
        trained_on=(*counts, f"{people['train']} subjects; not on {tested}"),
        trained_subjects=tuple(marker["subjects"]["train"]),
        faces={name: getattr(config.faces, name) for name in ("detector", "choose", "align", "margin")},
        f1={target: _rounded(value) for target, value in zip(targets, marker["f1"], strict=True)},
        metrics=_metrics(config, model, targets, markers, marker),
        digest=sha256,
        notes=_posed_notes(posed),
        demo=bool(posed),
    )


def _metrics(
    config: TrainConfig, model: str, targets: Sequence[str], markers: Sequence[FoldMarker], marker: FoldMarker
) -> dict[str, object]:
    """What the card of one fold says of its training and figures; `markers` are of all folds."""
    mean, n = means(markers)
    parts = parts_of(config, [marker])
    measured = parts.measured_on if marker.get("stated") else f"the test part of fold {marker['fold']}"
    return {
        "training": model,
        "recipe": config.recipe.id,
        **({"align": asdict(config.align)} if config.align else {}),
        **({"swap_outside": asdict(config.swap_outside)} if config.swap_outside else {}),
        "seed": config.seed,
        "split": config.split.kind,
        "selection": config.recipe.selection,
        "fold": marker["fold"],
        "epoch": marker["epoch"],
        "measured_on": f"{measured}: {len(marker['subjects']['test'])} subjects",
        "selected_on": parts.selected_on,
        "f1_fold_mean": {t: _rounded(defined(v)) for t, v in zip(targets, mean, strict=True)},
        **_accuracy(markers, marker),
        "labels": asdict(config.labels),
        "n_folds": {t: int(count) for t, count in zip(targets, n, strict=True)},
        "class_weights": {t: _rounded(w) for t, w in zip(targets, marker["class_weights"], strict=True)},
        "versions": versions(),
    }


def _accuracy(markers: Sequence[FoldMarker], marker: FoldMarker) -> dict[str, float | None]:
    mean = mean_accuracy(markers)
    if mean is None:
        return {}
    return {"accuracy": _rounded(marker.get("accuracy")), "accuracy_fold_mean": _rounded(mean)}


def _posed_notes(datasets: Sequence[str]) -> str:
    if not datasets:
        return ""
    return (
        f"trained on the posed faces of {', '.join(datasets)}: warps of one portrait; on real faces its output is a "
        "demonstration, not a measurement"
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


def f1_table(config: TrainConfig, model: str, targets: Sequence[str], markers: Sequence[FoldMarker]) -> str:
    """F1 in the layout of Rieger et al. 2020, Table 1: targets as columns, the network as a row, mean over folds."""
    mean, n = means(markers)
    known = mean[~np.isnan(mean)]
    tested = sorted({name for marker in markers for name in marker["n_samples"]["test"]})
    rows = [
        ["", *targets, "mean"],
        [model, *(_figure(v) for v in mean), _figure(float(known.mean()) if len(known) else math.nan)],
        ["folds", *(str(count) for count in n), ""],
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    head = (
        f"F1 on {' + '.join(tested)}, mean over {len(markers)} fold{'s'[: len(markers) > 1]} ({config.split.kind}); "
        f"recipe {config.recipe_name}, seed {config.seed}, selection {config.recipe.selection}"
    )
    return "\n".join([head, *("  ".join(_cells(row, widths)).rstrip() for row in rows)])


def _cells(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    return (c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))


def _figure(value: float) -> str:
    """`.68` as the papers print it, `-` where it is undefined."""
    return "-" if math.isnan(value) else f"{value:.2f}".removeprefix("0")


def fold_lines(targets: Sequence[str], markers: Sequence[FoldMarker]) -> list[str]:
    """What a reader of the table must know: folds without a figure, and without anything to learn from."""
    lines = []
    accuracy = mean_accuracy(markers)
    if accuracy is not None:
        n_folds = len(_accuracies(markers))
        lines.append(f"accuracy {_figure(accuracy)}, mean over {n_folds} fold{'s'[: n_folds > 1]}")
    _, n = means(markers)
    undefined = {t: len(markers) - int(c) for t, c in zip(targets, n, strict=True) if c < len(markers)}
    if undefined:
        shown = ", ".join(f"{target} {count}" for target, count in undefined.items())
        lines.append(f"left out of the mean, because the target is neither shown nor detected: {shown} folds")
    bare = {t: [m["fold"] for m in markers if t in m["without_positives"]] for t in targets}
    for target, folds in bare.items():
        if folds:
            names = ", ".join(map(str, folds))
            lines.append(f"{target}: no positive in the training part of fold {names}; weight 1, nothing learned")
    return [*lines, *class_lines(markers, targets)]


def _picture(config: TrainConfig, targets: Sequence[str], markers: Sequence[FoldMarker]) -> bytes:
    from fer_batch.visualize.figure import save
    from fer_batch.visualize.training import training_figure

    curves: dict[tuple[str, str], list[list[float]]] = {}
    for marker in markers:
        for key in sorted({key for epoch in marker["history"] for key in epoch}):
            split, metric = key.split("/")
            values = [epoch.get(key) for epoch in marker["history"]]
            line = [math.nan if value is None else value for value in values]
            curves.setdefault((split, metric), []).append(line)
    f1 = np.array([[math.nan if v is None else v for v in marker["f1"]] for marker in markers], np.float64)
    judged = f", judged on the part '{stated['test']}'" if (stated := markers[0].get("stated")) else ""
    return save(training_figure(curves, targets, f1, f"{config.name}: recipe {config.recipe_name}{judged}"))


def _confusions(
    config: TrainConfig, targets: Sequence[str], markers: Sequence[FoldMarker]
) -> Iterable[tuple[str, bytes]]:
    """Names and pictures of the confusion matrix over all folds, in counts and in shares; none of Action Units."""
    from fer_batch.visualize.confusion import confusion_figure
    from fer_batch.visualize.figure import save

    found = confusion_of(markers)
    if found is None:
        return
    title = f"{config.name}: test part{'s'[: len(markers) > 1]} of {len(markers)} fold{'s'[: len(markers) > 1]}"
    yield "confusion", save(confusion_figure(found.confusion, targets, False, title))
    yield "confusion_normalised", save(confusion_figure(found.confusion, targets, True, title))


def _tensorboard(store: Store, folder: str, markers: Sequence[FoldMarker]) -> None:
    """Epochs as TensorBoard reads them, one run a fold."""
    from torch.utils.tensorboard import SummaryWriter

    store.delete(folder)
    for marker in markers:
        with tempfile.TemporaryDirectory() as local:
            with SummaryWriter(local) as writer:
                for number, epoch in enumerate(marker["history"], 1):
                    for key, value in epoch.items():
                        if value is not None:
                            writer.add_scalar(key, value, number)
            for path in sorted(Path(local).iterdir()):
                store.put(f"{folder}/fold-{marker['fold']:03d}/{path.name}", path.read_bytes())
