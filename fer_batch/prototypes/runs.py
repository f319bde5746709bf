"""Contiguous patterns of equal stages, found length by length."""

from __future__ import annotations

import numpy as np

from fer_batch.prototypes.occurrences import Occurrences
from fer_batch.prototypes.pattern import MinedPatterns
from fer_batch.prototypes.support import Counts, SupportThresholds
from fer_batch.prototypes.temporal import StageSequence

_Level = tuple[Counts, Counts, Counts]  # runs of one length: supports, longer, a place of each


def frequent_runs(
    occurrences: Occurrences, thresholds: SupportThresholds, max_length: int, limit: int
) -> MinedPatterns:
    """All short runs of stages that are frequent, and the longer ones that are closed among all sequences.

    One length after another: a run of n + 1 stages is named by the names of the two of n that it is made of, so a
    length costs as much as there are places where a frequent run begins. A pattern that is closed among the sequences
    of a group is closed among all.

    Parameters
    ----------
    occurrences
        Of contiguous patterns of equal stages.
    thresholds
        Supports that are enough.
    max_length
        Stages up to which every run is listed.
    limit
        `max_length` is lowered until no more than these are listed in full.
    """
    found = _Found(occurrences, thresholds.n_groups + 2, max_length, limit)
    n_sequences = len(occurrences.first)
    owner = np.repeat(np.arange(n_sequences), occurrences.end - occurrences.first)
    name = occurrences.stage  # of the run of `length` stages that begins at each position, -1 where none is frequent
    begins = np.arange(len(name))
    level: _Level | None = None
    length = 1
    while len(begins):
        key = name[begins]
        if length > 1:
            key = key * (name.max() + 1) + name[begins + 1]
        _, place, code = np.unique(key, return_index=True, return_inverse=True)
        place = begins[place]
        pairs = np.unique(code * n_sequences + owner[begins])
        support = thresholds.supports(*np.divmod(pairs, n_sequences), len(place))
        enough = thresholds.enough(support)
        if level is not None:
            for half in (name[place[enough]], name[place[enough] + 1]):
                np.maximum.at(level[1], half, support[enough])
            found.add(length - 1, level)
        level = None
        if not enough.any():
            break
        level = support[enough], np.zeros((int(enough.sum()), support.shape[1]), np.int64), place[enough]
        renamed = np.where(enough, np.cumsum(enough) - 1, -1)
        name = np.full(len(name), -1, np.int64)
        name[begins] = renamed[code]
        begins = begins[name[begins] >= 0]
        begins = begins[begins + length < occurrences.end[owner[begins]]]
        begins = begins[name[begins + 1] >= 0]
        length += 1
    if level is not None:
        found.add(length - 1, level)
    return found.mined()


class _Found:
    """Collects runs by rising length."""

    def __init__(self, occurrences: Occurrences, width: int, max_length: int, limit: int) -> None:
        self._occurrences, self._longest, self._limit = occurrences, max_length, limit
        self._stages: list[StageSequence] = []
        self._supports, self._longer = [np.zeros((0, width), np.int64)], [np.zeros((0, width), np.int64)]

    def add(self, length: int, level: _Level) -> None:
        support, longer, place = level
        if 1 < length <= self._longest and len(self._stages) + len(support) > self._limit:
            self._longest = length - 1
        chosen = np.flatnonzero((length <= self._longest) | (longer[:, -1] < support[:, -1]))
        self._supports.append(support[chosen])
        self._longer.append(longer[chosen])
        stages, codes = self._occurrences.stages, self._occurrences.stage
        self._stages.extend(
            tuple(stages[code] for code in codes[at : at + length].tolist()) for at in place[chosen].tolist()
        )

    def mined(self) -> MinedPatterns:
        settled = np.ones(len(self._stages), bool)
        supports, longer = np.concatenate(self._supports), np.concatenate(self._longer)
        return MinedPatterns(self._occurrences.kind, self._stages, supports, longer, settled, self._longest)
