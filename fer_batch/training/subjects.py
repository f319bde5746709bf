"""Subjects of a collection: checked, grouped by subject space, drawn, and cut into the parts of one fold."""

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
    subjects, spaces : shape (N,), dtype str
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


def checked(
    subjects: ArrayLike, datasets: ArrayLike, spaces: ArrayLike | None
) -> tuple[NDArray[np.str_], NDArray[np.str_], NDArray[np.str_]]:
    """Subjects, datasets and subject spaces of every sample, verified.

    Parameters
    ----------
    subjects, datasets, spaces : shape (N,), dtype str
        The spaces are the datasets where not given.

    Returns
    -------
    three arrays of shape (N,), dtype str

    Raises
    ------
    ValueError
        If the shapes differ, there are no samples, or two spaces share a subject.
    """
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


def by_space(people: NDArray[np.str_], groups: NDArray[np.str_]) -> list[tuple[str, list[str]]]:
    """Subjects of each space, both in alphabetical order.

    Parameters
    ----------
    people, groups : shape (N,), dtype str
        Subject and subject space of every sample.
    """
    return [(name, sorted(set(people[groups == name].tolist()))) for name in sorted(set(groups.tolist()))]


def stream(seed: int, *what: str) -> np.random.Generator:
    """A stream of its own for each space and fold, so that adding one dataset moves nobody of another."""
    return np.random.default_rng([seed, *(byte for name in what for byte in (*name.encode(), 0))])


def some_of(own: Sequence[str], share: float, rng: np.random.Generator) -> set[str]:
    """About `share` of some subjects: at least one where any is asked for, and never all.

    Parameters
    ----------
    own
        The subjects, each once.
    share
        From 0 to below 1.
    rng
        Source of randomness.

    Raises
    ------
    ValueError
        If the share is out of range.
    """
    if not 0 <= share < 1:
        raise ValueError(f"a share of subjects is at least 0 and below 1, got {share}")
    n = min(max(1, round(share * len(own))), len(own) - 1) if share > 0 else 0
    return set(rng.permutation(own)[:n].tolist())


def fold_of(
    index: int,
    people: NDArray[np.str_],
    groups: NDArray[np.str_],
    tested: set[str],
    validation: float,
    seed: int,
    name: str,
    judged: NDArray[np.bool_] | None = None,
) -> Fold:
    """The fold that tests some subjects, on the samples that are `judged`.

    Parameters
    ----------
    index
        Number of the fold.
    people, groups : shape (N,), dtype str
        Subject and subject space of every sample.
    tested
        Subjects that are in no other part.
    validation
        Share of the other subjects of each space that is held out of training.
    seed
        Of the choice of validation subjects.
    name
        Of the fold.
    judged : shape (N,), bool
        Samples that may be tested; all where not given.
    """
    test = np.isin(people, sorted(tested))
    held: set[str] = set()
    for group, own in by_space(people[~test], groups[~test]):
        held |= some_of(own, validation, stream(seed, group, f"validation {index}"))
    held_out = np.isin(people, sorted(held)) if held else np.zeros(len(people), bool)
    return Fold(
        index,
        np.flatnonzero(~test & ~held_out),
        np.flatnonzero(held_out),
        np.flatnonzero(test if judged is None else test & judged),
        name,
    )
