"""Clusters of one shard for looks: their mean maps as directions, who shows them, and which of them are sampled."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.output.reader import PartitionReader, ShardReader
from fer_batch.spray.features import averaged
from fer_batch.spray.looks import Looks, directions
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition, unpack_maps
from fer_batch.storage.store import Store

CROP, STANDARD = "crop", "standard"
CROP_SIDE = 28  # pixels that mean maps in the crop are averaged down to, where there are no landmarks
PIECE = 1024  # clusters in memory at a time

_NAMES = ("sequence_id", "target", "cluster", "n_frames", "exemplar_frame")
_MAPS = {
    STANDARD: ("standard_height", "standard_width", "standard_scale", "standard_relevance"),
    CROP: ("height", "width", "scale", "relevance"),
}


class ClusterName(NamedTuple):
    """Which cluster of which sequence."""

    sequence_id: str
    cluster: str


@dataclass(frozen=True)
class ClusterPiece:
    """Some clusters of one target.

    Attributes
    ----------
    target
    names, n_frames, exemplars
        Of each.
    rows : shape (n, d), float32
        Directions of the mean maps; zero where a map has none.
    maps : shape (n, h, w), float32
        The same before that, each over its sum of |R|.
    defined : shape (n,), bool
        Whether a cluster has a map that can be compared.
    """

    target: str
    names: list[ClusterName]
    n_frames: list[int]
    exemplars: list[int]
    rows: NDArray[np.float32]
    maps: NDArray[np.float32]
    defined: NDArray[np.bool_]


@dataclass
class Unjoined:
    """Clusters of one target that have no look: how many, and those whose names' digests are smallest.

    Attributes
    ----------
    limit
        Of the sample.
    n
        All of them.
    """

    limit: int
    n: int = 0
    _kept: list[tuple[str, str, NDArray[np.float32]]] = field(default_factory=list)

    def add(self, key: str, person: str, row: NDArray[np.float32]) -> None:
        """Count a cluster, and keep it where its key is among the smallest."""
        self.n += 1
        self._kept.append((key, person, row.copy()))  # a view would hold the rows of all clusters of its piece
        if len(self._kept) > 2 * self.limit:
            self._shorten()

    def take(self, other: Unjoined) -> None:
        """Add those of another shard."""
        self.n += other.n
        self._kept += other._kept
        self._shorten()

    def _shorten(self) -> None:
        self._kept = heapq.nsmallest(self.limit, self._kept, key=lambda own: own[0])

    def sample(self) -> tuple[NDArray[np.float32], list[str]]:
        """Directions of shape (m, d), float32, and people, in the order of the keys: the same in any sharding."""
        self._shorten()
        return np.stack([row for _, _, row in self._kept]), [person for _, person, _ in self._kept]


def faces_of(output: str, shard: str, partition: Partition) -> dict[str, bool]:
    """Whether any cluster of a target has a map on the standard face, for the targets of a shard."""
    rows = shard_reader(output, shard, partition).table("prototypes", ["target", "standard_height"])
    found: dict[str, bool] = {}
    for target, height in zip(rows["target"].to_pylist(), rows["standard_height"].to_pylist(), strict=True):
        found[target] = found.get(target, False) or height is not None
    return found


def unjoined(
    output: str, shard: str, partition: Partition, faces: Mapping[str, str], known: Mapping[str, Looks], limit: int
) -> dict[str, Unjoined]:
    """Clusters of a shard that join none of the known looks, by target.

    Parameters
    ----------
    output, shard, partition
        Where.
    faces
        On which face each target is compared.
    known
        Looks of each target.
    limit
        Of the sample of a target.
    """
    reader = shard_reader(output, shard, partition)
    people = subjects(reader)
    found: dict[str, Unjoined] = {}
    for piece in pieces(reader, faces):
        look, _ = known[piece.target].join(piece.rows)
        own = found.setdefault(piece.target, Unjoined(limit))
        for i in np.flatnonzero(piece.defined & (look < 0)).tolist():
            name = piece.names[i]
            own.add(digest([piece.target, *name]), people[name.sequence_id], piece.rows[i])
    return found


def subjects(reader: ShardReader) -> dict[str, str]:
    """Subject of each sequence of a shard; where there is none, the sequence is taken for one."""
    rows = reader.table("sequences", ["sequence_id", "subject_id"])
    names = zip(rows["sequence_id"].to_pylist(), rows["subject_id"].to_pylist(), strict=True)
    return {
        sequence: f"sequence {sequence}" if subject is None else f"subject {subject}" for sequence, subject in names
    }


def pieces(reader: ShardReader, faces: Mapping[str, str]) -> Iterator[ClusterPiece]:
    """Clusters of a shard with their mean maps, some of one target at a time.

    Parameters
    ----------
    reader
        Of the shard.
    faces
        On which face each target is compared.
    """
    wanted = set(faces.values())
    columns = [*_NAMES, *(column for face, own in _MAPS.items() if face in wanted for column in own)]
    for rows in reader.batches("prototypes", columns, PIECE):
        targets = rows["target"].to_pylist()
        for target in dict.fromkeys(name for name in targets if name in faces):
            chosen = rows.take(pa.array([i for i, name in enumerate(targets) if name == target]))
            yield _piece(target, chosen, faces[target])


def _piece(target: str, rows: pa.Table, face: str) -> ClusterPiece:
    maps = _mean_maps(rows, face)
    directed, defined = directions(maps)
    names = zip(rows["sequence_id"].to_pylist(), rows["cluster"].to_pylist(), strict=True)
    return ClusterPiece(
        target,
        [ClusterName(*name) for name in names],
        rows["n_frames"].to_pylist(),
        rows["exemplar_frame"].to_pylist(),
        directed,
        maps,
        defined,
    )


def _mean_maps(rows: pa.Table, face: str) -> NDArray[np.float32]:
    """Mean maps of clusters over their sums of |R|, shape (n, h, w); zero where there is none of one size."""
    columns = rows.select([*_MAPS[face]]).rename_columns([*_MAPS[CROP]])
    has_map = [height is not None for height in columns["height"].to_pylist()]
    known = unpack_maps(columns.filter(pa.array(has_map)))
    if face == CROP:
        known = [averaged(one[None], CROP_SIDE)[0] for one in known]
    maps = np.zeros((len(has_map), *(known[0].shape if known else (1, 1))), np.float32)
    for i, one in zip(np.flatnonzero(has_map), known, strict=True):
        mass = np.abs(one).sum()
        if one.shape == maps.shape[1:] and mass > 0:
            maps[i] = one / mass
    return maps


def shard_reader(output: str, shard: str, partition: Partition) -> ShardReader:
    """The tables of a shard, by its name."""
    return PartitionReader(Store(output), partition).shard(f"{shard}.parquet")


def targets_of(parts: Sequence[Mapping[str, bool]]) -> dict[str, str]:
    """On which face each target is compared: the standard one where any of its clusters is on it.

    Parameters
    ----------
    parts
        `faces_of` the shards.
    """
    seen: dict[str, bool] = {}
    for part in parts:
        for target, standard in part.items():
            seen[target] = seen.get(target, False) or standard
    return {target: STANDARD if seen[target] else CROP for target in sorted(seen)}
