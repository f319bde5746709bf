"""Temporal prototypes in looks, which mean the same in every sequence, in the place of letters, which do not."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from fer_batch.prototypes.stages import Label, LabelSet, label_set
from fer_batch.prototypes.temporal import StageSequence


def look_name(number: int) -> str:
    """`@2`: what a look adds to the name of its target in texts.

    Raises
    ------
    ValueError
        If the number is not 1 or more.
    """
    if number < 1:
        raise ValueError(f"expected a look from 1, got {number}")
    return f"@{number}"


def in_looks(stages: Iterable[LabelSet], looks: Mapping[Label, int | None]) -> StageSequence:
    """Stages with the look of every cluster in the place of its letter, runs formed anew.

    Parameters
    ----------
    stages
        Label sets of one sequence in order, with the letters of its clusters.
    looks
        Look of each (target, letter) of the sequence. A cluster that has none leaves its target without a letter.

    Returns
    -------
    StageSequence
        Two clusters of a sequence may have one look: stages that only they tell apart are one.
    """

    def named(label: Label) -> Label:
        look = looks.get(label)
        return label[0], "" if look is None else look_name(look)

    renamed = (label_set(map(named, labels)) for labels in stages)
    return tuple(labels for labels, _ in itertools.groupby(renamed))
