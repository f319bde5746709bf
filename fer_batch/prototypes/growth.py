"""Patterns that grow prefix by prefix: gapped ones, and those whose stages are included in others."""

from __future__ import annotations

import numpy as np

from fer_batch.prototypes.occurrences import Occurrences
from fer_batch.prototypes.support import Counts, SupportThresholds

Codes = tuple[int, ...]  # of the stages of a pattern


def grown_patterns(
    occurrences: Occurrences, thresholds: SupportThresholds, max_length: int, limit: int
) -> tuple[list[dict[Codes, Counts]], int, bool]:
    """Supports by codes, by length: prefixes grow stage by stage, depth first.

    Each prefix carries where it ends in the sequences that have it; one that is too rare is not grown, since nothing
    longer can be more frequent. Depth first, memory holds one branch.

    Parameters
    ----------
    occurrences
        Of the stages that are frequent by themselves.
    thresholds
        Supports that are enough.
    max_length
        Stages up to which every pattern is listed.
    limit
        `max_length` is lowered until no more than these are listed in full; single stages always are.

    Returns
    -------
    levels
        Patterns of 1, 2, ... stages. The last length, one more than is listed, only shows what has a listed pattern
        as a part.
    longest
        Length to which all are listed.
    complete
        Whether the last level has all of its length.

    References
    ----------
    Pei et al. (2004), IEEE Trans. Knowledge and Data Engineering 16: PrefixSpan.
    """
    levels: list[dict[Codes, Counts]] = [{} for _ in range(max_length + 1)]
    longest, complete, n_listed = max_length, True, 0
    if occurrences.kind == "gapped":
        sequence, at = np.arange(len(occurrences.first)), occurrences.first - 1
    else:  # a contiguous pattern may begin anywhere
        sequence = np.repeat(np.arange(len(occurrences.first)), occurrences.end - occurrences.first)
        at = np.arange(len(sequence)) - 1
    pending: list[tuple[Codes, Counts, Counts]] = [((), sequence, at)]
    while pending:
        prefix, sequence, at = pending.pop()
        length = len(prefix) + 1
        if length > longest + complete:
            continue
        row, stage, position = occurrences.following(sequence, at)
        if not len(stage):
            continue
        order = np.argsort(stage, kind="stable")
        stage, position, owner = stage[order], position[order], sequence[row[order]]
        bounds = np.concatenate([[0], np.flatnonzero(np.diff(stage)) + 1, [len(stage)]])
        n_ends = np.diff(bounds)
        likely = np.flatnonzero(n_ends >= thresholds.least)  # one end is one sequence or less
        for low, high in zip(bounds[likely].tolist(), bounds[likely + 1].tolist(), strict=True):
            own = owner[low:high]
            if occurrences.kind == "contiguous":
                own = own[np.concatenate([[True], own[1:] != own[:-1]])]  # support counts sequences, not occurrences
            if len(own) < thresholds.least:
                continue
            (support,) = thresholds.supports(np.zeros(len(own), np.int64), own, 1)
            if not thresholds.enough(support):
                continue
            codes = (*prefix, int(stage[low]))
            levels[length - 1][codes] = support
            if length <= longest:
                n_listed += 1
                while n_listed > limit and longest > 1:
                    levels[longest].clear()
                    n_listed -= len(levels[longest - 1])
                    longest, complete = longest - 1, True
            if length <= longest:
                pending.append((codes, owner[low:high], position[low:high]))
            elif length == longest + 1 and len(levels[longest]) > 2 * limit:
                complete = False
                break
    return levels[: longest + 1], longest, complete
