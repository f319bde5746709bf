"""How well the networks of a study were trained: folds, reports of classes, confusion, curves (PD-e, VP-e)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from fer_batch.evaluate.folds import classification_report as class_report
from fer_batch.evaluate.folds import fold_table as folds_of_classes
from fer_batch.evaluate.folds import recipe_table
from fer_batch.evaluate.published_training import CLASSES, WEITZ
from fer_batch.evaluate.tables import MISSING, Table
from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.work import StudyWork, Training
from fer_batch.pipeline.training.classes import confusion_of, fold_figures
from fer_batch.pipeline.training.marker import FoldMarker
from fer_batch.pipeline.training.tables import best_fold, means
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.page import DataTable, Picture, Published
from fer_batch.visualize.confusion import confusion_figure
from fer_batch.visualize.figure import save
from fer_batch.visualize.training import curves_figure


def fold_table(work: StudyWork) -> Compared:
    """Loss, accuracy or F1, and epochs of every fold of every training, with the best fold.

    Parameters
    ----------
    work
        The study.
    """
    sections, recipes = [], {}
    rows: list[Measured] = []
    for training in work.trainings:
        markers = training.outcome.folds
        best = markers[best_fold(markers)]
        printed = _is_of_weitz(training)
        if training.config.head == "softmax":
            figures = fold_figures(markers)
            recipes[_recipe(training)] = figures
            tables = (_shown(folds_of_classes(figures, printed), WEITZ if printed else ""),)
            rows += _class_rows(training)
        else:
            tables = (_unit_table(training),)
            rows += _unit_rows(training)
        name = f" ({best['name']})" if best["name"] else ""
        note = f"Best fold by mean F1 on its own test people: {best['fold']}{name}, at epoch {best['epoch']}."
        curves = Picture(save(curves_figure(_curves(markers))), f"Loss and accuracy by epoch, {training.title}")
        sections.append(Section(training.title, tables=tables, figures=(curves,), notes=(note,)))
    if recipes and any(map(_is_of_weitz, work.trainings)):
        table = _shown(recipe_table(recipes), WEITZ)
        sections.append(Section("Recipes", "Means over folds.", (table,)))
    page = Comparison("fold_table", "How well each fold was learned", _lead(work.trainings), tuple(sections))
    return Compared(page, tuple(rows))


def classification_report(work: StudyWork) -> Compared:
    """Precision, recall and F1 of every class, and confusion in counts and in shares, over all folds and of the best.

    Parameters
    ----------
    work
        The study.
    """
    sections, rows = [], []
    for training in work.trainings:
        targets, markers = training.outcome.targets, training.outcome.folds
        parts = [("all folds", list(markers)), (f"fold {markers[best_fold(markers)]['fold']}, the best",
                                                [markers[best_fold(markers)]])]  # fmt: skip
        for name, chosen in parts[: len(markers)]:
            found = confusion_of(chosen)
            if found is None:
                sections.append(Section(training.title, notes=("It has no classes: see the table of folds.",)))
                break
            printed = _is_of_weitz(training)
            table = _shown(class_report(found, targets, printed), WEITZ if printed else "")
            figures = tuple(
                Picture(save(confusion_figure(found.confusion, targets, normalise)), f"Confusion, {said}, {name}", said)
                for normalise, said in ((False, "counts"), (True, "shares of the true class"))
            )
            sections.append(Section(f"{training.title}: {name}", tables=(table,), figures=figures))
            if name == "all folds":
                n = int(found.support.sum())
                rows.append(Measured("accuracy", found.accuracy, n, model=training.outcome.model))
    lead = "Test people only: everyone was predicted by the network that was trained without them."
    page = Comparison("classification_report", "Which classes are told apart", lead, tuple(sections))
    return Compared(page, tuple(rows))


def _is_of_weitz(training: Training) -> bool:
    """Whether a training has the classes of Weitz (2018), so that the printed figures can stand beside ours."""
    return set(training.outcome.targets) == set(CLASSES)


def _recipe(training: Training) -> str:
    """What the thesis calls the recipe of a training."""
    recipe = training.config.recipe
    dropout = bool(training.config.network.options.get("dropout"))
    regular = "dropout" if dropout else "L2" if recipe.l2 else "no L2"
    return f"{regular}, {'early stopping' if recipe.patience is not None else f'{recipe.epochs} epochs'}"


def _lead(trainings: Sequence[Training]) -> str:
    found = []
    for training in trainings:
        mean, _ = means(training.outcome.folds)
        known = mean[~np.isnan(mean)]
        if len(known):
            found.append(f"{training.title}: mean F1 {float(known.mean()):.2f}")
    return f"{'; '.join(found)}." if found else "No fold defines an F1."


def _curves(markers: Sequence[FoldMarker]) -> dict[tuple[str, str], list[list[float]]]:
    """`(split, metric)` to one line per fold."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    for marker in markers:
        for key in sorted({key for epoch in marker["history"] for key in epoch}):
            split, _, metric = key.partition("/")
            line = [math.nan if (value := epoch.get(key)) is None else value for epoch in marker["history"]]
            found.setdefault((split, metric), []).append(line)
    return found


def _unit_table(training: Training) -> DataTable:
    """F1 of every Action Unit by fold, and the mean over folds that define one (methods 13.2)."""
    targets, markers = training.outcome.targets, training.outcome.folds
    mean, n = means(markers)
    rows: list[tuple[object, ...]] = [(_fold_name(marker), *map(_rounded, marker["f1"])) for marker in markers]
    rows.append(("mean over folds", *(_rounded(None if math.isnan(v) else float(v)) for v in mean)))
    rows.append(("folds that define one", *(int(count) for count in n)))
    return DataTable("F1 by fold", ("Fold", *targets), tuple(rows))


def _fold_name(marker: FoldMarker) -> str:
    return f"{marker['fold']}, {marker['name']}" if marker["name"] else str(marker["fold"])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _unit_rows(training: Training) -> Iterator[Measured]:
    mean, n = means(training.outcome.folds)
    for target, value, count in zip(training.outcome.targets, mean.tolist(), n.tolist(), strict=True):
        known = None if math.isnan(value) else value
        yield Measured("f1_fold_mean", known, int(count), model=training.outcome.model, target=target)


def _class_rows(training: Training) -> Iterator[Measured]:
    for figures, marker in zip(fold_figures(training.outcome.folds), training.outcome.folds, strict=True):
        n = sum(marker["n_samples"]["test"].values())
        for metric, value in (("loss", figures.test_loss), ("accuracy", figures.test_accuracy)):
            known = None if math.isnan(value) else value
            yield Measured(metric, known, n, model=training.outcome.model, fold=marker["fold"])


def _shown(table: Table, source: str = "") -> DataTable:
    """A table with what is printed in the style of published figures."""
    printed = [f"({source}" in column for column in table.columns] if source else [False] * len(table.columns)
    rows = tuple(
        tuple(
            cell if not place or not (mark or (source and f"({source}" in row[0])) else _published(cell)
            for place, (cell, mark) in enumerate(zip(row, printed, strict=True))
        )
        for row in table.rows
    )
    return DataTable(table.title.capitalize(), table.columns, rows, table.caption, source)


def _published(cell: str) -> Published | None:
    return None if cell == MISSING else Published(cell)
