"""What a timeline shows and where, in frames: the layout that the figure and the SVG both draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NAME_CHARACTERS = 18


@dataclass(frozen=True)
class Timeline:
    """Labels of one sequence over its frames.

    Attributes
    ----------
    frames : shape (T,), int64, ascending
        Frame indices, as sampled.
    ok : shape (T,), bool
        Whether the frame had a usable face.
    targets
        Names of the rows.
    clusters
        One row per target, one entry per frame: None inactive, "" active without a letter, else the letter.
    stage_starts
        First frame of each stage.
    probability : shape (A, T), in [0, 1]
        NaN where unknown; None draws no curves.
    threshold
        From which probability on a target is active; None where that is not how it was decided.
    fps : Hz
        Of `frames`' numbering, where known.
    annotated : shape (A, T), bool
        Where ground truth says that the target occurs; None where there is no ground truth.
    episodes
        First and last frame of each episode; these are numbered then, and not the stages.
    """

    frames: NDArray[np.int64]
    ok: NDArray[np.bool_]
    targets: tuple[str, ...]
    clusters: tuple[tuple[str | None, ...], ...]
    stage_starts: tuple[int, ...] = ()
    probability: NDArray[np.floating] | None = None
    threshold: float | None = None
    fps: float | None = None
    annotated: NDArray[np.bool_] | None = None
    episodes: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        n, a = len(self.frames), len(self.targets)
        if self.ok.shape != (n,) or len(self.clusters) != a or any(len(row) != n for row in self.clusters):
            raise ValueError(
                f"{n} frames and {a} targets need ok ({n},) and {a} rows of {n} clusters; got ok {self.ok.shape} and "
                f"rows of {sorted({len(row) for row in self.clusters})}"
            )
        if n > 1 and not (np.diff(self.frames) > 0).all():
            raise ValueError("frames must ascend")
        for name in ("probability", "annotated"):
            values = getattr(self, name)
            if values is not None and values.shape != (a, n):
                raise ValueError(f"{name} must be {(a, n)}, got {values.shape}")


@dataclass(frozen=True)
class Bar:
    """A run of one cluster: frames `start` to `start + length`, and the part of it that has room for its letter.

    That part is (start, length) of the longest piece between stage boundaries, where no line crosses the letter.
    """

    start: int
    length: int
    letter: str
    widest: tuple[int, int]


@dataclass(frozen=True)
class Row:
    """One target: its place among the targets of the timeline, its short name, and its runs.

    `annotated` has (start, length) of the runs where ground truth says that it occurs.
    """

    index: int
    target: str
    name: str
    bars: tuple[Bar, ...]
    annotated: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Layout:
    """All parts of a timeline in units of sampled frames.

    Attributes
    ----------
    n_frames
        Sampled frames, the width.
    rows
        Targets that are ever active or annotated, top to bottom.
    missing
        (start, length) of runs without a usable face.
    stages
        (number, start, end) of every stage, or of every episode.
    numbered
        What these are: `stage` or `episode`.
    empty
        What stands where there is no row; "" where there is one.
    curve_title
        Above the probabilities.
    decimals
        Of the seconds at the ticks: hundredths where ticks lie close together.
    notes
        What the axis needs explained, by key: `sampled`, `annotated`, `missing`; only those that apply.
    """

    n_frames: int
    rows: tuple[Row, ...]
    missing: tuple[tuple[int, int], ...]
    stages: tuple[tuple[int, int, int], ...]
    empty: str
    curve_title: str
    decimals: int
    numbered: str
    notes: dict[str, str]

    def curve(self, data: Timeline, row: Row) -> NDArray[np.float64]:
        """Probability of a row, shape (T,), in [0, 1], NaN where there is no face or it is unknown."""
        assert data.probability is not None
        return np.clip(np.where(data.ok, data.probability[row.index], np.nan), 0, 1)

    def tick(self, data: Timeline, at: int) -> tuple[str, str]:
        """Frame number and time of the sampled frame `at`; no time where the frame rate is unknown."""
        frame = int(data.frames[at])
        return str(frame), "" if data.fps is None else f"{frame / data.fps:.{self.decimals}f} s"


def layout(data: Timeline) -> Layout:
    """Where everything of a timeline lies."""
    n = len(data.frames)
    starts = np.searchsorted(data.frames, np.asarray(data.stage_starts, dtype=np.int64))
    ends = np.append(starts, n)[1:]
    if data.episodes:
        starts, ends = (np.searchsorted(data.frames, own, "right") for own in np.array(data.episodes, np.int64).T)
        starts = starts - 1  # of bins, the one that holds the frame
    rows = tuple(_row(data, index, np.union1d(starts, ends)) for index in rows_shown(data))
    empty = "no target is ever active" if data.ok.any() else "no face was found in any frame"
    dashed = "" if data.threshold is None else f", dashed: threshold {data.threshold:g}"
    short = data.fps is not None and n and (data.frames[-1] - data.frames[0]) / data.fps < 12
    return Layout(
        n_frames=n,
        rows=rows,
        missing=tuple((start, length) for start, length, _ in runs(["" if not ok else None for ok in data.ok])),
        stages=tuple(zip(range(1, len(starts) + 1), starts.tolist(), ends.tolist(), strict=True)),
        empty="" if rows else empty,
        curve_title=f"probability, 0 to 1{dashed}",
        decimals=2 if short else 0,
        numbered="episode" if data.episodes else "stage",
        notes=_notes(data),
    )


def _row(data: Timeline, index: int, stage_starts: NDArray[np.int64]) -> Row:
    target = data.targets[index]
    bars = tuple(
        Bar(start, length, letter, _widest_part(start, length, stage_starts))
        for start, length, letter in runs(data.clusters[index])
    )
    truth = [] if data.annotated is None else ["" if on else None for on in data.annotated[index]]
    annotated = tuple((start, length) for start, length, _ in runs(truth))
    return Row(index, target, shortened(target), bars, annotated)


def _notes(data: Timeline) -> dict[str, str]:
    steps = np.unique(np.diff(data.frames))
    notes = {}
    if len(steps) == 1 and steps[0] > 1:
        notes["sampled"] = f"every {steps[0]}th frame was analysed"
    if data.annotated is not None:
        notes["annotated"] = "black line: annotated"
    if not data.ok.all():
        notes["missing"] = "hatched: no usable face"
    return notes


def rows_shown(data: Timeline) -> list[int]:
    """Rows of targets that are ever active or annotated."""
    truth = data.annotated
    return [
        i
        for i, row in enumerate(data.clusters)
        if any(letter is not None for letter in row) or (truth is not None and truth[i].any())
    ]


def runs(letters: Sequence[str | None]) -> Iterator[tuple[int, int, str]]:
    """Maximal runs of one letter as (start, length, letter); inactive positions belong to none."""
    start = 0
    for at in range(1, len(letters) + 1):
        if at == len(letters) or letters[at] != letters[start]:
            letter = letters[start]
            if letter is not None:
                yield start, at - start, letter
            start = at


def _widest_part(start: int, length: int, boundaries: NDArray[np.int64]) -> tuple[int, int]:
    inside = boundaries[(boundaries > start) & (boundaries < start + length)]
    cuts = np.concatenate([[start], inside, [start + length]])
    widest = int(np.argmax(np.diff(cuts)))
    return int(cuts[widest]), int(cuts[widest + 1] - cuts[widest])


def shortened(text: str) -> str:
    """A name of at most `NAME_CHARACTERS` characters."""
    return text if len(text) <= NAME_CHARACTERS else text[: NAME_CHARACTERS - 1] + "…"
