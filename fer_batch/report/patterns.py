"""The page of stories that recur: whole temporal prototypes, and the sub-sequences that a class shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from fer_batch.report.page import Picture, PictureFile, Query, RunSummary, page, picture_file, slug, visible

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
        return f"index.html#story={_quoted(self.text)}"


@dataclass(frozen=True)
class PatternRow:
    """A gapped pattern of table `patterns`.

    Attributes
    ----------
    share
        Its support over the size of the group.
    at_once
        Sequences in which its stages follow each other at once; None where too few for the table.
    """

    group: str | None
    text: str
    support: int
    share: float
    at_once: int | None = None
    lift: float | None = None
    p_value: float | None = None
    q_value: float | None = None

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
        return f"index.html#{emotion}kind={kind}&pattern={_quoted(self.text)}"


@dataclass(frozen=True)
class PatternGroup:
    """One emotion, or all sequences.

    Attributes
    ----------
    name
        None stands for all.
    n_stories
        Sequences of the group that show a face.
    gallery
        Small multiples of its commonest temporal prototypes.
    commonest, typical
        Its patterns by support, and those that it has more often than others do.
    """

    name: str | None
    n_stories: int
    gallery: Picture | None = None
    commonest: tuple[PatternRow, ...] = ()
    typical: tuple[PatternRow, ...] = ()

    @property
    def anchor(self) -> str:
        """Id of its heading."""
        return "all" if self.name is None else f"group-{slug(self.name)}"


def patterns_files(
    summary: RunSummary,
    prototypes: tuple[PrototypeCount, ...],
    n_distinct: int,
    n_stories: int,
    groups: tuple[PatternGroup, ...],
    query: Query,
    without: tuple[str, ...] = (),
) -> Iterator[tuple[str, bytes]]:
    """The page and its pictures.

    Parameters
    ----------
    prototypes
        The commonest of `n_distinct` different ones in `n_stories` sequences.
    without
        Emotions of one sequence, which have no group.
    """
    galleries: dict[str, PictureFile] = {
        group.anchor: picture_file(f"pictures/gallery-{number}", group.gallery)
        for number, group in enumerate(groups, 1)
        if group.gallery is not None
    }
    yield from ((item.path, item.picture.content) for item in galleries.values())
    yield (
        FILE,
        page(
            "patterns.html",
            FILE,
            summary,
            prototypes=prototypes,
            n_distinct=n_distinct,
            n_stories=n_stories,
            groups=groups,
            galleries=galleries,
            query=query,
            without=without,
        ),
    )
