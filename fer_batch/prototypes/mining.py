"""The search for patterns: every one that enough stories have, its support by group, and what it is a part of.

Contiguous patterns of equal stages are found length by length, all others prefix by prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch import registry, types
from fer_batch.prototypes.stages import LabelSet
from fer_batch.prototypes.temporal import prototype_text, stage_included

Story = tuple[LabelSet, ...]

KINDS = ("contiguous", "gapped")
RELATIONS = ("equal", "subset")
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


def inclusion(relation: str, none_strict: bool) -> Callable[[LabelSet, LabelSet], bool]:
    """Whether a stage of a pattern matches a stage of a story.

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


@dataclass(frozen=True)
class Needed:
    """How supports are counted, and which are enough. No group's own support decides: see `patterns.mine`.

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
class Mined:
    """Patterns of one kind.

    Attributes
    ----------
    supports : shape (n, n_groups + 2)
        See `Needed.supports`.
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


def mined(
    stories: Sequence[Sequence[LabelSet]],
    kind: str,
    relation: str,
    none_strict: bool,
    needed: Needed,
    max_length: int,
    max_patterns: int,
) -> Mined:
    """Patterns of one kind that are frequent; see `patterns.common_patterns` for how long they become."""
    events = _Events.of(stories, kind, relation, none_strict)
    if kind == "contiguous" and relation == "equal":
        return _runs(events, needed, max_length, max_patterns)
    story = np.searchsorted(events.end, events.position, "right")
    pairs = np.unique(np.column_stack([events.stage, story]), axis=0)
    frequent = needed.enough(needed.supports(pairs[:, 0], pairs[:, 1], len(events.stages)))
    events = events.only(frequent)
    levels, longest, complete = _grown(events, needed, max_length, max_patterns)
    # Between a pattern and any larger one lie steps of one stage, all of them frequent: one step down is enough.
    includes = relation == "subset"
    smaller = _covers(events.stages, inclusion(relation, none_strict)) if includes else [[] for _ in events.stages]
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
    return Mined(kind, told, supports, longer, settled, longest)


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
        within = inclusion(relation, none_strict)
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


def _runs(events: _Events, needed: Needed, max_length: int, limit: int) -> Mined:
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
    return Mined(
        events.kind,
        stories,
        np.concatenate(supports),
        np.concatenate(longer),
        np.ones(len(stories), bool),
        longest,
    )


def _grown(
    events: _Events, needed: Needed, max_length: int, limit: int
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
