"""Stage sequences as flat arrays: every position, and the stages of patterns that match there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.prototypes.pattern import check_kind, stage_relation
from fer_batch.prototypes.stages import LabelSet
from fer_batch.prototypes.support import Counts


@dataclass(frozen=True)
class Occurrences:
    """Where the stages of patterns occur.

    Attributes
    ----------
    stages
        The stage of each code.
    kind
        `contiguous` or `gapped`.
    first, end : shape (n_sequences,), int64
        Position where a sequence begins, and the one after its last.
    starts : shape (n_positions + 1,), int64
        First occurrence at each position.
    stage, position : shape (n_occurrences,), int64
        Code of the stage that matches, and where; by position.
    previous : shape (n_occurrences,), int64
        Position of the same stage before in the same sequence, -1 where there is none.
    """

    stages: list[LabelSet]
    kind: str
    first: Counts
    end: Counts
    starts: Counts
    stage: Counts
    position: Counts
    previous: Counts

    @classmethod
    def of(cls, sequences: Sequence[Sequence[LabelSet]], kind: str, relation: str, none_strict: bool) -> Occurrences:
        """Occurrences in sequences of stages.

        Parameters
        ----------
        sequences
            Label sets in order.
        kind, relation, none_strict
            See `patterns.common_patterns`.

        Raises
        ------
        InputError
            If the kind or the relation is not known.
        """
        check_kind(kind)
        within = stage_relation(relation, none_strict)
        codes: dict[LabelSet, int] = {}
        flat = np.array([codes.setdefault(stage, len(codes)) for one in sequences for stage in one], np.int64)
        stages = list(codes)
        end = np.cumsum([len(one) for one in sequences], dtype=np.int64)
        first = end - np.array([len(one) for one in sequences], np.int64)
        stage, position = flat, np.arange(len(flat))
        if relation == "subset":
            matching = [np.array([i for i, part in enumerate(stages) if within(part, whole)]) for whole in stages]
            n_matching = np.array([len(one) for one in matching], np.int64)
            position = np.repeat(position, n_matching[flat])
            stage = np.concatenate([matching[code] for code in flat]) if len(flat) else flat
        sequence = np.repeat(np.arange(len(sequences)), end - first)
        return cls(stages, kind, first, end, *_indexed(stage, position, sequence, len(flat)))

    def only(self, kept: NDArray[np.bool_]) -> Occurrences:
        """The same without the occurrences of some stages.

        Parameters
        ----------
        kept : shape (n_stages,), bool
        """
        chosen = kept[self.stage]
        codes = np.cumsum(kept) - 1
        return Occurrences(
            [stage for stage, keep in zip(self.stages, kept, strict=True) if keep],
            self.kind,
            self.first,
            self.end,
            np.concatenate([[0], np.cumsum(chosen)])[self.starts],
            codes[self.stage[chosen]],
            self.position[chosen],
            self.previous[chosen],
        )

    def following(self, sequence: Counts, at: Counts) -> tuple[Counts, Counts, Counts]:
        """Occurrences by which a prefix can grow: (row of the prefix's ends, stage, position).

        Parameters
        ----------
        sequence, at : shape (n,), int64
            Where the prefix ends, sorted: its earliest end in each sequence for gapped patterns, for contiguous ones
            all.

        Returns
        -------
        three arrays of shape (m,), int64
        """
        low = self.starts[at + 1]
        last = self.end[sequence]
        high = self.starts[last if self.kind == "gapped" else np.minimum(at + 2, last)]
        n = np.maximum(high - low, 0)
        row = np.repeat(np.arange(len(at)), n)
        event = np.arange(len(row)) + np.repeat(low - (np.cumsum(n) - n), n)
        if self.kind == "gapped":  # the earliest end leaves most to grow into
            earliest = self.previous[event] <= at[row]
            row, event = row[earliest], event[earliest]
        return row, self.stage[event], self.position[event]


def _indexed(stage: Counts, position: Counts, sequence: Counts, n_positions: int) -> tuple[Counts, ...]:
    order = np.lexsort((position, stage, sequence[position]))
    same = (np.diff(stage[order]) == 0) & (np.diff(sequence[position[order]]) == 0)
    previous = np.full(len(stage), -1, np.int64)
    previous[order[1:][same]] = position[order[:-1][same]]
    starts = np.searchsorted(position, np.arange(n_positions + 1))
    return starts, stage, position, previous
