"""What stories have in common: longest and frequent sub-sequences of stages (methods TP-10)."""

from __future__ import annotations

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
    sub-sequences than can be listed, so the longest are given up until there are no more than `max_patterns`.

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
    _check(min_support, max_length)
    counts = _supports(
        _Events.of(stories, kind, relation, none_strict),
        np.zeros(len(stories), np.int64),
        np.array([min_support]),
        max_length,
        max_patterns,
    )
    found = {story: int(support.sum()) for story, support in counts.items()}
    patterns = _patterns(found, kind, relation, none_strict)
    return [pattern for pattern in patterns if pattern.maximal or not maximal_only]


def _check(min_support: int, max_length: int) -> None:
    if min_support < 1 or max_length < 1:
        raise types.InputError(f"min_support and max_length must be at least 1, got {min_support} and {max_length}")


def _patterns(found: dict[Story, int], kind: str, relation: str, none_strict: bool) -> list[Pattern]:
    """Patterns by falling support, then rising length, then text."""
    covered = _covered(found, kind, relation, none_strict)
    patterns = [Pattern(story, kind, support, story not in covered) for story, support in found.items()]
    return sorted(patterns, key=lambda pattern: (-pattern.support, len(pattern.story), pattern.text))


@dataclass(frozen=True)
class _Events:
    """Stories as flat arrays: every position of every story, and the stages that a pattern may match there.

    Attributes
    ----------
    stages
        The stage of each code.
    kind
        `contiguous` or `gapped`.
    first, end : shape (n_stories,)
        Position where a story begins, and the one after its last.
    starts : shape (n_positions + 1,)
        First event of each position.
    stage, position : shape (n_events,)
        Code of the stage that matches, and where; by position.
    previous : shape (n_events,)
        Position of the same stage before in the same story, -1 where there is none.
    """

    stages: list[LabelSet]
    kind: str
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    starts: NDArray[np.int64]
    stage: NDArray[np.int64]
    position: NDArray[np.int64]
    previous: NDArray[np.int64]

    @classmethod
    def of(cls, stories: Sequence[Sequence[LabelSet]], kind: str, relation: str, none_strict: bool) -> _Events:
        """Events of stories in order."""
        if kind not in KINDS:
            raise types.InputError(f"unknown kind {kind!r}; {registry.nearest(kind, KINDS)}")
        within = _relation(relation, none_strict)
        codes: dict[LabelSet, int] = {}
        flat = np.array([codes.setdefault(stage, len(codes)) for story in stories for stage in story], np.int64)
        stages = list(codes)
        end = np.cumsum([len(story) for story in stories], dtype=np.int64)
        first = end - np.array([len(story) for story in stories], np.int64)
        stage, position = flat, np.arange(len(flat))
        if relation == "subset":
            matching = [np.array([i for i, part in enumerate(stages) if within(part, whole)]) for whole in stages]
            n_matching = np.array([len(one) for one in matching], np.int64)
            position = np.repeat(position, n_matching[flat])
            stage = np.concatenate([matching[code] for code in flat]) if len(flat) else flat
        story = np.repeat(np.arange(len(stories)), end - first)
        return cls(stages, kind, first, end, *cls._index(stage, position, story, len(flat)))

    @staticmethod
    def _index(
        stage: NDArray[np.int64], position: NDArray[np.int64], story: NDArray[np.int64], n_positions: int
    ) -> tuple[NDArray[np.int64], ...]:
        order = np.lexsort((position, stage, story[position]))
        same = (np.diff(stage[order]) == 0) & (np.diff(story[position[order]]) == 0)
        previous = np.full(len(stage), -1, np.int64)
        previous[order[1:][same]] = position[order[:-1][same]]
        starts = np.searchsorted(position, np.arange(n_positions + 1))
        return starts, stage, position, previous

    def only(self, kept: NDArray[np.bool_]) -> _Events:
        """The same without the events of some stages."""
        chosen = kept[self.stage]
        codes = np.cumsum(kept) - 1
        return _Events(
            [stage for stage, keep in zip(self.stages, kept, strict=True) if keep],
            self.kind,
            self.first,
            self.end,
            np.concatenate([[0], np.cumsum(chosen)])[self.starts],
            codes[self.stage[chosen]],
            self.position[chosen],
            self.previous[chosen],
        )

    def following(
        self, story: NDArray[np.int64], at: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Events by which a prefix can grow: (row of the prefix's ends, stage, position).

        Parameters
        ----------
        story, at : shape (n,)
            Where the prefix ends, sorted: its earliest end in each story for gapped patterns, for contiguous ones all.
        """
        low = self.starts[at + 1]
        last = self.end[story]
        high = self.starts[last if self.kind == "gapped" else np.minimum(at + 2, last)]
        n = np.maximum(high - low, 0)
        row = np.repeat(np.arange(len(at)), n)
        event = np.arange(len(row)) + np.repeat(low - (np.cumsum(n) - n), n)
        if self.kind == "gapped":  # the earliest end leaves most to grow into
            earliest = self.previous[event] <= at[row]
            row, event = row[earliest], event[earliest]
        return row, self.stage[event], self.position[event]


def _supports(
    events: _Events,
    group: NDArray[np.int64],
    thresholds: NDArray[np.int64],
    max_length: int,
    max_patterns: int,
) -> dict[Story, NDArray[np.int64]]:
    """Support in each group of every pattern that is frequent in one of them or in all stories together.

    Parameters
    ----------
    group : shape (n_stories,)
        Number of each story's group; the last number is that of the stories without one.
    thresholds : shape (n_groups,)
        Support that a pattern needs in each group; the last is what it needs among all stories.
    """

    def grown(length: int, limit: int) -> dict[tuple[int, ...], NDArray[np.int64]] | None:
        return _grown(events, group, thresholds, length, limit)

    single = grown(1, len(events.stages)) or {}
    kept = np.zeros(len(events.stages), bool)
    kept[[codes[0] for codes in single]] = True
    events = events.only(kept)
    found = None
    for length in range(max_length, 1, -1):
        found = grown(length, max_patterns)
        if found is not None:
            break
    found = grown(1, len(events.stages)) or {} if found is None else found
    return {tuple(events.stages[code] for code in codes): support for codes, support in found.items()}


def _grown(
    events: _Events, group: NDArray[np.int64], thresholds: NDArray[np.int64], max_length: int, limit: int
) -> dict[tuple[int, ...], NDArray[np.int64]] | None:
    """Supports by codes, depth first, so that memory holds one branch; None where there are more than `limit`."""
    n_groups, rarest = len(thresholds), thresholds.min()
    found: dict[tuple[int, ...], NDArray[np.int64]] = {}
    if events.kind == "gapped":
        story, at = np.arange(len(events.first)), events.first - 1
    else:  # a contiguous pattern may begin anywhere
        story = np.repeat(np.arange(len(events.first)), events.end - events.first)
        at = np.arange(len(story)) - 1
    pending: list[tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.int64]]] = [((), story, at)]
    while pending:
        prefix, story, at = pending.pop()
        row, stage, position = events.following(story, at)
        if not len(stage):
            continue
        order = np.argsort(stage, kind="stable")
        stage, position, owner = stage[order], position[order], story[row[order]]
        bounds = np.concatenate([[0], np.flatnonzero(np.diff(stage)) + 1, [len(stage)]])
        n_ends = np.diff(bounds)
        likely = np.flatnonzero(n_ends >= rarest)  # one end is one story or less
        for low, high in zip(bounds[likely].tolist(), bounds[likely + 1].tolist(), strict=True):
            own = owner[low:high]
            if events.kind == "contiguous":
                own = own[np.concatenate([[True], own[1:] != own[:-1]])]  # support counts stories, not occurrences
            support = np.bincount(group[own], minlength=n_groups)
            if len(own) < thresholds[-1] and not (support[:-1] >= thresholds[:-1]).any():
                continue
            if len(found) >= limit:
                return None
            found[(*prefix, int(stage[low]))] = support
            if len(prefix) + 1 < max_length:
                pending.append(((*prefix, int(stage[low])), owner[low:high], position[low:high]))
    return found


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
    min_share: float = 0.0,
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
    min_support, min_share
        Stories of a group that must have a pattern: so many, and this share of them.
    kinds, max_length, relation, none_strict, max_patterns
        See `common_patterns`; `max_patterns` counts the different patterns of all groups together.

    Notes
    -----
    The p-value is that of the permutation test that deals the group names out again, one-sided; for the presence of a
    pattern its null distribution is hypergeometric, so it is exact and needs no draws. It takes stories as
    exchangeable: with many sequences of few subjects it is too small.
    """
    if len(stories) != len(groups):
        raise ValueError(f"expected one group per story, got {len(groups)} for {len(stories)} stories")
    _check(min_support, max_length)
    sizes = Counter(group for group in groups if group is not None)
    names = sorted(sizes, key=str)
    number: dict[Hashable | None, int] = {name: i for i, name in enumerate(names)}
    group = np.array([number.get(name, len(names)) for name in groups], np.int64)
    n_of = [*(sizes[name] for name in names), len(stories)]
    thresholds = np.array([max(min_support, math.ceil(min_share * n)) for n in n_of])
    rows: list[tuple[str, Pattern, float, float]] = []
    for kind in kinds:
        events = _Events.of(stories, kind, relation, none_strict)
        supports = _supports(events, group, thresholds, max_length, max_patterns)
        overall = {story: int(support.sum()) for story, support in supports.items()}
        frequent = {story: n for story, n in overall.items() if n >= thresholds[-1]}
        rows += [(ALL, pattern, math.nan, math.nan) for pattern in _patterns(frequent, kind, relation, none_strict)]
        for i, name in enumerate(names):
            own = {story: int(n[i]) for story, n in supports.items() if n[i] >= thresholds[i]}
            patterns = _patterns(own, kind, relation, none_strict)
            support = np.array([pattern.support for pattern in patterns])
            everywhere = np.array([overall[pattern.story] for pattern in patterns])
            lift = (support / sizes[name]) / (everywhere / len(stories))
            p_value = stats.hypergeom.sf(support - 1, len(stories), everywhere, sizes[name])
            rows += zip([str(name)] * len(patterns), patterns, lift.tolist(), p_value.tolist(), strict=True)
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
