"""Whether the people that a network is judged on are people that it was trained on."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fer_batch.evaluate.verdict import two_digits


@dataclass(frozen=True)
class People:
    """The people of some inputs, as the model's card knows them.

    Attributes
    ----------
    known, new
        Trained on, and not.
    unnamed
        Inputs that name no subject and are not in the card's list themselves: nobody can know.
    by_name
        Whether some are held to be known because a person of another data set has their name.
    fold_f1
        By target, F1 that the training measured on people it had left out, mean over its folds; NaN where undefined.
    n_folds
        How many folds that were.
    """

    known: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()
    by_name: bool = False
    fold_f1: Mapping[str, float] = field(default_factory=dict)
    n_folds: int = 0

    @property
    def all_known(self) -> bool:
        """Nobody is new, as far as names say."""
        return bool(self.known) and not self.new and not self.unnamed

    @property
    def mean_fold_f1(self) -> float:
        """Over the targets that define one."""
        defined = [value for value in self.fold_f1.values() if not math.isnan(value)]
        return sum(defined) / len(defined) if defined else math.nan

    @property
    def warning(self) -> str:
        """What a reader must know before any figure; empty where nobody is known."""
        if not self.known:
            return ""
        n = len(self.known) + len(self.new)
        whom = f"{len(self.known):,} of the {n:,} people here{' who are named' if self.unnamed else ''}"
        if self.all_known:
            whom = "the only person here" if n == 1 else f"all {n:,} people here"
        said = [f"The network was trained on {whom}: F1 and mu are of faces it knows."]
        if self.by_name:
            said.append(
                "(Known by their names alone, as its training called the data set otherwise: they may be others.)"
            )
        if not math.isnan(self.mean_fold_f1):
            over = f"mean over {self.n_folds} folds" if self.n_folds > 1 else "the test part of its training"
            said.append(f"On new people, {over}: F1 {two_digits(self.mean_fold_f1)}.")
        return " ".join(said)

    @property
    def note(self) -> str:
        """What else there is to say; empty where there is nothing."""
        if self.unnamed:
            n = len(self.unnamed)
            which = "1 input names" if n == 1 else f"{n:,} inputs name"
            return f"{which} no subject, so whether the network was trained on the person is not known."
        if self.new and not self.known:
            n = len(self.new)
            return f"The card of the network names whom it was trained on: {_nobody(n)} here."
        return ""


def _nobody(n: int) -> str:
    return "not the person" if n == 1 else f"none of the {n:,} people"


def people_of(
    named: Iterable[str],
    unnamed: Iterable[str],
    dataset: str,
    trained: Collection[str],
    fold_f1: Mapping[str, float | None] | None = None,
    n_folds: int = 0,
) -> People:
    """Compare the people of a data set with those on a card.

    A training writes `dataset:subject`, with the data set as its job calls it; of inputs that name no subject,
    `dataset:input`. A run writes `dataset:subject` too where it reads a known data set (`ck_plus:S005`), and the plain
    `P001` of a list of clips. So somebody is known

    - under the very name that the card has, or under it with the run's data set before it (`posed` and `P001`);
    - with a plain name and a data set that the card does not have, also under the same name in any data set of the
      card: a run of the same clips may well be called otherwise. `by_name` then says that this is a guess.

    Parameters
    ----------
    named, unnamed
        Subjects, and the inputs that name none.
    dataset
        Of the run.
    trained
        The card's `trained_subjects`; where it is empty, nothing is known of anybody.
    fold_f1, n_folds
        As the card has them, None for what is undefined.
    """
    if not trained:
        return People()
    listed = set(trained)
    elsewhere = {name.partition(":")[2] for name in listed}
    foreign = dataset not in {name.partition(":")[0] for name in listed}

    def certain(name: str) -> bool:
        return name in listed or f"{dataset}:{name}" in listed

    def guessed(name: str) -> bool:
        return foreign and ":" not in name and name in elsewhere

    subjects, inputs = set(named), set(unnamed)
    sure = {name for name in subjects | inputs if certain(name)}
    known = sure | {name for name in subjects | inputs if guessed(name)}
    return People(
        frozenset(known),
        frozenset(subjects - known),
        frozenset(inputs - known),
        len(known) > len(sure),
        {target: math.nan if value is None else value for target, value in (fold_f1 or {}).items()},
        n_folds,
    )
