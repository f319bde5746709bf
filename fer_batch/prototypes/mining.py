"""The search for patterns: every one that enough sequences have, its support by group, and what it is a part of.

Contiguous patterns of equal stages are found length by length, all others prefix by prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fer_batch.prototypes.growth import Codes, grown_patterns
from fer_batch.prototypes.occurrences import Occurrences
from fer_batch.prototypes.pattern import MinedPatterns, stage_relation
from fer_batch.prototypes.runs import frequent_runs
from fer_batch.prototypes.stages import LabelSet
from fer_batch.prototypes.support import Counts, SupportThresholds

_Levels = list[dict[Codes, Counts]]  # supports of patterns of 1, 2, ... stages


def mined_patterns(
    sequences: Sequence[Sequence[LabelSet]],
    thresholds: SupportThresholds,
    *,
    kind: str,
    relation: str,
    none_strict: bool,
    max_length: int,
    max_patterns: int,
) -> MinedPatterns:
    """Patterns of one kind that are frequent; see `patterns.common_patterns` for how long they become.

    Parameters
    ----------
    sequences
        Label sets in order.
    thresholds
        Groups of the sequences, and supports that are enough.
    kind, relation, none_strict, max_length, max_patterns
        See `patterns.common_patterns`.

    Raises
    ------
    InputError
        If the kind or the relation is not known.
    """
    occurrences = Occurrences.of(sequences, kind, relation, none_strict)
    if kind == "contiguous" and relation == "equal":
        return frequent_runs(occurrences, thresholds, max_length, max_patterns)
    owner = np.searchsorted(occurrences.end, occurrences.position, "right")
    pairs = np.unique(np.column_stack([occurrences.stage, owner]), axis=0)
    frequent = thresholds.enough(thresholds.supports(pairs[:, 0], pairs[:, 1], len(occurrences.stages)))
    occurrences = occurrences.only(frequent)
    levels, longest, complete = grown_patterns(occurrences, thresholds, max_length, max_patterns)
    # Between a pattern and any larger one lie steps of one stage, all of them frequent: one step down is enough.
    smaller: list[list[int]] = [[] for _ in occurrences.stages]
    if relation == "subset":
        smaller = _covers(occurrences.stages, stage_relation(relation, none_strict))
    listed = [codes for level in levels[:longest] for codes in level]
    supports, longer = _supports(levels, listed, longest, thresholds.n_groups + 2, kind, smaller)
    settled = np.array([complete or len(codes) < longest for codes in listed], bool)
    stages = [tuple(occurrences.stages[code] for code in codes) for codes in listed]
    return MinedPatterns(kind, stages, supports, longer, settled, longest)


def _supports(
    levels: _Levels, listed: list[Codes], longest: int, width: int, kind: str, smaller: list[list[int]]
) -> tuple[Counts, Counts]:
    """Supports of the listed patterns, and the highest of those that have each as a part; (n, width) both."""
    number = {codes: row for row, codes in enumerate(listed)}
    supports = np.array([support for level in levels[:longest] for support in level.values()], np.int64)
    supports = supports.reshape(len(listed), width)
    longer = np.zeros_like(supports)
    for level in levels:
        for codes, support in level.items():
            for part in _parts(codes, kind, smaller):
                row = number.get(part)
                if row is not None:
                    np.maximum(longer[row], support, out=longer[row])
    return supports, longer


def _covers(stages: list[LabelSet], within: Callable[[LabelSet, LabelSet], bool]) -> list[list[int]]:
    """For each stage the largest of those that it properly includes."""
    found = []
    for whole in stages:
        parts = [i for i, part in enumerate(stages) if part != whole and within(part, whole)]
        found.append([i for i in parts if not any(i != j and within(stages[i], stages[j]) for j in parts)])
    return found


def _parts(codes: Codes, kind: str, smaller: list[list[int]]) -> Iterator[Codes]:
    """Patterns just below one: without one stage, or with the next smaller stage in the place of one."""
    for i in (0, len(codes) - 1) if kind == "contiguous" else range(len(codes)):
        yield codes[:i] + codes[i + 1 :]
    for i, code in enumerate(codes):
        yield from ((*codes[:i], part, *codes[i + 1 :]) for part in smaller[code])
