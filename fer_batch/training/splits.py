"""Who is trained on and who is tested: splits by subject (methods 6). A subject is never in two parts of one fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.training.subjects import Fold, Stated, by_space, checked, fold_of, some_of, stream

__all__ = ["Fold", "given", "holdout", "leave_one_subject_out", "subject_folds"]


def leave_one_subject_out(
    subjects: ArrayLike,
    datasets: ArrayLike,
    tested: str | None = None,
    validation: float = 0.0,
    seed: int = 0,
    spaces: ArrayLike | None = None,
) -> list[Fold]:
    """One fold per subject of a dataset; other datasets are in the training part of every fold (CV-1).

    Where `tested` is one of several datasets with the same people, what the others show of the subject who is left out
    is in no part of that fold.

    Parameters
    ----------
    subjects, datasets : shape (N,), dtype str
        Of every sample.
    tested
        The dataset, or the subject space, whose subjects are left out in turn; may be omitted where there is one space.
    validation
        Share of the training subjects of each space that is held out of training.
    seed
        Of the choice of validation subjects.
    spaces : shape (N,)
        Subject space of every sample: datasets of one space have the same people. The dataset where not given.

    Raises
    ------
    ValueError
        If `tested` is neither, or holds the only subject there is.
    """
    people, sets, groups = checked(subjects, datasets, spaces)
    names = sorted({*sets.tolist(), *groups.tolist()})
    if tested is None and len(set(groups.tolist())) > 1:
        raise ValueError(f"say which dataset's subjects are left out in turn: one of {', '.join(names)}")
    if tested is not None and tested not in names:
        raise ValueError(f"no sample is of dataset {tested!r}; there are {', '.join(names)}")
    judged = np.ones(len(people), bool) if tested is None else (sets if tested in sets else groups) == tested
    left_out = sorted(set(people[judged].tolist()))
    if len(set(people.tolist())) < 2:
        raise ValueError(f"leave-one-subject-out needs two subjects, got {len(left_out)}")
    return [fold_of(i, people, groups, {who}, validation, seed, who, judged) for i, who in enumerate(left_out)]


def subject_folds(
    subjects: ArrayLike,
    datasets: ArrayLike,
    k: int = 5,
    validation: float = 0.2,
    seed: int = 0,
    spaces: ArrayLike | None = None,
) -> list[Fold]:
    """`k` folds of subjects: shuffled within each subject space, cut into k, united across spaces (CV-2, CV-3).

    Parameters
    ----------
    subjects, datasets : shape (N,), dtype str
        Of every sample.
    k
        Number of folds; within a space their sizes in subjects differ by at most one.
    validation
        Share of the training subjects of each space that is held out of training (CV-2: 0.2).
    seed
        Of the shuffle.
    spaces : shape (N,)
        As for `leave_one_subject_out`.

    Raises
    ------
    ValueError
        If no space has `k` subjects.
    """
    people, _, groups = checked(subjects, datasets, spaces)
    tested: list[set[str]] = [set() for _ in range(k)]
    largest = 0
    for name, own in by_space(people, groups):
        shuffled = stream(seed, name).permutation(own)
        largest = max(largest, len(own))
        for place, part in enumerate(np.array_split(shuffled, k)):
            tested[place].update(part.tolist())
    if largest < 2:
        raise ValueError("folds of subjects need a dataset of two subjects or more")
    if k < 2 or largest < k:
        raise ValueError(f"expected 2 to {largest} folds, as many as the largest dataset has subjects; got {k}")
    return [fold_of(i, people, groups, who, validation, seed, "") for i, who in enumerate(tested)]


def holdout(
    subjects: ArrayLike,
    datasets: ArrayLike,
    test: float = 0.2,
    validation: float = 0.2,
    seed: int = 0,
    spaces: ArrayLike | None = None,
) -> list[Fold]:
    """One fold that tests a share of the subjects of each subject space.

    Parameters
    ----------
    subjects, datasets : shape (N,), dtype str
        Of every sample.
    test, validation
        Share of the subjects, and of the training subjects, of each space.
    seed
        Of both choices.
    spaces : shape (N,)
        As for `leave_one_subject_out`.

    Raises
    ------
    ValueError
        If no space has two subjects.
    """
    people, _, groups = checked(subjects, datasets, spaces)
    chosen: set[str] = set()
    for name, own in by_space(people, groups):
        chosen |= some_of(own, test, stream(seed, name))
    if not chosen:
        raise ValueError("a holdout needs a dataset of two subjects or more")
    return [fold_of(0, people, groups, chosen, validation, seed, "")]


def given(
    splits: Sequence[str | None],
    subjects: ArrayLike,
    datasets: ArrayLike,
    validation: float = 0.0,
    seed: int = 0,
    spaces: ArrayLike | None = None,
) -> list[Fold]:
    """The one split that the datasets themselves state.

    Where none of them states a test part, as AffectNet, its part `val` is the test part: nothing is chosen by it.

    Parameters
    ----------
    splits
        `train`, `val` or `test` of every sample; a sample without one is left out.
    subjects, datasets : shape (N,), dtype str
        Of every sample.
    validation
        Share of the training subjects to hold out where there is no stated part left to validate on.
    seed
        Of the choice of validation subjects.
    spaces : shape (N,)
        As for `leave_one_subject_out`.

    Raises
    ------
    ValueError
        If a subject is in two parts, or a part to train or to test on is missing.
    """
    people, _, groups = checked(subjects, datasets, spaces)
    stated = np.array([part or "" for part in splits])
    parts = {part: stated == part for part in ("train", "val", "test")}
    _check_parts(people, parts)
    judged: Literal["test", "val"] = "test" if parts["test"].any() else "val"
    test, train = parts[judged], parts["train"]
    held = parts["val"] if judged == "test" else np.zeros(len(people), bool)
    source: Literal["val", "train", ""] = "val" if held.any() else ""
    if not held.any() and validation:
        spaced = by_space(people[train], groups[train])
        chosen = {who for name, own in spaced for who in some_of(own, validation, stream(seed, name, "validation 0"))}
        held = np.isin(people, sorted(chosen)) & train
        source = "train" if held.any() else ""
    rows = [np.flatnonzero(part) for part in (train & ~held, held, test)]
    if not len(rows[0]) or not len(rows[2]):
        others = sorted({part for part in stated.tolist() if part and part not in parts})
        strange = f"; the sources also state {', '.join(map(repr, others[:4]))}" if others else ""
        raise ValueError(
            "a given split is what the sources state (such as the column split of a manifest) as train, val and test: "
            f"expected samples to train and to test on, got {len(rows[0])} and {len(rows[2])}{strange}"
        )
    return [Fold(0, rows[0], rows[1], rows[2], stated=Stated(judged, source))]


def _check_parts(people: NDArray[np.str_], parts: Mapping[str, NDArray[np.bool_]]) -> None:
    """Refuse a subject in two parts."""
    owners: dict[str, str] = {}
    for part, own in parts.items():
        for who in sorted(set(people[own].tolist())):
            if owners.setdefault(who, part) != part:
                raise ValueError(f"subject {who!r} is in the parts {owners[who]!r} and {part!r} of the given split")
