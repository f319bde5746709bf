"""Patterns: sub-sequences of stages with their support, and what relates a stage of a pattern to one of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch import registry, types
from fer_batch.prototypes.stages import LabelSet
from fer_batch.prototypes.support import Counts
from fer_batch.prototypes.temporal import StageSequence, prototype_text, stage_included

KINDS = ("contiguous", "gapped")
RELATIONS = ("equal", "subset")


@dataclass(frozen=True)
class Pattern:
    """A sub-sequence of stages that several temporal prototypes share.

    Attributes
    ----------
    stages
        Its label sets in order.
    kind
        `contiguous` or `gapped`.
    support
        Sequences that have it; how often one has it does not count.
    maximal, closed
        No longer pattern of the kind has it as a part; none that does has the same support. None where patterns of one
        more stage are too many to know.
    """

    stages: StageSequence
    kind: str
    support: int
    maximal: bool | None
    closed: bool | None

    @property
    def text(self) -> str:
        """The stages as text."""
        return prototype_text(self.stages)


@dataclass(frozen=True)
class MinedPatterns:
    """Frequent patterns of one kind.

    Attributes
    ----------
    kind
        `contiguous` or `gapped`.
    stages
        Label sets of each of the n patterns.
    supports : shape (n, n_groups + 2), int64
        See `SupportThresholds.supports`.
    longer : shape (n, n_groups + 2), int64
        Highest support of the frequent patterns that have it as a part; 0 where there is none.
    settled : shape (n,), bool
        Whether all of those were looked at.
    longest
        Stages up to which every pattern is listed.
    """

    kind: str
    stages: list[StageSequence]
    supports: Counts
    longer: Counts
    settled: NDArray[np.bool_]
    longest: int

    def rows(self, column: int, threshold: int) -> list[tuple[int, Pattern]]:
        """Patterns that a column of `supports` has often enough and their rows, by falling support, length, text.

        Parameters
        ----------
        column
            Of `supports`; -1 for all sequences.
        threshold
            Least support.
        """
        chosen = np.flatnonzero(self.supports[:, column] >= threshold)
        found = []
        for row in chosen.tolist():
            support, longer = int(self.supports[row, column]), int(self.longer[row, column])
            unknown = None if not self.settled[row] else True
            maximal = False if longer >= threshold else unknown
            closed = False if longer == support else unknown
            found.append((row, Pattern(self.stages[row], self.kind, support, maximal, closed)))
        return sorted(found, key=lambda item: (-item[1].support, len(item[1].stages), item[1].text))

    def patterns(self, column: int, threshold: int) -> list[Pattern]:
        """The same without the rows."""
        return [pattern for _, pattern in self.rows(column, threshold)]


def check_kind(kind: str) -> None:
    """Refuse a kind of pattern that there is not.

    Raises
    ------
    InputError
        Names the nearest one.
    """
    if kind not in KINDS:
        raise types.InputError(f"unknown kind {kind!r}; {registry.nearest(kind, KINDS)}")


def stage_relation(relation: str, none_strict: bool) -> Callable[[LabelSet, LabelSet], bool]:
    """Whether a stage of a pattern matches a stage of a sequence (methods TP-10).

    Parameters
    ----------
    relation
        `equal`, or `subset`: the pattern's stage is included in the other.
    none_strict
        See `temporal.stage_included`.

    Raises
    ------
    InputError
        If the relation is not known.
    """
    if relation not in RELATIONS:
        raise types.InputError(f"unknown relation {relation!r}; {registry.nearest(relation, RELATIONS)}")
    if relation == "equal":
        return lambda part, whole: part == whole
    return lambda part, whole: stage_included(part, whole, none_strict=none_strict)
