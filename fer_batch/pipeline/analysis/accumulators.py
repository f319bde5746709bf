"""What shard tasks sum while every map passes through them, before `keep_relevance` thins table `relevance`.

An accumulator says what is summed of a map and under which key; where the sums are kept is `sums`. Another sum over all
maps (by emotion, say) is one more entry of `ACCUMULATORS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.analysis.sequence_data import SequenceData
from fer_batch.pipeline.analysis.standard_faces import evidence, warped
from fer_batch.prototypes.moments import MOMENTS, moments

BATCH = 16  # maps on the standard face in memory
STILL_SIDE = 28  # pixels that stills are averaged down to for the clusters of their class


@dataclass(frozen=True)
class Seen:
    """What a network finds in a sequence.

    Attributes
    ----------
    active : each of shape (k,), bool
        By target, in which ok frames it is active; a target that is not there is active wherever it was explained.
    probability : each of shape (k,), float32
        By target.
    crop_size : pixels
        Side of the crops, in which landmarks are; None where maps are as large.
    """

    active: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    probability: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    crop_size: int | None = None

    @cached_property
    def moments(self) -> Mapping[str, NDArray[np.int8]]:
        """By target, which frames are its onset, apex or offset, as `prototypes.moments` gives them."""
        return {target: moments(own, self.probability[target]) for target, own in self.active.items()}


def seen_in(
    data: SequenceData, active: NDArray[np.bool_], targets: tuple[str, ...], crop_size: int | None = None
) -> Seen:
    """What is found in a sequence.

    Parameters
    ----------
    data
        The sequence.
    active : shape (k, A), bool
        Of its ok frames.
    targets
        What the outputs stand for.
    crop_size
        Side of the crops, pixels.
    """
    columns = range(active.shape[1])
    return Seen(
        {targets[a]: active[:, a] for a in columns}, {targets[a]: data.probability[:, a] for a in columns}, crop_size
    )


@dataclass
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
        Finite.
    seen
        What is found in the sequence.
    on_standard_face : shape (275, 224), float32, logit units
        Its positive part, where its target is found and its frame has landmarks; else None.
    """

    data: SequenceData
    row: int
    target: str
    values: NDArray[np.float32]
    seen: Seen = field(default_factory=Seen)
    on_standard_face: NDArray[np.float32] | None = None

    @property
    def landmarks(self) -> NDArray[np.float32]:
        """Of its frame, shape (68, 2), crop pixels; NaN where there are none."""
        return self.data.landmarks[self.row]

    @property
    def active(self) -> bool:
        """Whether its target is found in its frame."""
        own = self.seen.active.get(self.target)
        return own is None or bool(own[self.row])

    @property
    def moment(self) -> str:
        """Which moment of an episode of its target its frame is; empty for none, and for a still."""
        if self.data.sequence["kind"] == "still":
            return ""
        own = self.seen.moments.get(self.target)
        return "" if own is None or own[self.row] < 0 else MOMENTS[own[self.row]]


def bring_to_standard_face(maps: Sequence[SeenMap]) -> None:
    """Set `on_standard_face` of maps of one sequence whose targets are found; of equal size they go together.

    Parameters
    ----------
    maps
        Some at a time.
    """
    wanted = [one for one in maps if one.active]
    for size in {one.values.shape for one in wanted}:
        same = [one for one in wanted if one.values.shape == size]
        positive = evidence(np.stack([one.values for one in same]), "none")
        landmarks = np.stack([one.landmarks for one in same])
        values, defined = warped(positive, landmarks, same[0].seen.crop_size or size[0])
        for one, value, known in zip(same, values, defined.tolist(), strict=True):
            one.on_standard_face = value if known else None


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
    zeros
        Whether a map that is zero throughout counts.
    """

    name: str
    version: int
    view: Callable[[SeenMap], NDArray[np.floating] | None]
    group: Callable[[SeenMap], str] = _whole
    each: bool = False
    zeros: bool = False


def _crop(seen: SeenMap) -> NDArray[np.floating]:
    return seen.values


def _small_still(seen: SeenMap) -> NDArray[np.floating] | None:
    if seen.data.sequence["kind"] != "still":
        return None
    side = min(STILL_SIDE, *seen.values.shape)
    return np.asarray(cv2.resize(seen.values, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _standard(seen: SeenMap) -> NDArray[np.floating] | None:
    return seen.on_standard_face


def _standard_over_peak(seen: SeenMap) -> NDArray[np.floating] | None:
    found, peak = seen.on_standard_face, seen.values.max()
    return found / peak if found is not None and peak > 0 else found


def _at_moment(seen: SeenMap) -> NDArray[np.floating] | None:
    return _standard_over_peak(seen) if seen.moment else None


CROP = Accumulator("crop", 1, _crop)  # table heatmaps
STILLS = Accumulator("stills", 1, _small_still, each=True)  # table class_prototypes
# Table heatmaps, on the standard face: of the targets that are found, what speaks for them (methods 11).
STANDARD = Accumulator("standard", 1, _standard, zeros=True)
STANDARD_MAX = Accumulator("standard_max", 1, _standard_over_peak, zeros=True)
AT_MOMENTS = Accumulator("moments", 1, _at_moment, group=lambda seen: seen.moment, zeros=True)
ACCUMULATORS = (CROP, STILLS, STANDARD, STANDARD_MAX, AT_MOMENTS)


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

    def __init__(self, data: SequenceData, accumulators: tuple[Accumulator, ...], seen: Seen | None = None) -> None:
        self.data, self.accumulators, self.seen = data, accumulators, seen or Seen()
        self._found: dict[tuple[str, Key], MapSum] = {}

    def add(self, pairs: Sequence[tuple[int, str]], maps: Iterable[NDArray[np.float32]]) -> None:
        """Add the maps of targets in ok frames; one that is undefined has nothing to add.

        Parameters
        ----------
        pairs
            Index of the frame among the ok frames, and name of the output, of each map.
        maps : each of shape (h, w), float32, logit units
            In the order of the pairs.
        """
        found = (SeenMap(self.data, *pair, values, self.seen) for pair, values in zip(pairs, maps, strict=True))
        known = (one for one in found if np.isfinite(one.values).all())
        while batch := list(islice(known, BATCH)):
            bring_to_standard_face(batch)
            for one in batch:
                self._add(one)

    def _add(self, seen: SeenMap) -> None:
        any_relevance = bool(seen.values.any())
        for accumulator in self.accumulators:
            view = accumulator.view(seen) if any_relevance or accumulator.zeros else None
            if view is None:
                continue
            key = (accumulator.name, Key(seen.target, self.data.sequence["kind"], accumulator.group(seen)))
            known = self._found.get(key)
            if known is None:
                total = np.array(view, np.float64)
                self._found[key] = MapSum(1, total, int(self.data.frame_index[seen.row]))
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
