"""Statistics of the prototypes of a data set, in the layout of Finzel et al. 2021, Table 1 (methods TP-8)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALL, NO_EMOTION = "all", "None"


@dataclass(frozen=True)
class GroupStatistics:
    """One column of the table.

    Attributes
    ----------
    group
        Emotion, `None` for sequences without one, `all`.
    n_sequences
        Sequences with at least one ok frame.
    mean_frames, mean_stages
        Per sequence.
    n_cooccurrence_prototypes, n_prototypes
        Different ones in the group, without and with clusters.
    mean_reduction
        Mean over sequences of 1 - stages / frames: the published figure.
    ratio_of_means
        1 - mean stages / mean frames, which weighs sequences by their length.
    n_empty
        Sequences without an ok frame, which count nowhere else.
    mean_unique_stages
        Different stages per sequence, each NONE stage counted by itself (methods TP-7); NaN where they were not
        counted.
    """

    group: str
    n_sequences: int
    mean_frames: float
    n_cooccurrence_prototypes: int
    n_prototypes: int
    mean_stages: float
    mean_reduction: float
    ratio_of_means: float
    n_empty: int = 0
    mean_unique_stages: float = math.nan


ROWS = MappingProxyType(
    {
        "sequences": "n_sequences",
        "mean frames": "mean_frames",
        "prototypes, co-occurrence only": "n_cooccurrence_prototypes",
        "prototypes, with clustering": "n_prototypes",
        "mean stages": "mean_stages",
        "mean reduction": "mean_reduction",
        "reduction of the means": "ratio_of_means",
        "mean unique stages": "mean_unique_stages",
    }
)


def group_statistics(
    emotions: Sequence[str | None],
    n_frames: ArrayLike,
    n_stages: ArrayLike,
    cooccurrence_ids: Sequence[str],
    prototype_ids: Sequence[str],
    n_unique_stages: ArrayLike | None = None,
) -> list[GroupStatistics]:
    """Statistics of every emotion, of the sequences without one, and of all (methods TP-8).

    Parameters
    ----------
    emotions
        Of each sequence; None where it has none.
    n_frames, n_stages : shape (n,)
        Ok frames and stages of each sequence.
    cooccurrence_ids, prototype_ids
        Equal for equal prototypes.
    n_unique_stages : shape (n,)
        Different stages of each sequence (`prototypes.temporal.paper_count`), where they are counted.

    Returns
    -------
    list of GroupStatistics
        Emotions by name, then `None` where there is such a sequence, then `all`.

    Raises
    ------
    ValueError
        If the arguments differ in length, or a sequence has more stages than frames.
    """
    frames, stages = np.asarray(n_frames, np.int64), np.asarray(n_stages, np.int64)
    unique = np.full(len(stages), np.nan) if n_unique_stages is None else np.asarray(n_unique_stages, np.float64)
    lengths = {len(emotions), len(frames), len(stages), len(cooccurrence_ids), len(prototype_ids), len(unique)}
    if len(lengths) != 1:
        raise ValueError(f"expected one entry per sequence in every argument, got lengths {sorted(lengths)}")
    if (stages > frames).any() or (stages < 0).any():
        raise ValueError("a sequence cannot have more stages than frames, nor fewer than none")
    names = np.array([_group(emotion) for emotion in emotions], dtype=object)
    ids = np.array(cooccurrence_ids, dtype=object), np.array(prototype_ids, dtype=object)
    order = [*sorted(set(names) - {NO_EMOTION}), *([NO_EMOTION] if NO_EMOTION in names else []), ALL]
    return [
        _statistics(name, np.ones(len(names), bool) if name == ALL else names == name, frames, stages, *ids, unique)
        for name in order
    ]


def _group(emotion: str | None) -> str:
    """Name of its column; a class that is really called `all` or `None` gets another name than those columns."""
    if emotion is None:
        return NO_EMOTION
    return f"{emotion} (class)" if emotion in (ALL, NO_EMOTION) else emotion


def _statistics(
    group: str,
    member: NDArray[np.bool_],
    frames: NDArray[np.int64],
    stages: NDArray[np.int64],
    cooccurrence_ids: NDArray[np.object_],
    prototype_ids: NDArray[np.object_],
    unique_stages: NDArray[np.float64],
) -> GroupStatistics:
    counted = member & (frames > 0)
    n, t, s = int(counted.sum()), frames[counted], stages[counted]
    return GroupStatistics(
        group=group,
        n_sequences=n,
        mean_frames=float(t.mean()) if n else math.nan,
        n_cooccurrence_prototypes=len(set(cooccurrence_ids[counted])),
        n_prototypes=len(set(prototype_ids[counted])),
        mean_stages=float(s.mean()) if n else math.nan,
        mean_reduction=float((1 - s / t).mean()) if n else math.nan,
        ratio_of_means=float(1 - s.mean() / t.mean()) if n else math.nan,
        n_empty=int(member.sum()) - n,
        mean_unique_stages=float(unique_stages[counted].mean()) if n else math.nan,
    )


def statistics_table(statistics: Sequence[GroupStatistics]) -> dict[str, dict[str, float]]:
    """The published layout: for every row name, the figure of every group."""
    return {row: {s.group: getattr(s, field) for s in statistics} for row, field in ROWS.items()}


@dataclass(frozen=True)
class Comparison:
    """Two data sets side by side (methods TP-o).

    Attributes
    ----------
    frames_ratio, stages_ratio
        Means of the first over means of the second.
    reduction, other_reduction
        Reduction of the means of each.
    """

    frames_ratio: float
    stages_ratio: float
    reduction: float
    other_reduction: float


def comparison(one: GroupStatistics, other: GroupStatistics) -> Comparison:
    """How much longer the sequences of one data set are, and how many more stages they have."""
    return Comparison(
        one.mean_frames / other.mean_frames if other.mean_frames else math.nan,
        one.mean_stages / other.mean_stages if other.mean_stages else math.nan,
        one.ratio_of_means,
        other.ratio_of_means,
    )
