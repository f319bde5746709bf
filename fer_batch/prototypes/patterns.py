"""What stories have in common: longest and frequent sub-sequences of stages (methods TP-10).

A *pattern* is a sub-sequence of stages that enough stories have. It is *maximal* where no longer pattern has it as a
part, and *closed* where none that has it as a part occurs in as many stories: closed patterns tell all that there is to
tell, maximal ones only how far it goes. Every maximal pattern is closed.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from fer_batch import registry, types
from fer_batch.prototypes.stages import LabelSet
from fer_batch.prototypes.temporal import prototype_text, stage_included

Story = tuple[LabelSet, ...]

KINDS = ("contiguous", "gapped")
RELATIONS = ("equal", "subset")
ALL = "all"
_Codes = tuple[int, ...]
_Counts = NDArray[np.int64]


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
    maximal, closed
        No longer pattern of the kind has it as a part; none that does has the same support. None where patterns of one
        more stage are too many to know.
    """

    story: Story
    kind: str
    support: int
    maximal: bool | None
    closed: bool | None

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
    """Sub-sequences that at least `min_support` stories have: all of at most `max_length` stages, and long runs.

    Contiguous patterns of equal stages are followed to the longest; of those beyond `max_length` the closed ones are
    listed, which the others are parts of. Other patterns have too many parts for that: they end at `max_length`, and
    are said to be maximal or closed where those of one more stage prove it.

    Parameters
    ----------
    stories
        Label sets in order.
    kind
        `contiguous` or `gapped`.
    max_length
        Stages up to which every pattern is listed.
    relation
        `equal`: a stage of a pattern occurs as it is. `subset`: it is included in a stage; candidates are the stages
        that occur.
    maximal_only
        Leave out patterns that are not known to be maximal.
    max_patterns
        `max_length` is lowered until no more than these are listed in full; single stages always are.

    Returns
    -------
    list of Pattern
        By falling support, then rising length, then text.
    """
    _check(min_support, max_length)
    needed = _Needed(np.zeros(len(stories), np.int64), 0, 1, min_support)
    found = _mined(stories, kind, relation, none_strict, needed, max_length, max_patterns)
    patterns = found.patterns(-1, min_support)
    return [pattern for pattern in patterns if pattern.maximal or not maximal_only]


def _check(min_support: int, max_length: int) -> None:
    if min_support < 1 or max_length < 1:
        raise types.InputError(f"min_support and max_length must be at least 1, got {min_support} and {max_length}")


@dataclass(frozen=True)
class _Needed:
    """How supports are counted, and which are enough. No group's own support decides: see `mine`.

    Attributes
    ----------
    group : shape (n_stories,)
        Number of each story's group; `n_groups` where it has none.
    labelled, all
        Support that is enough among the stories with a group, or among all.
    """

    group: _Counts
    n_groups: int
    labelled: int
    all: int

    @property
    def least(self) -> int:
        """Where fewer stories have a pattern, it is not enough."""
        return min(self.labelled, self.all) if self.n_groups else self.all

    def supports(self, code: _Counts, story: _Counts, n_codes: int) -> _Counts:
        """Stories that have each code, shape (n_codes, n_groups + 2): by group, of any group, and all.

        Parameters
        ----------
        code, story : shape (n,)
            Pairs, each once.
        """
        width = self.n_groups + 1
        cells = np.bincount(code * width + self.group[story], minlength=n_codes * width).reshape(n_codes, width)
        labelled = cells[:, :-1].sum(1)
        return np.column_stack([cells[:, :-1], labelled, labelled + cells[:, -1]])

    def enough(self, supports: _Counts) -> NDArray[np.bool_]:
        """Whether a pattern is frequent, by rows of `supports`."""
        return np.asarray((supports[..., -1] >= self.all) | (supports[..., -2] >= self.labelled))


@dataclass(frozen=True)
class _Mined:
    """Patterns of one kind.

    Attributes
    ----------
    supports : shape (n, n_groups + 2)
        See `_Needed.supports`.
    longer : shape (n, n_groups + 2)
        Highest support of the frequent patterns that have it as a part; 0 where there is none.
    settled : shape (n,)
        Whether all of those were looked at.
    longest
        Stages up to which every pattern is listed.
    """

    kind: str
    stories: list[Story]
    supports: _Counts
    longer: _Counts
    settled: NDArray[np.bool_]
    longest: int

    def rows(self, column: int, threshold: int) -> list[tuple[int, Pattern]]:
        """Patterns that a column has often enough and their rows, by falling support, rising length, text."""
        chosen = np.flatnonzero(self.supports[:, column] >= threshold)
        found = []
        for row in chosen.tolist():
            support, longer = int(self.supports[row, column]), int(self.longer[row, column])
            unknown = None if not self.settled[row] else True
            maximal = False if longer >= threshold else unknown
            closed = False if longer == support else unknown
            found.append((row, Pattern(self.stories[row], self.kind, support, maximal, closed)))
        return sorted(found, key=lambda item: (-item[1].support, len(item[1].story), item[1].text))

    def patterns(self, column: int, threshold: int) -> list[Pattern]:
        """The same without the rows."""
        return [pattern for _, pattern in self.rows(column, threshold)]


def _mined(
    stories: Sequence[Sequence[LabelSet]],
    kind: str,
    relation: str,
    none_strict: bool,
    needed: _Needed,
    max_length: int,
    max_patterns: int,
) -> _Mined:
    events = _Events.of(stories, kind, relation, none_strict)
    if kind == "contiguous" and relation == "equal":
        return _runs(events, needed, max_length, max_patterns)
    story = np.searchsorted(events.end, events.position, "right")
    pairs = np.unique(np.column_stack([events.stage, story]), axis=0)
    frequent = needed.enough(needed.supports(pairs[:, 0], pairs[:, 1], len(events.stages)))
    events = events.only(frequent)
    levels, longest, complete = _grown(events, needed, max_length, max_patterns)
    # what has a pattern as a part is enough in fewer stories: a part of one fewer stage or of one smaller is enough
    smaller = _covers(events.stages, _relation(relation, none_strict))
    listed = [codes for level in levels[:longest] for codes in level]
    number = {codes: row for row, codes in enumerate(listed)}
    width = needed.n_groups + 2
    supports = np.array([support for level in levels[:longest] for support in level.values()], np.int64)
    supports = supports.reshape(len(listed), width)
    longer = np.zeros_like(supports)
    for level in levels:
        for codes, support in level.items():
            for part in _parts(codes, kind, smaller):
                row = number.get(part)
                if row is not None:
                    np.maximum(longer[row], support, out=longer[row])
    settled = np.array([complete or len(codes) < longest for codes in listed], bool)
    told = [tuple(events.stages[code] for code in codes) for codes in listed]
    return _Mined(kind, told, supports, longer, settled, longest)


def _covers(stages: list[LabelSet], within: Callable[[LabelSet, LabelSet], bool]) -> list[list[int]]:
    """For each stage the largest of those that it properly includes."""
    found = []
    for whole in stages:
        parts = [i for i, part in enumerate(stages) if part != whole and within(part, whole)]
        found.append([i for i in parts if not any(i != j and within(stages[i], stages[j]) for j in parts)])
    return found


def _parts(codes: _Codes, kind: str, smaller: list[list[int]]) -> Iterator[_Codes]:
    """Patterns just below one: without one stage, or with the next smaller stage in the place of one."""
    for i in (0, len(codes) - 1) if kind == "contiguous" else range(len(codes)):
        yield codes[:i] + codes[i + 1 :]
    for i, code in enumerate(codes):
        yield from ((*codes[:i], part, *codes[i + 1 :]) for part in smaller[code])


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


def _runs(events: _Events, needed: _Needed, max_length: int, limit: int) -> _Mined:
    """Contiguous patterns of equal stages: all short ones, and the longer ones that are closed among all stories.

    One length after another: a run of n + 1 stages is named by the names of the two of n that it is made of, so a
    length costs as much as there are places where a frequent run begins. A pattern that is closed among the stories of
    a group is closed among all.
    """
    width = needed.n_groups + 2
    owner = np.repeat(np.arange(len(events.first)), events.end - events.first)
    name = events.stage  # of the run of `length` stages that begins at each position, -1 where none is frequent
    begins = np.arange(len(name))
    stories: list[Story] = []
    supports, longer = [np.zeros((0, width), np.int64)], [np.zeros((0, width), np.int64)]
    before: tuple[_Counts, _Counts, _Counts] | None = None  # of the length before: supports, longer, a place of each
    longest, length = max_length, 1

    def keep(length: int) -> None:
        nonlocal longest
        assert before is not None
        support, above, place = before
        if length > 1 and length <= longest and len(stories) + len(support) > limit:
            longest = length - 1
        chosen = np.flatnonzero((length <= longest) | (above[:, -1] < support[:, -1]))
        supports.append(support[chosen])
        longer.append(above[chosen])
        stories.extend(
            tuple(events.stages[code] for code in events.stage[at : at + length].tolist())
            for at in place[chosen].tolist()
        )

    while len(begins):
        key = name[begins]
        if length > 1:
            key = key * (name.max() + 1) + name[begins + 1]
        _, place, code = np.unique(key, return_index=True, return_inverse=True)
        place = begins[place]
        pairs = np.unique(code * len(events.first) + owner[begins])
        support = needed.supports(*np.divmod(pairs, len(events.first)), len(place))
        enough = needed.enough(support)
        if before is not None:
            for half in (name[place[enough]], name[place[enough] + 1]):
                np.maximum.at(before[1], half, support[enough])
            keep(length - 1)
        if not enough.any():
            break
        before = support[enough], np.zeros((int(enough.sum()), width), np.int64), place[enough]
        renamed = np.where(enough, np.cumsum(enough) - 1, -1)
        name = np.full(len(name), -1, np.int64)
        name[begins] = renamed[code]
        begins = begins[name[begins] >= 0]
        begins = begins[begins + length < events.end[owner[begins]]]
        begins = begins[name[begins + 1] >= 0]
        length += 1
    else:
        if before is not None:
            keep(length - 1)
    return _Mined(
        events.kind,
        stories,
        np.concatenate(supports),
        np.concatenate(longer),
        np.ones(len(stories), bool),
        longest,
    )


def _grown(
    events: _Events, needed: _Needed, max_length: int, limit: int
) -> tuple[list[dict[_Codes, _Counts]], int, bool]:
    """Supports by codes, by length: prefixes grow stage by stage (PrefixSpan; Pei et al. 2004), depth first.

    Each prefix carries where it ends in the stories that have it; one that is too rare is not grown, since nothing
    longer can be more frequent. Depth first, memory holds one branch.

    Returns
    -------
    levels
        Patterns of 1, 2, ... stages. The last length, one more than is listed, only tells what has a listed pattern
        as a part.
    longest
        Length to which all are listed.
    complete
        Whether the last level has all of its length.
    """
    levels: list[dict[_Codes, _Counts]] = [{} for _ in range(max_length + 1)]
    longest, complete, n_listed = max_length, True, 0
    if events.kind == "gapped":
        story, at = np.arange(len(events.first)), events.first - 1
    else:  # a contiguous pattern may begin anywhere
        story = np.repeat(np.arange(len(events.first)), events.end - events.first)
        at = np.arange(len(story)) - 1
    pending: list[tuple[_Codes, _Counts, _Counts]] = [((), story, at)]
    while pending:
        prefix, story, at = pending.pop()
        length = len(prefix) + 1
        if length > longest + complete:
            continue
        row, stage, position = events.following(story, at)
        if not len(stage):
            continue
        order = np.argsort(stage, kind="stable")
        stage, position, owner = stage[order], position[order], story[row[order]]
        bounds = np.concatenate([[0], np.flatnonzero(np.diff(stage)) + 1, [len(stage)]])
        n_ends = np.diff(bounds)
        likely = np.flatnonzero(n_ends >= needed.least)  # one end is one story or less
        for low, high in zip(bounds[likely].tolist(), bounds[likely + 1].tolist(), strict=True):
            own = owner[low:high]
            if events.kind == "contiguous":
                own = own[np.concatenate([[True], own[1:] != own[:-1]])]  # support counts stories, not occurrences
            if len(own) < needed.least:
                continue
            (support,) = needed.supports(np.zeros(len(own), np.int64), own, 1)
            if not needed.enough(support):
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
        Share of the group that has it over the share of all stories with a group that have it; NaN for `all`.
    p_value
        Chance of at least that support if group names were dealt out at random; NaN for `all`.
    q_value
        The same after Benjamini and Hochberg, over every group and pattern that was tested in one call.
    longest
        Stages up to which every pattern of the kind was looked for.
    """

    group: str
    pattern: Pattern
    lift: float
    p_value: float
    q_value: float
    longest: int


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
        Stories of a group that must have a pattern to be listed for it: so many, and this share of them. Patterns are
        looked for that so many of all stories with a group have, and this share of a group of mean size.
    kinds, max_length, relation, none_strict, max_patterns
        See `common_patterns`.

    Notes
    -----
    Which patterns are tested is decided by their support among all stories that have a group, never by that in one
    group, and each is tested for every group, listed there or not: what is chosen because a group has it often would
    seem typical of it. The p-value is that of the permutation test that deals the group names out again among the
    stories that have one, one-sided; for the presence of a pattern its null distribution is hypergeometric, so it is
    exact and needs no draws. A story without a group is no evidence against one, since it may belong to any: p and lift
    leave it out. The test takes stories as exchangeable: with many sequences of few subjects p is too small. With one
    group only there is nothing to compare, and p is 1.
    """
    if len(stories) != len(groups):
        raise ValueError(f"expected one group per story, got {len(groups)} for {len(stories)} stories")
    _check(min_support, max_length)
    sizes = Counter(group for group in groups if group is not None)
    names = sorted(sizes, key=str)
    number: dict[Hashable | None, int] = {name: i for i, name in enumerate(names)}
    n_labelled = sum(sizes.values())

    def least(n: float) -> int:
        return max(min_support, math.ceil(min_share * n))

    group = np.array([number.get(name, len(names)) for name in groups], np.int64)
    needed = _Needed(group, len(names), least(n_labelled / max(len(names), 1)), least(len(stories)))
    rows: list[tuple[str, Pattern, float, int, int]] = []
    tests: list[NDArray[np.float64]] = []  # p-values; a row knows the place of its own among them
    for kind in kinds:
        found = _mined(stories, kind, relation, none_strict, needed, max_length, max_patterns)
        rows += [(ALL, pattern, math.nan, -1, found.longest) for pattern in found.patterns(-1, needed.all)]
        everywhere = found.supports[:, -2]
        tested = everywhere >= needed.labelled
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


def upper_tail(at_least: ArrayLike, n_all: int, n_having: ArrayLike, n_drawn: int) -> NDArray[np.float64]:
    r"""Chance that `n_drawn` of `n_all` stories hold at least so many of the `n_having` that have something.

    .. math:: p = \sum_{j \ge k} \binom{K}{j} \binom{N - K}{n - j} / \binom{N}{n}

    The hypergeometric tail, summed upwards until terms are below e^-60 of the largest: as `scipy.stats.hypergeom.sf`,
    for many at once.

    Parameters
    ----------
    at_least, n_having : shape (m,), int
    """
    k, having = (np.asarray(values, np.int64) for values in (at_least, n_having))
    pairs, inverse = np.unique(np.column_stack([k, having]), axis=0, return_inverse=True)
    k, having = pairs[:, 0], pairs[:, 1]
    mean = n_drawn * having / n_all
    deviation = np.sqrt(mean * (1 - having / n_all))
    low = np.maximum(k, np.maximum(0, n_drawn - (n_all - having)))
    high = np.minimum(np.minimum(having, n_drawn), np.ceil(np.maximum(k, mean) + 12 * deviation + 60).astype(np.int64))
    log_factorial = gammaln(np.arange(n_all + 1) + 1.0)

    def log_choose(n: _Counts, m: _Counts) -> NDArray[np.float64]:
        return np.asarray(log_factorial[n] - log_factorial[m] - log_factorial[n - m])

    total = log_factorial[n_all] - log_factorial[n_drawn] - log_factorial[n_all - n_drawn]
    p = np.zeros(len(k))
    n_terms = np.maximum(high - low + 1, 0)
    for begin in range(0, len(k), 4096):  # bounded memory
        part = slice(begin, begin + 4096)
        n = n_terms[part]
        row = np.repeat(np.arange(len(n)), n)
        j = np.arange(len(row)) + np.repeat(low[part] - (np.cumsum(n) - n), n)
        own = having[part][row]
        terms = np.exp(log_choose(own, j) + log_choose(n_all - own, n_drawn - j) - total)
        p[part] = np.bincount(row, terms, len(n))
    return np.asarray(np.minimum(p, 1.0)[inverse.reshape(-1)])


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
