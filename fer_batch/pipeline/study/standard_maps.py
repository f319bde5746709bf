"""Sums of the maps of a cell on the standard face: taken once per cell, and kept (methods H-1 to H-3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.partition.standard_faces import NO_FACE, evidence, landmarks_of, warped
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.computed import RESULTS, Result, Task
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.regions import standard_face
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
    _, (height, width) = standard_face()
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
            faces = np.stack([points.get(keys[place][:2], NO_FACE) for place in chosen])
            values, defined = warped(maps, faces, crop)
            for name in {keys[place][2] for place in chosen}:
                own = defined & np.array([keys[place][2] == name for place in chosen])
                totals[name] += values[own].sum(axis=0, dtype=np.float64)
                counts[name] += int(own.sum())
    asked = {name: sum(target == name for *_, target in wanted) for name in names}
    store.put(path, encode(_table(totals, counts, asked)))
    return {"path": path, "n": sum(counts.values()), "n_undefined": len(wanted) - sum(counts.values())}


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
    _, shape = standard_face()
    found = {}
    for index, (name, n, lost) in enumerate(
        zip(*(rows[column].to_pylist() for column in ("target", "n", "n_undefined")), strict=True)
    ):
        total = np.asarray(rows["relevance"][index].values, np.float64).reshape(shape)
        found[name] = StandardSum(n, total, lost)
    return found
