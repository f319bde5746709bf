"""What temporal prototypes have in common: longest and frequent sub-sequences of stages (methods TP-10).

A *pattern* is a sub-sequence of stages that enough sequences have. It is *maximal* where no longer pattern has it as a
part, and *closed* where none that has it as a part occurs in as many sequences: from the closed patterns every other
one and its support can be derived, from the maximal ones only which patterns are frequent. Every maximal pattern is
closed.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch import types
from fer_batch.prototypes.mining import mined_patterns
from fer_batch.prototypes.pattern import KINDS, Pattern, check_kind, stage_relation
from fer_batch.prototypes.significance import benjamini_hochberg, upper_tail
from fer_batch.prototypes.stages import LabelSet
from fer_batch.prototypes.support import SupportThresholds
from fer_batch.prototypes.temporal import StageSequence

ALL = "all"


def longest_common(
    first: Sequence[LabelSet],
    second: Sequence[LabelSet],
    *,
    kind: str = "gapped",
    relation: str = "equal",
    none_strict: bool = True,
) -> StageSequence:
    """Longest common sub-sequence of stages of two temporal prototypes (methods TP-10).

    Parameters
    ----------
    first, second
        Label sets in order.
    kind
        `gapped` allows other stages between; `contiguous` does not.
    relation
        `equal` stages, or `subset`: one of the two includes the other, and the smaller is taken.
    none_strict
        See `temporal.stage_included`.

    Returns
    -------
    StageSequence
        The earliest in `first` of equally long ones.

    Raises
    ------
    InputError
        If the kind or the relation is not known.
    """
    check_kind(kind)
    within = stage_relation(relation, none_strict)
    n, m = len(first), len(second)
    alike = np.array([[within(a, b) or within(b, a) for b in second] for a in first], dtype=bool).reshape(n, m)
    length = _common_lengths(alike, kind)
    i, j = divmod(int(length.argmax()), m + 1) if kind == "contiguous" else (0, 0)
    found = []
    while length[i, j]:
        if alike[i, j]:
            found.append(min(first[i], second[j], key=len))
            i, j = i + 1, j + 1
        elif length[i + 1, j] >= length[i, j + 1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def _common_lengths(alike: NDArray[np.bool_], kind: str) -> NDArray[np.int64]:
    """Longest common sub-sequence of the tails from every two stages; contiguous ones begin exactly there."""
    n, m = alike.shape
    length = np.zeros((n + 1, m + 1), dtype=np.int64)
    for i, j in itertools.product(reversed(range(n)), reversed(range(m))):
        if alike[i, j]:
            length[i, j] = length[i + 1, j + 1] + 1
        elif kind == "gapped":
            length[i, j] = max(length[i + 1, j], length[i, j + 1])
    return length


def common_patterns(
    sequences: Sequence[Sequence[LabelSet]],
    min_support: int,
    *,
    kind: str = "contiguous",
    max_length: int = 6,
    relation: str = "equal",
    none_strict: bool = True,
    maximal_only: bool = False,
    max_patterns: int = 20_000,
) -> list[Pattern]:
    """Sub-sequences that at least `min_support` sequences have: all of at most `max_length` stages, and long runs.

    Contiguous patterns of equal stages are followed to the longest; of those beyond `max_length` the closed ones are
    listed, which the others are parts of. Other patterns have too many parts for that: they end at `max_length`, and
    are said to be maximal or closed where those of one more stage prove it.

    Parameters
    ----------
    sequences
        Label sets in order, of each temporal prototype.
    min_support
        Least number of sequences that have a pattern.
    kind
        `contiguous` or `gapped`.
    max_length
        Stages up to which every pattern is listed.
    relation
        `equal`: a stage of a pattern occurs as it is. `subset`: it is included in a stage; candidates are the stages
        that occur.
    none_strict
        See `temporal.stage_included`.
    maximal_only
        Leave out patterns that are not known to be maximal.
    max_patterns
        `max_length` is lowered until no more than these are listed in full; single stages always are.

    Returns
    -------
    list of Pattern
        By falling support, then rising length, then text.

    Raises
    ------
    InputError
        If the kind or the relation is not known, or a number is less than 1.
    """
    _check(min_support, max_length)
    thresholds = SupportThresholds(np.zeros(len(sequences), np.int64), 0, 1, min_support)
    found = mined_patterns(
        sequences,
        thresholds,
        kind=kind,
        relation=relation,
        none_strict=none_strict,
        max_length=max_length,
        max_patterns=max_patterns,
    )
    patterns = found.patterns(-1, min_support)
    return [pattern for pattern in patterns if pattern.maximal or not maximal_only]


def _check(min_support: int, max_length: int) -> None:
    if min_support < 1 or max_length < 1:
        raise types.InputError(f"min_support and max_length must be at least 1, got {min_support} and {max_length}")


@dataclass(frozen=True)
class GroupPattern:
    """How typical a pattern is of one group.

    Attributes
    ----------
    group
        Its name, or `all`.
    pattern
        With its support in the group.
    lift
        Share of the group that has it over the share of all sequences with a group that have it; NaN for `all`.
    p_value
        Chance of at least that support if group names were assigned at random; NaN for `all`.
    q_value
        The same after Benjamini and Hochberg, over every group and pattern that was tested in one call.
    longest
        Stages up to which every frequent pattern of the kind is listed.
    """

    group: str
    pattern: Pattern
    lift: float
    p_value: float
    q_value: float
    longest: int


def _owner(n_sequences: int, n_groups: int, owners: Sequence[int] | None) -> NDArray[np.int64] | None:
    """Owners as an array, checked; None where every sequence is its own."""
    if owners is None:
        if n_sequences != n_groups:
            raise ValueError(f"expected one group per sequence, got {n_groups} for {n_sequences} sequences")
        return None
    owner = np.asarray(owners, np.int64)
    if len(owner) != n_sequences:
        raise ValueError(f"expected one owner per sequence, got {len(owner)} for {n_sequences} sequences")
    if len(owner) and not 0 <= owner.min() <= owner.max() < n_groups:
        raise ValueError(f"expected owners from 0 to {n_groups - 1}, got {owner.min()} to {owner.max()}")
    return owner


def mine(
    sequences: Sequence[Sequence[LabelSet]],
    groups: Sequence[Hashable | None],
    *,
    min_support: int = 2,
    min_share: float = 0.0,
    kinds: Iterable[str] = KINDS,
    max_length: int = 6,
    relation: str = "equal",
    none_strict: bool = True,
    max_patterns: int = 20_000,
    owners: Sequence[int] | None = None,
) -> list[GroupPattern]:
    """Frequent patterns of all sequences and of each group, with how typical they are of it (methods TP-10).

    Parameters
    ----------
    sequences, groups
        Label sets, and the group of each sequence; None where it has none, which counts among all only.
    min_support, min_share
        Sequences of a group that must have a pattern to be listed for it: so many, and this share of them. Patterns
        are looked for that so many of all sequences with a group have, and this share of a group of mean size.
    kinds, max_length, relation, none_strict, max_patterns
        See `common_patterns`.
    owners
        Number of what each sequence is a part of, from 0, such as the recording that an episode is of. `groups` are
        then those of the owners, and support counts owners: several episodes of a recording are not independent.

    Raises
    ------
    ValueError
        If there is not one group per sequence, or per owner; or an owner that has no group.
    InputError
        If a kind or the relation is not known, or a number is less than 1.

    Notes
    -----
    Which patterns are tested is decided by their support among all sequences that have a group, never by that in one
    group, and each is tested for every group, listed there or not: a pattern that is selected because one group has it
    often would seem typical of it. The p-value is that of the permutation test of the group names among the sequences
    that have one, one-sided; for the presence of a pattern its null distribution is hypergeometric, so it is exact and
    needs no draws. A sequence without a group is no evidence against one, since it may belong to any: p and lift leave
    it out. The test takes sequences as exchangeable: with many sequences of few subjects p is too small. With one group
    only there is nothing to compare, and p is 1.
    """
    owner = _owner(len(sequences), len(groups), owners)
    _check(min_support, max_length)
    sizes = Counter(group for group in groups if group is not None)
    names = sorted(sizes, key=str)
    number: dict[Hashable | None, int] = {name: i for i, name in enumerate(names)}
    n_labelled = sum(sizes.values())

    def least(n: float) -> int:
        return max(min_support, math.ceil(min_share * n))

    group = np.array([number.get(name, len(names)) for name in groups], np.int64)
    enough = least(n_labelled / max(len(names), 1)), least(len(groups))
    thresholds = SupportThresholds(group, len(names), *enough, owner=owner)
    rows: list[tuple[str, Pattern, float, int, int]] = []
    tests: list[NDArray[np.float64]] = []  # p-values; a row knows the place of its own among them
    for kind in kinds:
        found = mined_patterns(
            sequences,
            thresholds,
            kind=kind,
            relation=relation,
            none_strict=none_strict,
            max_length=max_length,
            max_patterns=max_patterns,
        )
        rows += [(ALL, pattern, math.nan, -1, found.longest) for pattern in found.patterns(-1, thresholds.all)]
        everywhere = found.supports[:, -2]
        tested = everywhere >= thresholds.labelled
        for i, name in enumerate(names):
            place = sum(map(len, tests)) + np.cumsum(tested) - 1
            tests.append(upper_tail(found.supports[tested, i], n_labelled, everywhere[tested], sizes[name]))
            lift = (found.supports[:, i] / sizes[name]) / (np.maximum(everywhere, 1) / n_labelled)
            rows += [
                (str(name), pattern, float(lift[row]), int(place[row]), found.longest)
                for row, pattern in found.rows(i, least(sizes[name]))
                if tested[row]
            ]
    p = np.concatenate([*tests, [np.nan]])  # the last is that of no test
    q = benjamini_hochberg(p)
    return [
        GroupPattern(name, pattern, lift, float(p[place]), float(q[place]), longest)
        for name, pattern, lift, place, longest in rows
    ]
