"""The page of what recurs: whole temporal prototypes, and the sub-sequences that a class shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from fer_batch.report.page import Picture, PictureFile, Query, RunSummary, page, picture_file
from fer_batch.report.text import slug, visible

FILE = "patterns.html"


def _quoted(text: str) -> str:
    """Text as the index knows it, for the fragment of a link."""
    return quote(str(visible(text)), safe="")


@dataclass(frozen=True)
class PrototypeCount:
    """How many sequences have one temporal prototype, and of which emotions (most frequent first)."""

    text: str
    n_sequences: int
    emotions: tuple[tuple[str, int], ...] = ()

    @property
    def link(self) -> str:
        """The sequences that have it."""
        return f"index.html#prototype={_quoted(self.text)}"


@dataclass(frozen=True)
class PatternRow:
    """A pattern of table `patterns`.

    Attributes
    ----------
    support
        Sequences that have it, whatever lies between its stages; None for one too long to be looked for like that.
    share
        Support, or else `at_once`, over the size of the group.
    at_once
        Sequences in which its stages follow each other at once; None where too few for the table.
    """

    group: str | None
    text: str
    support: int | None
    share: float
    at_once: int | None = None
    lift: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    mined: str = "sequences"

    @property
    def link(self) -> str:
        """The sequences of the group that have it."""
        return self._link("gapped")

    @property
    def link_at_once(self) -> str:
        """Those that have it without other stages between."""
        return self._link("contiguous")

    def _link(self, kind: str) -> str:
        emotion = "" if self.group is None else f"emotion={_quoted(self.group)}&"
        mined = "mined=episodes&" if self.mined == "episodes" else ""
        return f"index.html#{emotion}{mined}kind={kind}&pattern={_quoted(self.text)}"


@dataclass(frozen=True)
class PatternGroup:
    """One emotion, or all sequences.

    Attributes
    ----------
    name
        None stands for all.
    n_sequences
        Sequences of the group that show a face.
    gallery
        Small multiples of its commonest temporal prototypes.
    commonest, typical
        Its patterns by support, and those that it has more often than others do.
    """

    name: str | None
    n_sequences: int
    gallery: Picture | None = None
    commonest: tuple[PatternRow, ...] = ()
    typical: tuple[PatternRow, ...] = ()


@dataclass(frozen=True)
class PatternsPart:
    """The temporal prototypes of a partition and their patterns, with the letters of clusters or without.

    Attributes
    ----------
    letters
        With the letters of clusters, or by which targets are active alone.
    n_sequences
        Sequences with a temporal prototype.
    prototypes
        The commonest of `n_distinct` different ones, of which `n_recurring` occur twice or more.
    longest
        Stages up to which every pattern was looked for; None where nothing was.
    mined
        `sequences`, or `episodes`: the temporal prototypes of episodes, counted by the sequences that have them.
    looks
        With looks in the place of letters.
    """

    letters: bool
    n_sequences: int
    prototypes: tuple[PrototypeCount, ...]
    n_distinct: int
    n_recurring: int
    groups: tuple[PatternGroup, ...]
    longest: int | None = None
    mined: str = "sequences"
    looks: bool = False

    @property
    def of_episodes(self) -> bool:
        """Whether its temporal prototypes are those of episodes."""
        return self.mined == "episodes"

    @property
    def title(self) -> str:
        """Its heading."""
        words = "with letters of clusters" if self.letters else "with looks" if self.looks else "what is active"
        return f"Episodes: {words}" if self.of_episodes else words.capitalize()

    @property
    def anchor(self) -> str:
        """Id of its heading."""
        own = "letters" if self.letters else "looks" if self.looks else "active"
        return f"episodes-{own}" if self.of_episodes else own

    def anchor_of(self, group: PatternGroup) -> str:
        """Id of the heading of a group."""
        return f"{self.anchor}-all" if group.name is None else f"{self.anchor}-group-{slug(group.name)}"


def patterns_files(
    summary: RunSummary,
    parts: tuple[PatternsPart, ...],
    typical_q: float,
    query: Query,
    without: tuple[str, ...] = (),
    included: bool = False,
) -> Iterator[tuple[str, bytes]]:
    """The page and its pictures.

    Parameters
    ----------
    typical_q
        Greatest q of a pattern that is called typical.
    without
        Emotions of one sequence, which have no group.
    included
        Whether a sequence has a pattern where its stages include those of the pattern; else where they equal them.
    """
    galleries: dict[str, PictureFile] = {}
    for part in parts:
        for group in part.groups:
            if group.gallery is not None:
                path = f"pictures/gallery-{len(galleries) + 1}"
                galleries[part.anchor_of(group)] = picture_file(path, group.gallery)
    yield from ((item.path, item.picture.content) for item in galleries.values())
    yield (
        FILE,
        page(
            "patterns.html",
            FILE,
            summary,
            parts=parts,
            galleries=galleries,
            included=included,
            typical_q=typical_q,
            query=query,
            without=without,
        ),
    )
