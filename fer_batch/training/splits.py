"""Who is trained on and who is tested: splits by subject (methods 6). A subject is never in two parts of one fold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Stated:
    """Which parts, as the datasets state them, a given split tests and validates on.

    Attributes
    ----------
    test
        `test`; or `val` where the datasets state no test part.
    validation
        `val`; `train` where subjects of it are held out; empty where there is no validation part.
    """

    test: Literal["test", "val"]
    validation: Literal["val", "train", ""]


@dataclass(frozen=True)
class Fold:
    """Rows of a collection by what one fold does with them.

    Attributes
    ----------
    index
        Number of the fold, from 0.
    train, validation, test : shape (n,), int64, ascending
        Rows; `validation` may be empty.
    name
        Who is tested, where that is one subject.
    stated
        Of a given split, which parts these are.
    """

    index: int
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    name: str = ""
    stated: Stated | None = None

    def __post_init__(self) -> None:
        if not len(self.train) or not len(self.test):
            raise ValueError(f"fold {self.index}: expected samples to train and to test on, got {len(self.train)} and "
                             f"{len(self.test)}")  # fmt: skip


def check_subjects(subjects: ArrayLike, spaces: ArrayLike) -> None:
    """Refuse a subject id that two subject spaces share (methods D-3): it may be two people, or one who would leak.

    Parameters
    ----------
    subjects, spaces : shape (N,)
        Of every sample. A dataset is a subject space of its own, unless it shares its people with another.

    Raises
    ------
    ValueError
        If one is shared, or empty.
    """
    pairs = sorted(set(zip(np.asarray(subjects, str).tolist(), np.asarray(spaces, str).tolist(), strict=True)))
    for (one, here), (other, there) in itertools.pairwise(pairs):
        if one == other:
            raise ValueError(
                f"subject {one!r} is in the datasets {here!r} and {there!r}; prefix subjects by dataset, or give both "
                "datasets one subject space where it is the same person"
            )
    if pairs and not pairs[0][0]:
        raise ValueError(f"a sample of dataset {pairs[0][1]!r} has no subject; splits are made by subject")


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
    subjects, datasets : shape (N,)
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
    people, sets, groups = _checked(subjects, datasets, spaces)
    names = sorted({*sets.tolist(), *groups.tolist()})
    if tested is None and len(set(groups.tolist())) > 1:
        raise ValueError(f"say which dataset's subjects are left out in turn: one of {', '.join(names)}")
    if tested is not None and tested not in names:
        raise ValueError(f"no sample is of dataset {tested!r}; there are {', '.join(names)}")
    judged = np.ones(len(people), bool) if tested is None else (sets if tested in sets else groups) == tested
    left_out = sorted(set(people[judged].tolist()))
    if len(set(people.tolist())) < 2:
        raise ValueError(f"leave-one-subject-out needs two subjects, got {len(left_out)}")
    return [_fold(i, people, groups, {who}, validation, seed, who, judged) for i, who in enumerate(left_out)]


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
    subjects, datasets : shape (N,)
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
    people, _, groups = _checked(subjects, datasets, spaces)
    tested: list[set[str]] = [set() for _ in range(k)]
    largest = 0
    for name, own in _by_group(people, groups):
        shuffled = _rng(seed, name).permutation(own)
        largest = max(largest, len(own))
        for place, part in enumerate(np.array_split(shuffled, k)):
            tested[place].update(part.tolist())
    if largest < 2:
        raise ValueError("folds of subjects need a dataset of two subjects or more")
    if k < 2 or largest < k:
        raise ValueError(f"expected 2 to {largest} folds, as many as the largest dataset has subjects; got {k}")
    return [_fold(i, people, groups, who, validation, seed, "") for i, who in enumerate(tested)]


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
    subjects, datasets : shape (N,)
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
    people, _, groups = _checked(subjects, datasets, spaces)
    chosen: set[str] = set()
    for name, own in _by_group(people, groups):
        chosen |= _some(own, test, _rng(seed, name))
    if not chosen:
        raise ValueError("a holdout needs a dataset of two subjects or more")
    return [_fold(0, people, groups, chosen, validation, seed, "")]


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
    subjects, datasets : shape (N,)
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
    people, _, groups = _checked(subjects, datasets, spaces)
    stated = np.array([part or "" for part in splits])
    parts = {part: stated == part for part in ("train", "val", "test")}
    owners: dict[str, str] = {}
    for part, own in parts.items():
        for who in sorted(set(people[own].tolist())):
            if owners.setdefault(who, part) != part:
                raise ValueError(f"subject {who!r} is in the parts {owners[who]!r} and {part!r} of the given split")
    judged: Literal["test", "val"] = "test" if parts["test"].any() else "val"
    test, train = parts[judged], parts["train"]
    held = parts["val"] if judged == "test" else np.zeros(len(people), bool)
    source: Literal["val", "train", ""] = "val" if held.any() else ""
    if not held.any() and validation:
        chosen: set[str] = set()
        for name, own in _by_group(people[train], groups[train]):
            chosen |= _some(own, validation, _rng(seed, name, "validation 0"))
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


def _checked(
    subjects: ArrayLike, datasets: ArrayLike, spaces: ArrayLike | None
) -> tuple[NDArray[np.str_], NDArray[np.str_], NDArray[np.str_]]:
    people, sets = np.asarray(subjects, str), np.asarray(datasets, str)
    groups = sets if spaces is None else np.asarray(spaces, str)
    if people.ndim != 1 or people.shape != sets.shape or people.shape != groups.shape:
        raise ValueError(
            f"expected subjects, datasets and spaces of one shape (N,), got {people.shape}, {sets.shape} and "
            f"{groups.shape}"
        )
    if not len(people):
        raise ValueError("there are no samples to split")
    check_subjects(people, groups)
    return people, sets, groups


def _by_group(people: NDArray[np.str_], groups: NDArray[np.str_]) -> list[tuple[str, list[str]]]:
    return [(name, sorted(set(people[groups == name].tolist()))) for name in sorted(set(groups.tolist()))]


def _rng(seed: int, *what: str) -> np.random.Generator:
    """A stream of its own for each space and fold, so that adding one dataset moves nobody of another."""
    return np.random.default_rng([seed, *(byte for name in what for byte in (*name.encode(), 0))])


def _some(own: Sequence[str], share: float, rng: np.random.Generator) -> set[str]:
    """About `share` of some subjects: at least one where any is asked for, and never all."""
    if not 0 <= share < 1:
        raise ValueError(f"a share of subjects is at least 0 and below 1, got {share}")
    n = min(max(1, round(share * len(own))), len(own) - 1) if share > 0 else 0
    return set(rng.permutation(own)[:n].tolist())


def _fold(
    index: int,
    people: NDArray[np.str_],
    groups: NDArray[np.str_],
    tested: set[str],
    validation: float,
    seed: int,
    name: str,
    judged: NDArray[np.bool_] | None = None,
) -> Fold:
    """The fold that tests some subjects, on the samples that are `judged`."""
    test = np.isin(people, sorted(tested))
    held: set[str] = set()
    for group, own in _by_group(people[~test], groups[~test]):
        held |= _some(own, validation, _rng(seed, group, f"validation {index}"))
    held_out = np.isin(people, sorted(held)) if held else np.zeros(len(people), bool)
    return Fold(
        index,
        np.flatnonzero(~test & ~held_out),
        np.flatnonzero(held_out),
        np.flatnonzero(test if judged is None else test & judged),
        name,
    )
