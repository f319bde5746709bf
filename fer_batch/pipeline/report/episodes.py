"""The episodes of one sequence as its page shows them, from its rows of table `episodes`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fer_batch.pipeline.report.data import SequenceTables, target_order
from fer_batch.prototypes.stages import label_text, parse_stage
from fer_batch.report.chips import Chip
from fer_batch.report.episodes import Episode, EpisodeTarget
from fer_batch.report.stages import Stage
from fer_batch.visualize.timeline_layout import Timeline

_Row = Mapping[str, Any]


def episodes_of(
    sequence: SequenceTables, draw: Callable[[_Row], Stage], name: Callable[[str], Chip]
) -> tuple[Episode, ...] | None:
    """Episodes of a sequence; None where they were not looked for.

    Parameters
    ----------
    sequence
        Its tables.
    draw
        A row of a stage as the page shows it.
    name
        A target in its colours.
    """
    if not sequence.has_episodes:
        return None
    return tuple(_episode(sequence, row, draw, name) for row in sequence.episodes)


def _episode(
    sequence: SequenceTables, row: _Row, draw: Callable[[_Row], Stage], name: Callable[[str], Chip]
) -> Episode:
    firsts = np.array(row["stage_first_frames"], np.int64)
    targets = zip(row["targets"], row["target_frames"], row["target_peaks"], row["target_evidence"], strict=True)
    return Episode(
        text=row["text"],
        stages=tuple(draw(stage) for stage in stage_rows(sequence, row)),
        first_frame=row["first_frame"],
        last_frame=row["last_frame"],
        n_frames=row["n_frames"],
        peak=int(np.searchsorted(firsts, row["peak_frame"], side="right")) - 1,
        peak_frame=row["peak_frame"],
        targets=tuple(EpisodeTarget(name(target), n, peak, value) for target, n, peak, value in targets),
        n_missing_frames=row["n_missing_frames"],
        start_s=row["start_s"],
        end_s=row["end_s"],
        begins=row["begins"],
        ends=row["ends"],
        lasting=tuple(row["lasting"] or ()),
    )


def stage_rows(sequence: SequenceTables, row: _Row) -> Iterator[_Row]:
    """The stages of an episode, with the columns of table `stages`.

    Parameters
    ----------
    sequence
        Its tables.
    row
        Of table `episodes`.
    """
    index = sequence.frames.index
    bounds = [*row["stage_first_frames"], row["last_frame"] + 1]
    targets = row["targets"]
    for k, text in enumerate(row["stages"]):
        inside = np.flatnonzero((index >= bounds[k]) & (index < bounds[k + 1]))
        shown = inside[sequence.frames.ok[inside]]
        yield {
            "text": text,
            "labels": [label_text(label) for label in parse_stage(text, targets)],
            "first_frame": bounds[k],
            "last_frame": int(index[shown[-1]]),
            "n_frames": row["stage_n_frames"][k],
            "n_missing_frames": len(inside) - len(shown),
        }


def steady_timeline(sequence: SequenceTables) -> Timeline:
    """What is active in the episodes, over all frames of the recording."""
    frames = sequence.frames
    names: dict[str, list[str | None]] = {}
    for row in sequence.episodes:
        for stage in stage_rows(sequence, row):
            low, high = np.searchsorted(frames.index, [stage["first_frame"], stage["last_frame"]])
            for target, letter in parse_stage(str(stage["text"]), row["targets"]):
                column = names.setdefault(target, [None] * len(frames.index))
                column[low : high + 1] = [letter] * (high + 1 - low)
    targets = tuple(sorted(names, key=target_order))
    return Timeline(
        frames=frames.index,
        ok=frames.ok,
        targets=targets,
        clusters=tuple(tuple(names[target]) for target in targets),
        fps=frames.fps,
        episodes=tuple((row["first_frame"], row["last_frame"]) for row in sequence.episodes),
    )
