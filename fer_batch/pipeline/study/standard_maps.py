"""Sums of the maps of a cell on the standard face, from those that its shards took in passing (methods H-1 to H-3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.analysis.accumulators import STANDARD, STANDARD_MAX, MapSum
from fer_batch.pipeline.analysis.sums import kept_sums
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.computed import RESULTS, Result, Task
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.regions import standard_face
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition, decode, encode
from fer_batch.storage.store import Store
from fer_batch.types import InputError

VERSION = 3  # raised when the same maps would give other sums


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
    """The task that adds up the maps of a cell.

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
    found, targets = network.detected & _explained(cell), network.model.targets
    counts = found[rows].sum(axis=0).tolist()
    asked = tuple((target, int(n)) for target, n in zip(targets, counts, strict=True) if n)
    identity = (VERSION, cell.key, digest(asked), scale)  # the partition is that of the choice and holds nothing else
    path = f"{RESULTS}/{digest(list(identity))}.parquet"
    return Task(sum_cell, (work.store.uri, cell.partition, targets, asked, scale, path), identity)


def _explained(cell: Cell) -> NDArray[np.bool_]:
    """Whether the job of a cell asks for a map, shape (n, A) or (A,)."""
    asked = cell.job.explain.targets if cell.job else "all"
    if asked == "annotated":
        return cell.network.labels == 1
    names = cell.network.model.targets
    return np.ones(len(names), bool) if isinstance(asked, str) else np.isin(names, asked)


def sum_cell(
    uri: str,
    partition: Partition,
    targets: Sequence[str],
    asked: Sequence[tuple[str, int]],
    scale: str,
    path: str,
) -> Result:
    """Add up the sums that the shards of a cell took in passing, and keep them, on a worker.

    Parameters
    ----------
    uri
        Of the output.
    partition
        Where the maps are.
    targets
        What the outputs of the network stand for.
    asked
        Classes, and how many maps of each there should be.
    scale
        As for `sums_task`.
    path
        Where the sums go, relative to the output.

    Raises
    ------
    InputError
        If too few maps were kept by an earlier version of fer-batch.
    """
    store = Store(uri)
    accumulator = {"none": STANDARD, "max": STANDARD_MAX}[scale].name
    totals: dict[str, MapSum] = {}
    for shard in PartitionReader(store, partition).shards():
        name = shard.file.removesuffix(".parquet")
        found = kept_sums(uri, name, partition, targets, accumulator)
        if found is None:
            raise InputError(
                f"shard {name} was published by an earlier version of fer-batch, and keep_relevance left too few of "
                "its maps to be summed on the standard face; run the study into a new output"
            )
        for key, own in found.items():
            totals[key.target] = totals[key.target] + own if key.target in totals else own
    store.put(path, encode(_table(totals, dict(asked))))
    n = sum(own.n for own in totals.values())
    return {"path": path, "n": n, "n_undefined": sum(max(0, n - _n(totals, name)) for name, n in asked)}


def _n(totals: Mapping[str, MapSum], name: str) -> int:
    return totals[name].n if name in totals else 0


def _table(totals: Mapping[str, MapSum], asked: Mapping[str, int]) -> pa.Table:
    names = sorted({*totals, *asked})
    _, (height, width) = standard_face()
    nothing = np.zeros(height * width)
    maps = [totals[name].total.ravel() if name in totals else nothing for name in names]
    return pa.table(
        {
            "target": pa.array(names, pa.string()),
            "n": pa.array([_n(totals, name) for name in names], pa.int64()),
            "n_undefined": pa.array([max(0, asked.get(name, 0) - _n(totals, name)) for name in names], pa.int64()),
            "relevance": pa.array(maps, pa.list_(pa.float64())),
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
