"""Tables of a training of classes in the layout of Weitz (2018): folds, recipes, and the report of the classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from fer_batch.evaluate.detection import Classification
from fer_batch.evaluate.published_training import FOLDS, REPORT, VARIANTS, WEITZ, FoldFigures, Variant
from fer_batch.evaluate.tables import MISSING, Table, share


def _number(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.2f}"


def _epochs(value: float) -> str:
    return f"{value:.0f}" if value else MISSING


_FIGURES: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "test loss": ("test_loss", _number),
    "test accuracy": ("test_accuracy", share),
    "epochs": ("epochs", _epochs),
    "train accuracy": ("train_accuracy", share),
    "validation accuracy": ("validation_accuracy", share),
}
_LOSSES = (
    "loss: cross-entropy of the test part; the losses of the thesis may hold its L2 term, which Keras adds to them"
)


def fold_means(rows: Iterable[FoldFigures]) -> FoldFigures:
    """Means over folds of what is known, named `mean`; epochs are no mean and are left out.

    Parameters
    ----------
    rows
        The folds; a figure that is NaN in one is the mean of the others.
    """
    folds = list(rows)

    def mean(name: str) -> float:
        known = [value for row in folds if not math.isnan(value := getattr(row, name))]
        return float(np.mean(known)) if known else math.nan

    return FoldFigures(
        "mean",
        test_loss=mean("test_loss"),
        test_accuracy=mean("test_accuracy"),
        train_accuracy=mean("train_accuracy"),
        validation_accuracy=mean("validation_accuracy"),
    )


def fold_table(rows: Sequence[FoldFigures], printed: bool = False) -> Table:
    """Loss and accuracy of every fold and their means (methods 13.5).

    Parameters
    ----------
    rows
        The folds in order.
    printed
        Set the five folds of Weitz (2018) beside ours.
    """
    body = [_cells(row) for row in (*rows, fold_means(rows))]
    if printed:
        body += [_cells(row, f" ({WEITZ})") for row in (*FOLDS, fold_means(FOLDS))]
    return Table("folds", ("", *_FIGURES), tuple(body), _LOSSES if printed else "")


def recipe_table(recipes: Mapping[str, Sequence[FoldFigures]], printed: bool = True) -> Table:
    """Mean test loss and accuracy of several recipes (methods 13.6).

    Parameters
    ----------
    recipes
        By name of the recipe, such as `L2, early stopping`: its folds.
    printed
        Set the means of Weitz (2018) beside ours; recipes of theirs that we have none of follow.
    """
    names = [*recipes, *(name for name in VARIANTS if printed and name not in recipes)]
    body, notes = [], []
    for name in names:
        mean, theirs = fold_means(recipes.get(name, ())), VARIANTS.get(name, Variant(math.nan, math.nan))
        ours = (_number(mean.test_loss), share(mean.test_accuracy), str(len(recipes.get(name, ())) or MISSING))
        body.append((name, *ours, *((_number(theirs.test_loss), share(theirs.test_accuracy)) if printed else ())))
        if printed and theirs.note:
            notes.append(f"{name}: {theirs.note}")
    columns = (
        "",
        "test loss",
        "test accuracy",
        "folds",
        *((f"loss ({WEITZ})", f"accuracy ({WEITZ})") if printed else ()),
    )
    return Table("recipes", columns, tuple(body), "; ".join([*notes, _LOSSES] if printed else []))


def classification_report(found: Classification, targets: Sequence[str], printed: bool = False) -> Table:
    """Precision, recall and F1 of every class, and their means weighted by the number of samples (methods E-3).

    Parameters
    ----------
    found
        Its C classes are in the order of `targets`.
    targets
        Names of the classes.
    printed
        Set the report of fold 5 of Weitz (2018) beside ours.

    Raises
    ------
    ValueError
        If there are more or fewer names than classes.
    """
    if len(targets) != len(found.support):
        raise ValueError(f"expected {len(found.support)} names of classes, got {len(targets)}: {', '.join(targets)}")
    scores = (found.precision, found.recall, found.f1)
    body = [
        (name, *(share(float(score[i])) for score in scores), str(int(found.support[i])))
        for i, name in enumerate(targets)
    ]
    body.append(("weighted by n", *(share(found.weighted(score)) for score in scores), str(int(found.support.sum()))))
    if printed:
        body += [
            (f"{name} ({WEITZ}, fold 5)", *(f"{value:.2f}".removeprefix("0") for value in figures), str(n))
            for name, (*figures, n) in REPORT.items()
        ]
    return Table("report", ("class", "precision", "recall", "F1", "n"), tuple(body))


def _cells(row: FoldFigures, of: str = "") -> tuple[str, ...]:
    return (f"{row.name}{of}", *(write(getattr(row, name)) for name, write in _FIGURES.values()))
