"""What stories have in common: longest and frequent sub-sequences of stages (methods TP-10)."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fer_batch import registry, types
from fer_batch.prototypes.stages import LabelSet
from fer_batch.prototypes.temporal import included, prototype_text, stage_included

Story = tuple[LabelSet, ...]

KINDS = ("contiguous", "gapped")
RELATIONS = ("equal", "subset")
ALL = "all"


@dataclass(frozen=True)
class Pattern:
    """A sub-sequence that several stories share.

    Attributes
    ----------
    story
        Its stages.
    kind
        `contiguous` or `gapped`.
    support
        Stories that have it; how often one has it does not count.
    maximal
        No longer pattern of the same kind that was found has it as a part.
    """

    story: Story
    kind: str
    support: int
    maximal: bool

    @property
    def text(self) -> str:
        """The stages as text."""
        return prototype_text(self.story)


def _relation(relation: str, none_strict: bool) -> Callable[[LabelSet, LabelSet], bool]:
    if relation not in RELATIONS:
        raise types.InputError(f"unknown relation {relation!r}; {registry.nearest(relation, RELATIONS)}")
    if relation == "equal":
        return lambda part, whole: part == whole
    return lambda part, whole: stage_included(part, whole, none_strict=none_strict)


def longest_common(
    first: Sequence[LabelSet],
    second: Sequence[LabelSet],
    *,
    kind: str = "gapped",
    relation: str = "equal",
    none_strict: bool = True,
) -> Story:
    """Longest common sub-sequence of stages of two stories.

    Parameters
    ----------
    kind
        `gapped` allows other stages between; `contiguous` does not.
    relation
        `equal` stages, or `subset`: one of the two includes the other, and the smaller is taken.

    Returns
    -------
    Story
        The earliest in `first` of equally long ones.
    """
    if kind not in KINDS:
        raise types.InputError(f"unknown kind {kind!r}; {registry.nearest(kind, KINDS)}")
    within = _relation(relation, none_strict)
    n, m = len(first), len(second)
    # length[i, j]: best for the tails from i and j; contiguous ones must begin exactly there
    length = np.zeros((n + 1, m + 1), dtype=np.int64)
    alike = np.array([[within(a, b) or within(b, a) for b in second] for a in first], dtype=bool).reshape(n, m)
    for i, j in itertools.product(reversed(range(n)), reversed(range(m))):
        if alike[i, j]:
            length[i, j] = length[i + 1, j + 1] + 1
        elif kind == "gapped":
            length[i, j] = max(length[i + 1, j], length[i, j + 1])
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


def common_patterns(
    stories: Sequence[Sequence[LabelSet]],
    min_support: int,
    *,
    kind: str = "contiguous",
    max_length: int = 6,
    relation: str = "equal",
    none_strict: bool = True,
    maximal_only: bool = False,
    max_patterns: int = 20_000,
) -> list[Pattern]:
    """All sub-sequences of at most `max_length` stages that at least `min_support` stories have.

    Prefixes grow stage by stage, each carrying where it ends in the stories that have it (PrefixSpan; Pei et al. 2004);
    a prefix that is too rare is not grown, since nothing longer can be more frequent. Long stories have more gapped
    sub-sequences than can be listed, so patterns grow length by length and stop before `max_patterns`.

    Parameters
    ----------
    stories
        Label sets in order.
    kind
        `contiguous` or `gapped`.
    relation
        `equal`: a stage of a pattern occurs as it is. `subset`: it is included in a stage; candidates are the stages
        that occur.
    maximal_only
        Leave out patterns that are part of a longer one.
    max_patterns
        Where patterns of one more stage would exceed it, none of that length is listed.

    Returns
    -------
    list of Pattern
        By falling support, then rising length, then text.
    """
    if kind not in KINDS:
        raise types.InputError(f"unknown kind {kind!r}; {registry.nearest(kind, KINDS)}")
    if min_support < 1 or max_length < 1:
        raise types.InputError(f"min_support and max_length must be at least 1, got {min_support} and {max_length}")
    within = _relation(relation, none_strict)
    alphabet = list(dict.fromkeys(stage for story in stories for stage in story))
    matching = {
        stage: [stage] if relation == "equal" else [part for part in alphabet if within(part, stage)]
        for stage in alphabet
    }
    candidates = [[matching[stage] for stage in story] for story in stories]

    def next_stages(ends: dict[int, list[int]]) -> dict[LabelSet, dict[int, list[int]]]:
        """Every stage that can follow, with where it then ends in each story."""
        following: dict[LabelSet, dict[int, list[int]]] = {}
        for number, at in ends.items():
            story = candidates[number]
            if kind == "contiguous":
                for position in at:
                    for part in story[position + 1] if position + 1 < len(story) else ():
                        following.setdefault(part, {}).setdefault(number, []).append(position + 1)
            else:
                for position in range(at[0] + 1, len(story)):
                    for part in story[position]:  # the earliest end leaves most to grow into
                        following.setdefault(part, {}).setdefault(number, [position])
        return following

    found: dict[Story, int] = {}
    starts = {number: [-1] if kind == "gapped" else [*range(-1, len(story))] for number, story in enumerate(stories)}
    level: dict[Story, dict[int, list[int]]] = {(): starts}
    for length in range(1, max_length + 1):
        grown: dict[Story, dict[int, list[int]]] = {}
        for prefix, ends in level.items():
            for stage, ended in next_stages(ends).items():
                if len(ended) >= min_support:
                    grown[(*prefix, stage)] = ended
            if length > 1 and len(found) + len(grown) > max_patterns:
                grown = {}
                break
        found.update((story, len(ended)) for story, ended in grown.items())
        level = grown
    covered = _covered(found, kind, relation, none_strict)
    patterns = [Pattern(story, kind, support, story not in covered) for story, support in found.items()]
    patterns.sort(key=lambda pattern: (-pattern.support, len(pattern.story), pattern.text))
    return [pattern for pattern in patterns if pattern.maximal or not maximal_only]


def _covered(found: dict[Story, int], kind: str, relation: str, none_strict: bool) -> set[Story]:
    """Patterns that are part of another one."""
    if relation == "subset":
        mode = "contiguous" if kind == "contiguous" else "subsequence"
        return {
            part
            for part, whole in itertools.permutations(found, 2)
            if len(part) <= len(whole) and included(part, whole, mode=mode, none_strict=none_strict)
        }
    # Every part of a frequent pattern is frequent, so it suffices to take one stage away.
    covered: set[Story] = set()
    for story in found:
        removable = (0, len(story) - 1) if kind == "contiguous" else range(len(story))
        covered.update(story[:i] + story[i + 1 :] for i in removable if len(story) > 1)
    return covered


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
        Share of the group that has it over the share of all that have it; NaN for `all`.
    p_value
        Chance of at least that support if group names were dealt out at random; NaN for `all`.
    q_value
        The same after Benjamini and Hochberg, over all groups and patterns of one call.
    """

    group: str
    pattern: Pattern
    lift: float
    p_value: float
    q_value: float


def mine(
    stories: Sequence[Sequence[LabelSet]],
    groups: Sequence[Hashable | None],
    *,
    min_support: int = 2,
    kinds: Iterable[str] = KINDS,
    max_length: int = 6,
    relation: str = "equal",
    none_strict: bool = True,
    max_patterns: int = 20_000,
) -> list[GroupPattern]:
    """Frequent patterns of all stories and of each group, with how typical they are of it.

    Parameters
    ----------
    stories, groups
        Label sets, and the group of each story; None where it has none, which counts among all only.
    min_support
        Stories of a group that must have a pattern.
    kinds, max_length, relation, none_strict, max_patterns
        See `common_patterns`.

    Notes
    -----
    The p-value is that of the permutation test that deals the group names out again, one-sided; for the presence of a
    pattern its null distribution is hypergeometric, so it is exact and needs no draws. It takes stories as
    exchangeable: with many sequences of few subjects it is too small.
    """
    if len(stories) != len(groups):
        raise ValueError(f"expected one group per story, got {len(groups)} for {len(stories)} stories")
    sizes = Counter(group for group in groups if group is not None)
    rows: list[tuple[str, Pattern, float, float]] = []
    for kind in kinds:
        frequent = functools.partial(
            common_patterns, kind=kind, relation=relation, none_strict=none_strict, max_patterns=max_patterns
        )
        patterns = frequent(stories, min_support, max_length=max_length)
        longest = max((len(pattern.story) for pattern in patterns), default=1)
        overall = {pattern.story: pattern.support for pattern in patterns}
        rows += [(ALL, pattern, math.nan, math.nan) for pattern in patterns]
        for group, size in sorted(sizes.items(), key=lambda item: str(item[0])):
            members = [story for story, name in zip(stories, groups, strict=True) if name == group]
            for pattern in frequent(members, min_support, max_length=longest):
                everywhere = overall[pattern.story]
                lift = (pattern.support / size) / (everywhere / len(stories))
                p_value = float(stats.hypergeom.sf(pattern.support - 1, len(stories), everywhere, size))
                rows.append((str(group), pattern, lift, p_value))
    q_values = benjamini_hochberg([row[3] for row in rows])
    return [GroupPattern(*row, q_value=float(q)) for row, q in zip(rows, q_values, strict=True)]


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Smallest false discovery rate at which each hypothesis is rejected (Benjamini & Hochberg 1995).

    Parameters
    ----------
    p_values : shape (m,)
        NaN where nothing was tested, which stays NaN and does not count.
    """
    p = np.asarray(p_values, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    if len(order):
        scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
        q[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return q
