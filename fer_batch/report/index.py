"""The index of a report: rows of sequences in files that the page loads when it needs them, and all that is counted.

Rows stream through: no more than one file of them is in memory. A file is a script that hands its rows over, because a
page from a folder may not fetch anything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fer_batch.report.index_rows import IndexRow, as_json, chunk
from fer_batch.report.page import DataTable, Picture, PictureFile, RunSummary, page, picture_file
from fer_batch.report.text import slug, visible

CHUNK_ROWS = 500
CHUNK_STAGES = 20_000
MAX_PROBLEMS = 2000
NO_FACE = "no face found"
NO_EMOTION = "none given"


@dataclass(frozen=True)
class Still:
    """One still: its picture if it shows a face, its annotated class, and a line of detail such as probabilities."""

    sequence_id: str
    picture: Picture | None
    truth: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class StillGroup:
    """Stills of one predicted class: how many there are, and those that are shown."""

    name: str
    n: int
    shown: tuple[Still, ...]


@dataclass(frozen=True)
class Problem:
    """An input that was not processed whole, with its status (partial, failed, skipped) and the reason."""

    sequence_id: str
    status: str
    reason: str | None


@dataclass(frozen=True)
class IndexContents:
    """What the index shows beside the sequences.

    Attributes
    ----------
    prototypes
        (text, sequences) of the commonest temporal prototypes, to choose from.
    colours
        (fill, edge, ink) of every label that occurs.
    stills
        Groups by predicted class.
    problems, n_problems
        Inputs that are not done, and how many there are.
    tables
        Further tables, such as evaluation.
    """

    prototypes: tuple[tuple[str, int], ...] = ()
    colours: Mapping[str, tuple[str, str, str]] | None = None
    stills: tuple[StillGroup, ...] = ()
    problems: tuple[Problem, ...] = ()
    n_problems: int = 0
    tables: tuple[DataTable, ...] = ()


@dataclass(frozen=True)
class _StillGroup:
    name: str
    n: int
    anchor: str
    pictures: tuple[tuple[Still, PictureFile | None], ...]


class Index:
    """Writes the index: first `row` for each sequence, then `pages` once.

    Parameters
    ----------
    summary
        What every page says.
    """

    def __init__(self, summary: RunSummary) -> None:
        self.summary = summary
        self._pending: list[IndexRow] = []
        self._n_stages = 0
        self._sizes: list[int] = []
        self._emotions: Counter[str] = Counter()
        self._targets: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._episodes = False

    def row(self, row: IndexRow, targets: Sequence[str] = ()) -> Iterator[tuple[str, bytes]]:
        """Take one sequence, whose stages show these targets; files that are full.

        Yields
        ------
        path, content
            Path relative to the report, forward slashes.
        """
        self._pending.append(row)
        self._n_stages += len(row.stages) + sum(len(episode.stages) for episode in row.episodes or ())
        self._emotions[row.emotion or NO_EMOTION] += 1
        self._targets.update(targets)
        self._episodes |= row.episodes is not None
        self._statuses[row.status if row.status != "done" or row.n_frames else NO_FACE] += 1
        if len(self._pending) >= CHUNK_ROWS or self._n_stages >= CHUNK_STAGES:
            yield from self._flush(last=False)

    def _flush(self, last: bool) -> Iterator[tuple[str, bytes]]:
        if not self._pending:
            return
        self._sizes.append(len(self._pending))
        number = len(self._sizes)
        yield f"data/sequences-{number}.js", chunk(number, self._pending)
        yield (
            f"list-{number}.html",
            page("list.html", f"list-{number}.html", self.summary, rows=self._pending, number=number, last=last),
        )
        self._pending, self._n_stages = [], 0

    def pages(self, contents: IndexContents) -> Iterator[tuple[str, bytes]]:
        """Pages of the index and the pictures on them.

        Yields
        ------
        path, content
            `index.html` comes last, so that it never links to what is not there.
        """
        if self._pending:
            yield from self._flush(last=True)
        elif self._sizes:  # the last file was full before anyone knew that it was the last
            yield f"list-{len(self._sizes) + 1}.html", self._end_of_list()
        stills = [_still_group(group, number) for number, group in enumerate(contents.stills, 1)]
        for shown in stills:
            yield from ((item.path, item.picture.content) for _, item in shown.pictures if item is not None)
        n = sum(self._sizes)
        sections = (
            ("sequences", "Sequences", bool(n)),
            ("stills", "Stills", bool(stills)),
            *((f"table-{i}", table.title, True) for i, table in enumerate(contents.tables, 1)),
            ("problems", "Partial, failed and skipped", True),
            ("model", "Model", True),
        )
        manifest = {
            "chunks": self._sizes,
            "colours": {str(visible(k)): v for k, v in (contents.colours or {}).items()},
            "noEmotion": NO_EMOTION,
            "noFace": NO_FACE,
        }
        yield (
            "index.html",
            page(
                "index.html",
                "index.html",
                self.summary,
                script="browse.js",
                data_folder=True,
                n_sequences=n,
                episodes=self._episodes,
                manifest=as_json(manifest),
                choices=(
                    ("emotion", "Emotion", _most_common(self._emotions)),
                    ("target", "Action Unit", sorted(self._targets.items())),
                    ("status", "Status", _most_common(self._statuses)),
                    ("prototype", "Temporal prototype", [*contents.prototypes]),
                ),
                contents=contents,
                stills=stills,
                problems=contents.problems[:MAX_PROBLEMS],
                tiles=_tiles(self.summary.counts),
                contents_of_page=[(anchor, name) for anchor, name, shown in sections if shown],
            ),
        )

    def _end_of_list(self) -> bytes:
        number = len(self._sizes) + 1
        return page("list.html", f"list-{number}.html", self.summary, rows=[], number=number, last=True)


def _most_common(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _still_group(group: StillGroup, number: int) -> _StillGroup:
    # A still may be in several groups, so the name of its file holds the number of the group.
    pictures = tuple(
        (
            still,
            None
            if still.picture is None
            else picture_file(f"pictures/{slug(still.sequence_id)}-still-{number}", still.picture),
        )
        for still in group.shown
    )
    return _StillGroup(group.name, group.n, f"class-{slug(group.name)}", pictures)


def _tiles(counts: Mapping[str, int]) -> list[tuple[str, int | None, str, str]]:
    """Name, number, explanation and tone of each count."""
    known = ("found", "done", "partial", "failed", "skipped", "already_done")
    found, done, partial, failed, skipped, already = (counts.get(name) for name in known)
    return [
        ("found", found, "inputs of the source", ""),
        ("done", done, "have rows in every table", ""),
        ("partial", partial or 0, "have rows, but less was read than is there", "bad" if partial else ""),
        ("failed", failed, "with a reason below", "bad" if failed else ""),
        ("skipped", skipped, "deliberately not processed", ""),
        ("of these, from earlier runs", already, "not computed again", ""),
    ]
