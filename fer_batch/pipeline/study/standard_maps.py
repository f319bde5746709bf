"""Sums of the maps of a cell on the standard face: taken once per cell, and kept (methods H-1 to H-3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.output.reader import PartitionReader, ShardReader
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.computed import RESULTS, Result, Task
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.regions import StandardWarp
from fer_batch.storage.crop_set import open_crops
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition, decode, encode, unpack_maps
from fer_batch.storage.store import Store

VERSION = 1  # raised when the same maps would give other sums
BATCH = 64  # maps warped at a time
SCALES = ("none", "max")
_MAP = ("sequence_id", "frame_index", "target", "height", "width", "scale", "relevance")

Wanted = tuple[str, int, str]  # sequence, frame and class of a map


@dataclass(frozen=True)
class StandardSum:
    """Maps of one class on the standard face.

    Attributes
    ----------
    n
        How many.
    total : shape (275, 224), float64
        Their sum, in the unit of the maps.
    n_undefined
        Left out: not finite, without a map, or without landmarks.
    """

    n: int
    total: NDArray[np.float64]
    n_undefined: int = 0

    def __add__(self, other: StandardSum) -> StandardSum:
        return StandardSum(self.n + other.n, self.total + other.total, self.n_undefined + other.n_undefined)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The sum over the number: pooled, so every image counts once (methods H-3)."""
        return self.total / self.n


Sums = Mapping[str, StandardSum]


def pooled(parts: Sequence[Sums]) -> dict[str, StandardSum]:
    """Sums of several groups taken together, by class; a class that no image is predicted as is left out.

    Parameters
    ----------
    parts
        By class.
    """
    found: dict[str, StandardSum] = {}
    for part in parts:
        for name, own in part.items():
            found[name] = found[name] + own if name in found else own
    return found


def sums_task(work: StudyWork, cell: Cell, scale: str) -> Task:
    """The task that sums the maps of a cell.

    Parameters
    ----------
    work
        The study.
    cell
        That is done.
    scale
        `none`, or `max`: every map over its largest value.
    """
    network = cell.network
    rows = work.explained(network)
    found, targets = network.detected, network.model.targets
    sequences, frames = network.samples["sequence_id"].to_pylist(), network.samples["frame_index"].to_pylist()
    wanted = tuple(
        (sequences[row], frames[row], targets[place]) for row in rows for place in np.flatnonzero(found[row])
    )
    identity = (VERSION, cell.key, digest([list(one) for one in wanted]), scale)
    path = f"{RESULTS}/{digest(list(identity))}.parquet"
    crop = open_crops(network.crops).size
    return Task(sum_cell, (work.store.uri, cell.partition, wanted, crop, scale, path), identity)


def sum_cell(uri: str, partition: Partition, wanted: Sequence[Wanted], crop: int, scale: str, path: str) -> Result:
    """Warp the maps of a cell, batch by batch, and keep the sum of every class, on a worker.

    Parameters
    ----------
    uri
        Of the output.
    partition
        Where the maps are.
    wanted
        Which count: of each chosen image those of the classes that it is predicted as.
    crop : pixels
        Side of the crops, in which landmarks are.
    scale
        As for `sums_task`.
    path
        Where the sums go, relative to the output.
    """
    store, names = Store(uri), sorted({target for *_, target in wanted})
    _, (height, width) = _canvas()
    totals = {name: np.zeros((height, width)) for name in names}
    counts = dict.fromkeys(names, 0)
    left = set(wanted)
    for shard in PartitionReader(store, partition).shards():
        points = landmarks_of(shard)
        for rows in shard.batches("relevance", _MAP, BATCH):
            keys = list(zip(*(rows[name].to_pylist() for name in _MAP[:3]), strict=True))
            chosen = [place for place, key in enumerate(keys) if key in left]
            if not chosen:
                continue
            left.difference_update(keys[place] for place in chosen)
            maps = evidence(np.stack(unpack_maps(rows.take(chosen))), scale)
            faces = np.stack([points.get(keys[place][:2], _NO_FACE) for place in chosen])
            values, defined = warped(maps, faces, crop)
            for name in {keys[place][2] for place in chosen}:
                own = defined & np.array([keys[place][2] == name for place in chosen])
                totals[name] += values[own].sum(axis=0, dtype=np.float64)
                counts[name] += int(own.sum())
    asked = {name: sum(target == name for *_, target in wanted) for name in names}
    store.put(path, encode(_table(totals, counts, asked)))
    return {"path": path, "n": sum(counts.values()), "n_undefined": len(wanted) - sum(counts.values())}


_NO_FACE = np.full((68, 2), np.nan, np.float32)


def _canvas() -> tuple[NDArray[np.float64], tuple[int, int]]:
    from fer_batch.regions import standard_face

    return standard_face()


def landmarks_of(shard: ShardReader) -> dict[tuple[str, int], NDArray[np.float32]]:
    """Landmarks of the frames of a shard that have any, shape (68, 2), crop pixels."""
    rows = shard.table("frames", ["sequence_id", "frame_index", "landmarks"])
    found = {}
    for sequence, frame, points in zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True):
        if points is not None and len(points) == 136 and None not in points:
            found[sequence, frame] = np.asarray(points, np.float32).reshape(68, 2)
    return found


def evidence(maps: NDArray[np.float32], scale: str) -> NDArray[np.float32]:
    """What speaks for the class: the positive part of maps (methods X-12).

    Parameters
    ----------
    maps : shape (n, h, w), float32, any unit
    scale
        `none` keeps the unit; `max` divides every map by its largest value.

    Returns
    -------
    shape (n, h, w), float32
        NaN throughout where a map is not finite.
    """
    known = np.isfinite(maps).all(axis=(1, 2), keepdims=True)
    positive = np.where(known, np.maximum(maps, 0), np.nan).astype(np.float32)
    if scale == "max":
        peak = positive.max(axis=(1, 2), keepdims=True)
        positive /= np.where(peak > 0, peak, np.float32(1))
    return positive


def warped(
    maps: NDArray[np.float32], landmarks: NDArray[np.float32], crop: int, canvas: tuple[int, int] = (275, 224)
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps on the standard face as released, and which of them are defined: shape (n, *canvas), float32, and (n,)."""
    finite = np.isfinite(maps).all(axis=(1, 2))
    found = StandardWarp(canvas)(np.where(finite[:, None, None], maps, 0), landmarks, (crop, crop))
    return found.values, found.defined & finite


def _table(totals: Mapping[str, NDArray[np.float64]], counts: Mapping[str, int], asked: Mapping[str, int]) -> pa.Table:
    names = list(totals)
    return pa.table(
        {
            "target": pa.array(names, pa.string()),
            "n": pa.array([counts[name] for name in names], pa.int64()),
            "n_undefined": pa.array([asked[name] - counts[name] for name in names], pa.int64()),
            "relevance": pa.array([totals[name].ravel() for name in names], pa.list_(pa.float64())),
        }
    )


def read_sums(store: Store, path: str) -> dict[str, StandardSum]:
    """The sums of a cell by class; those without a map are not there.

    Parameters
    ----------
    store
        The output.
    path
        As the result of `sum_cell` names it.
    """
    rows = decode(store.read_bytes(path))
    _, shape = _canvas()
    found = {}
    for index, (name, n, lost) in enumerate(
        zip(*(rows[column].to_pylist() for column in ("target", "n", "n_undefined")), strict=True)
    ):
        total = np.asarray(rows["relevance"][index].values, np.float64).reshape(shape)
        found[name] = StandardSum(n, total, lost)
    return found
