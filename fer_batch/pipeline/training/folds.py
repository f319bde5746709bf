"""Which samples a job trains on, validates on and tests on, what cannot be split so, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.config import TrainConfig
from fer_batch.pipeline.training.marker import FoldMarker
from fer_batch.training.splits import Fold, given, holdout, leave_one_subject_out, subject_folds
from fer_batch.types import InputError


def folds_of(config: TrainConfig, samples: pa.Table) -> list[Fold]:
    """The folds of a job, the same in every process.

    Parameters
    ----------
    samples
        Columns `dataset`, `subject_id` and `split`.

    Raises
    ------
    ValueError
        If the samples cannot be split so, or a fold lacks the validation part that the recipe watches.
    """
    subjects, datasets = (np.asarray(samples[name].to_pylist(), str) for name in ("subject_id", "dataset"))
    folds = _split(config, samples, subjects, datasets)
    watcher = watches_validation(config)
    for fold in folds:
        if watcher and not len(fold.validation):
            raise ValueError(_no_validation(config, fold, watcher, len(set(subjects[fold.train].tolist()))))
    return folds


def _split(
    config: TrainConfig, samples: pa.Table, subjects: NDArray[np.str_], datasets: NDArray[np.str_]
) -> list[Fold]:
    split, seed, spaces = config.split, config.seed, spaces_of(config, datasets)
    if split.kind == "leave_one_subject_out":
        return leave_one_subject_out(subjects, datasets, split.tested, split.validation, seed, spaces)
    if split.kind == "folds":
        return subject_folds(subjects, datasets, split.k, split.validation, seed, spaces)
    if split.kind == "given":
        return given(samples["split"].to_pylist(), subjects, datasets, split.validation, seed, spaces)
    return holdout(subjects, datasets, split.test, split.validation, seed, spaces)


def spaces_of(config: TrainConfig, datasets: NDArray[np.str_]) -> NDArray[np.str_]:
    """The subject space of every sample, shape (N,), dtype str, by its dataset (the same shape and dtype)."""
    spaces = {source.dataset: source.space for source in config.sources}
    names, inverse = np.unique(datasets, return_inverse=True)
    return np.array([spaces.get(name, name) for name in names.tolist()], str)[inverse]


def watches_validation(config: TrainConfig) -> str:
    """The key of the recipe that needs a validation part; empty where none does."""
    if config.recipe.selection == "best_validation":
        return "recipe.selection: best_validation"
    return f"recipe.patience: {config.recipe.patience}" if config.recipe.patience is not None else ""


def _no_validation(config: TrainConfig, fold: Fold, watcher: str, n_subjects: int) -> str:
    if fold.stated is not None and not config.split.validation:
        held = "the part 'val' is what is tested, as no part 'test' is stated" if fold.stated.test == "val" else (
            "the sources state no part 'val'"
        )  # fmt: skip
        return (
            f"{watcher} watches a validation part, and {held}; split.validation, such as 0.1, holds out a share of "
            "the part 'train'"
        )
    name = f" ({fold.name})" if fold.name else ""
    people = "1 subject" if n_subjects == 1 else f"{n_subjects} subjects"
    return (
        f"fold {fold.index}{name} has nobody to validate on, and {watcher} watches a validation part: {people} to "
        "train on, and the last one of a dataset is never held out; add subjects, or train without it "
        "(recipe.patience: null, recipe.selection: last)"
    )


def check_workers(config: TrainConfig, folds: Sequence[Fold]) -> None:
    """Refuse a fold whose training part is too small to be shared, before another one is trained.

    Raises
    ------
    InputError
        If there is one.
    """
    workers = config.resources.workers
    for fold in folds:
        n = min(config.recipe.batch_size, len(fold.train))
        if n < workers:
            raise InputError(f"fold {fold.index}: a batch of {n} samples is shared by {workers} resources.workers; "
                             f"expected at most {n}")  # fmt: skip


def left_out(config: TrainConfig, folds: Sequence[Fold], n_samples: int) -> str:
    """A sentence about the crops that are in no part of a fold; empty where all are in one."""
    n_left = max((n_samples - sum(map(len, (f.train, f.validation, f.test))) for f in folds), default=0)
    if not n_left:
        return ""
    if config.split.kind == "given":
        return f"{n_left} of {n_samples} crops are in none of the stated parts train, val and test and are left out"
    return (
        f"up to {n_left} of {n_samples} crops are in no part of a fold: what datasets other than "
        f"{config.split.tested} show of the subject who is left out"
    )


@dataclass(frozen=True)
class Parts:
    """What the figures of a training are of.

    Attributes
    ----------
    measured_on
        The part that the figures are of.
    selected_on
        The part by which the epoch was chosen, and by which the training was ended where that is so.
    """

    measured_on: str
    selected_on: str


def parts_of(config: TrainConfig, markers: Sequence[FoldMarker]) -> Parts:
    """Which parts a training was judged on and chosen by, in words for its card and its table."""
    stated = markers[0].get("stated")
    measured = {
        "test": "the part 'test' that the sources state",
        "val": "the part 'val' that the sources state, as they state no part 'test'",
    }.get(stated["test"] if stated else "", "the test part of each fold")
    of = "the part 'train'" if stated else "the training part"
    drawn = f"{config.split.validation * 100:g} % of the subjects of {of}, held out with seed {config.seed}"
    watched = "the part 'val' that the sources state" if stated and stated["validation"] == "val" else drawn
    if config.recipe.selection == "best_test":
        chosen = "the very part that the figures are of"
    elif config.recipe.selection == "best_validation":
        chosen = watched
    else:
        chosen = "no part: the last epoch"
    if config.recipe.patience is not None:
        chosen += f"; the training ends by {watched}"
    return Parts(measured, chosen)


def parts_lines(config: TrainConfig, parts: Parts) -> list[str]:
    """The same below a table, of a split that the sources state: the others say it by their kind and selection."""
    if config.split.kind != "given":
        return []
    return [f"judged on {parts.measured_on}", f"epoch chosen by {parts.selected_on}"]
