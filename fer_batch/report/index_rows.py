"""Rows of the index of a report, and the script that hands a file of them over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fer_batch.report.text import visible


@dataclass(frozen=True)
class IndexEpisode:
    """One episode of a sequence.

    Attributes
    ----------
    stages, first_frames
        Text of each stage and its first frame.
    last_frame
        Of the episode, inclusive.
    start_s, end_s : seconds
        None without a clock.
    """

    stages: tuple[str, ...]
    first_frames: tuple[int, ...]
    last_frame: int
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class IndexRow:
    """One sequence of the index.

    Attributes
    ----------
    stages, lengths
        Text of each stage and its frames.
    page, thumbnail
        Paths in the report; empty where there is none.
    span
        First and last frame that shows a face.
    episodes
        In order; None where they were not looked for.
    """

    sequence_id: str
    status: str = "done"
    reason: str | None = None
    subject_id: str | None = None
    emotion: str | None = None
    n_frames: int = 0
    n_missing_frames: int = 0
    reduction: float | None = None
    stages: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    page: str = ""
    thumbnail: str = ""
    span: tuple[int, int] = (0, 0)
    episodes: tuple[IndexEpisode, ...] | None = None


def chunk(number: int, rows: Sequence[IndexRow]) -> bytes:
    """Rows as a script: arrays in the order of `browse.js`, stages as numbers of a list."""
    stages: dict[str, int] = {}

    def numbers(texts: Sequence[str]) -> list[int]:
        return [stages.setdefault(text, len(stages)) for text in texts]

    packed = [
        [
            visible(row.sequence_id),
            visible(row.subject_id),
            visible(row.emotion),
            row.status,
            visible(row.reason),
            row.n_frames,
            row.n_missing_frames,
            None if row.reduction is None or row.reduction != row.reduction else round(row.reduction, 4),
            row.page,
            row.thumbnail,
            numbers(row.stages),
            list(row.lengths),
            list(row.span),
            None
            if row.episodes is None
            else [
                [numbers(e.stages), e.first_frames, e.last_frame, _hundredths(e.start_s), _hundredths(e.end_s)]
                for e in row.episodes
            ],
        ]
        for row in rows
    ]
    return f"ferRows({number},{as_json({'stages': [visible(stage) for stage in stages], 'rows': packed})});\n".encode(
        "ascii"
    )


def _hundredths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def as_json(value: object) -> Markup:
    """JSON that may stand in a page or a script: ASCII, without a character that HTML knows."""
    text = json.dumps(value, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
