"""Who is trained on and who is tested: splits by subject (methods 6). A subject is never in two parts of one fold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
    """

    index: int
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    name: str = ""

    def __post_init__(self) -> None:
        if not len(self.train) or not len(self.test):
            raise ValueError(f"fold {self.index}: expected samples to train and to test on, got {len(self.train)} and "
                             f"{len(self.test)}")  # fmt: skip


def check_subjects(subjects: ArrayLike, datasets: ArrayLike) -> None:
    """Refuse a subject id that two datasets share (methods D-3): it may be two people, or one who would leak.

    Raises
    ------
    ValueError
        If one is shared, or empty.
    """
    pairs = sorted(set(zip(np.asarray(subjects, str).tolist(), np.asarray(datasets, str).tolist(), strict=True)))
    for (one, here), (other, there) in itertools.pairwise(pairs):
        if one == other:
            raise ValueError(f"subject {one!r} is in the datasets {here!r} and {there!r}; prefix subjects by dataset")
    if pairs and not pairs[0][0]:
        raise ValueError(f"a sample of dataset {pairs[0][1]!r} has no subject; splits are made by subject")


def leave_one_subject_out(
    subjects: ArrayLike, datasets: ArrayLike, tested: str | None = None, validation: float = 0.0, seed: int = 0
) -> list[Fold]:
    """One fold per subject of a dataset; other datasets are in the training part of every fold (CV-1).

    Parameters
    ----------
    subjects, datasets : shape (N,)
        Of every sample.
    tested
        The dataset whose subjects are left out in turn; may be omitted where there is one dataset.
    validation
        Share of the training subjects of each dataset that is held out of training.
    seed
        Of the choice of validation subjects.

    Raises
    ------
    ValueError
        If `tested` is no dataset, or holds the only subject there is.
    """
    people, sets = _checked(subjects, datasets)
    names = sorted(set(sets.tolist()))
    if tested is None and len(names) > 1:
        raise ValueError(f"say which dataset's subjects are left out in turn: one of {', '.join(names)}")
    tested = names[0] if tested is None else tested
    if tested not in names:
        raise ValueError(f"no sample is of dataset {tested!r}; there are {', '.join(names)}")
    left_out = sorted(set(people[sets == tested].tolist()))
    if len(set(people.tolist())) < 2:
        raise ValueError(f"leave-one-subject-out needs two subjects, got {len(left_out)}")
    return [_fold(i, people, sets, {who}, validation, seed, who) for i, who in enumerate(left_out)]


def subject_folds(
    subjects: ArrayLike, datasets: ArrayLike, k: int = 5, validation: float = 0.2, seed: int = 0
) -> list[Fold]:
    """`k` folds of subjects: shuffled within each dataset, cut into k, united across datasets (CV-2, CV-3).

    Parameters
    ----------
    subjects, datasets : shape (N,)
        Of every sample.
    k
        Number of folds; within a dataset their sizes in subjects differ by at most one.
    validation
        Share of the training subjects of each dataset that is held out of training (CV-2: 0.2).
    seed
        Of the shuffle.

    Raises
    ------
    ValueError
        If no dataset has `k` subjects.
    """
    people, sets = _checked(subjects, datasets)
    tested: list[set[str]] = [set() for _ in range(k)]
    largest = 0
    for name, own in _by_dataset(people, sets):
        shuffled = _rng(seed, name).permutation(own)
        largest = max(largest, len(own))
        for place, part in enumerate(np.array_split(shuffled, k)):
            tested[place].update(part.tolist())
    if largest < 2:
        raise ValueError("folds of subjects need a dataset of two subjects or more")
    if k < 2 or largest < k:
        raise ValueError(f"expected 2 to {largest} folds, as many as the largest dataset has subjects; got {k}")
    return [_fold(i, people, sets, who, validation, seed, "") for i, who in enumerate(tested)]


def holdout(
    subjects: ArrayLike, datasets: ArrayLike, test: float = 0.2, validation: float = 0.2, seed: int = 0
) -> list[Fold]:
    """One fold that tests a share of the subjects of each dataset.

    Raises
    ------
    ValueError
        If no dataset has two subjects.
    """
    people, sets = _checked(subjects, datasets)
    chosen: set[str] = set()
    for name, own in _by_dataset(people, sets):
        chosen |= _some(own, test, _rng(seed, name))
    if not chosen:
        raise ValueError("a holdout needs a dataset of two subjects or more")
    return [_fold(0, people, sets, chosen, validation, seed, "")]


def given(
    splits: Sequence[str | None], subjects: ArrayLike, datasets: ArrayLike, validation: float = 0.0, seed: int = 0
) -> list[Fold]:
    """The one split that the datasets themselves state.

    Parameters
    ----------
    splits
        `train`, `val` or `test` of every sample; a sample without one is left out.
    subjects, datasets : shape (N,)
        Of every sample.
    validation
        Share of the training subjects to hold out where the datasets state no validation part.

    Raises
    ------
    ValueError
        If a subject is in two parts, or a part to train or to test on is missing.
    """
    people, sets = _checked(subjects, datasets)
    stated = np.array([part or "" for part in splits])
    parts = {part: stated == part for part in ("train", "val", "test")}
    owners: dict[str, str] = {}
    for part, own in parts.items():
        for who in sorted(set(people[own].tolist())):
            if owners.setdefault(who, part) != part:
                raise ValueError(f"subject {who!r} is in the parts {owners[who]!r} and {part!r} of the given split")
    if not parts["val"].any() and validation:
        for name, own in _by_dataset(people[parts["train"]], sets[parts["train"]]):
            held = np.isin(people, sorted(_some(own, validation, _rng(seed, name, "validation 0"))))
            parts["val"] |= held & parts["train"]
        parts["train"] &= ~parts["val"]
    train, val, test = (np.flatnonzero(parts[part]) for part in ("train", "val", "test"))
    if not len(train) or not len(test):
        raise ValueError(
            "a given split is what the sources state (such as the column split of a manifest): expected samples to "
            f"train and to test on, got {len(train)} and {len(test)}"
        )
    return [Fold(0, train, val, test)]


def _checked(subjects: ArrayLike, datasets: ArrayLike) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    people, sets = np.asarray(subjects, str), np.asarray(datasets, str)
    if people.ndim != 1 or people.shape != sets.shape:
        raise ValueError(f"expected subjects and datasets of one shape (N,), got {people.shape} and {sets.shape}")
    if not len(people):
        raise ValueError("there are no samples to split")
    check_subjects(people, sets)
    return people, sets


def _by_dataset(people: NDArray[np.str_], sets: NDArray[np.str_]) -> list[tuple[str, list[str]]]:
    return [(name, sorted(set(people[sets == name].tolist()))) for name in sorted(set(sets.tolist()))]


def _rng(seed: int, *what: str) -> np.random.Generator:
    """A stream of its own for each dataset and fold, so that adding one dataset moves nobody of another."""
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
    sets: NDArray[np.str_],
    tested: set[str],
    validation: float,
    seed: int,
    name: str,
) -> Fold:
    test = np.isin(people, sorted(tested))
    held: set[str] = set()
    for dataset, own in _by_dataset(people[~test], sets[~test]):
        held |= _some(own, validation, _rng(seed, dataset, f"validation {index}"))
    held_out = np.isin(people, sorted(held)) if held else np.zeros(len(people), bool)
    return Fold(
        index,
        np.flatnonzero(~test & ~held_out),
        np.flatnonzero(held_out),
        np.flatnonzero(test),
        name,
    )
