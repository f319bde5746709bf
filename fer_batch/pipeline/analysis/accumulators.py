"""What shard tasks sum while every map passes through them, before `keep_relevance` thins table `relevance`.

An accumulator says what is summed of a map and under which key; where the sums are kept is `shard_sums`. Another sum
over all maps (on the standard face, by emotion) is one more entry of `ACCUMULATORS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.analysis.sequence_data import SequenceData

STILL_SIDE = 28  # pixels that stills are averaged down to for the clusters of their class


@dataclass(frozen=True)
class SeenMap:
    """One explained map in passing.

    Attributes
    ----------
    data
        The sequence that it is of.
    row
        Its frame, among the ok frames.
    target
    values : shape (h, w), float32, logit units
        Finite and not all zero.
    """

    data: SequenceData
    row: int
    target: str
    values: NDArray[np.float32]

    @property
    def landmarks(self) -> NDArray[np.float32]:
        """Of its frame, shape (68, 2), crop pixels; NaN where there are none."""
        return self.data.landmarks[self.row]


class Key(NamedTuple):
    """What maps are summed under."""

    target: str
    kind: str  # of the sequence: video, image_sequence, still
    group: str = ""


def _whole(_: SeenMap) -> str:
    return ""


@dataclass(frozen=True)
class Accumulator:
    """One sum over all maps.

    Attributes
    ----------
    name
    version
        Raised when the same maps would give other sums.
    view
        What is summed of a map, on a grid that all maps of a key share; None leaves the map out.
    group
        A further part of the key.
    each
        Whether the sums of every sequence are wanted, and not only those over the shard.
    """

    name: str
    version: int
    view: Callable[[SeenMap], NDArray[np.floating] | None]
    group: Callable[[SeenMap], str] = _whole
    each: bool = False


def _crop(seen: SeenMap) -> NDArray[np.floating]:
    return seen.values


def _small_still(seen: SeenMap) -> NDArray[np.floating] | None:
    if seen.data.sequence["kind"] != "still":
        return None
    side = min(STILL_SIDE, *seen.values.shape)
    return np.asarray(cv2.resize(seen.values, (side, side), interpolation=cv2.INTER_AREA), np.float32)


CROP = Accumulator("crop", 1, _crop)  # table heatmaps
STILLS = Accumulator("stills", 1, _small_still, each=True)  # table class_prototypes
ACCUMULATORS = (CROP, STILLS)


@dataclass(frozen=True)
class MapSum:
    """Maps under one key.

    Attributes
    ----------
    n
        How many.
    total : shape (h, w), float64
        Their sum.
    first_frame
        Frame index of the first.
    """

    n: int
    total: NDArray[np.float64]
    first_frame: int | None = None

    def __add__(self, other: MapSum) -> MapSum:
        return MapSum(self.n + other.n, self.total + other.total)


class SequenceRow(NamedTuple):
    """Sum of one sequence in one accumulator."""

    accumulator: str
    sequence_id: str
    key: Key
    own: MapSum


class SequenceSums:
    """Sums of the maps of one sequence.

    Maps are added one by one in the order of their frames, so that the sums do not depend on the pieces in which maps
    are read.
    """

    def __init__(self, data: SequenceData, accumulators: tuple[Accumulator, ...]) -> None:
        self.data, self.accumulators = data, accumulators
        self._found: dict[tuple[str, Key], MapSum] = {}

    def add(self, row: int, target: str, values: NDArray[np.float32]) -> None:
        """Add the map of a target in an ok frame; one that is undefined or all zero has nothing to add.

        Parameters
        ----------
        row
            Index of the frame among the ok frames.
        target
            Name of the output.
        values : shape (h, w), float32, logit units
            The map.
        """
        peak = np.abs(values).max(initial=0.0)
        if not np.isfinite(peak) or peak == 0:
            return
        seen = SeenMap(self.data, row, target, values)
        for accumulator in self.accumulators:
            view = accumulator.view(seen)
            if view is None:
                continue
            key = (accumulator.name, Key(target, self.data.sequence["kind"], accumulator.group(seen)))
            known = self._found.get(key)
            if known is None:
                total = np.array(view, np.float64)
                self._found[key] = MapSum(1, total, int(self.data.frame_index[row]))
            else:
                np.add(known.total, view, out=known.total)
                self._found[key] = MapSum(known.n + 1, known.total, known.first_frame)

    def rows(self) -> Iterator[SequenceRow]:
        """One for each accumulator and key, rounded to float32.

        What is kept of a sequence is what is added to the shard, so that sums that are made again are the same sums.
        """
        for (accumulator, key), own in self._found.items():
            total = own.total.astype(np.float32).astype(np.float64)
            yield SequenceRow(
                accumulator, self.data.sequence["sequence_id"], key, MapSum(own.n, total, own.first_frame)
            )
