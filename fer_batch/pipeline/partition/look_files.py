"""What looks make of a shard: tables `cluster_looks` and `look_prototypes`, and the shard's share of table `looks`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_batch.output.reader import ShardReader
from fer_batch.pipeline.partition.look_clusters import ClusterPiece, pieces, shard_reader, subjects
from fer_batch.prototypes.looks import in_looks
from fer_batch.prototypes.stages import Label
from fer_batch.prototypes.temporal import parse, prototype_text, text_id
from fer_batch.spray.looks import Looks
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table

N_EXEMPLARS = 6
LookNumber = tuple[str, int]  # target and number from 1; 0 for all of the target


class ClusterLook(NamedTuple):
    """A row of table `cluster_looks`."""

    sequence_id: str
    target: str
    cluster: str
    look: int | None
    distance: float | None


@dataclass
class LookMembers:
    """Clusters of one look.

    Attributes
    ----------
    n_clusters, n_frames, n_sequences
    people, n_alone
        Subjects, and sequences without one, each of which counts as another.
    total : shape (h, w), float64
        Sum of the clusters' maps, each over its sum of |R|.
    near
        Distance and `sequence_id#frame_index` of the clusters nearest to the centre.
    mu, n_mu
        Sum of mu over frames where it is defined, and how many these are.
    """

    n_clusters: int = 0
    n_frames: int = 0
    n_sequences: int = 0
    people: set[str] = field(default_factory=set)
    total: NDArray[np.float64] | None = None
    near: list[tuple[float, str]] = field(default_factory=list)
    mu: float = 0.0
    n_mu: int = 0
    n_alone: int = 0

    def take(self, other: LookMembers) -> None:
        """Add further clusters."""
        self.n_clusters += other.n_clusters
        self.n_frames += other.n_frames
        self.n_sequences += other.n_sequences
        self.people |= other.people
        self.n_alone += other.n_alone
        if other.total is not None:
            self.total = other.total if self.total is None else self.total + other.total
        self.near = sorted([*self.near, *other.near])[:N_EXEMPLARS]
        self.mu += other.mu
        self.n_mu += other.n_mu


@dataclass(frozen=True)
class LookOptions:
    """What a shard task needs to know of the looks.

    Attributes
    ----------
    faces
        On which face each target is compared.
    known
        Looks of each target.
    generation
    targets
        What the outputs of the network stand for.
    metadata
        For the files of tables.
    """

    faces: Mapping[str, str]
    known: Mapping[str, Looks]
    generation: int
    targets: tuple[str, ...]
    metadata: Mapping[str, object]


def publish_shard_looks(
    output: str, shard: str, partition: Partition, options: LookOptions
) -> dict[LookNumber, LookMembers]:
    """Write both tables of a shard; the members of each look.

    A file that would be the same stays as it is, so that pages drawn from it do.

    Parameters
    ----------
    output, shard, partition
        Where.
    options
        The looks.
    """
    store, reader = Store(output), shard_reader(output, shard, partition)
    rows: list[ClusterLook] = []
    members: dict[LookNumber, LookMembers] = {}
    for piece in pieces(reader, options.faces):
        rows += _join(piece, options.known[piece.target], members)
    _count_people(rows, subjects(reader), members)
    _add_mu(rows, reader, members)
    written = {
        "cluster_looks": [{**row._asdict(), "generation": options.generation} for row in rows],
        "look_prototypes": list(_texts(reader, rows, options)),
    }
    for table, found in written.items():
        path = f"{partition.folder(table)}/{shard}.parquet"
        put_table(store, path, rows_of(table, found), options.metadata, keep_same=True)
    return members


def _join(piece: ClusterPiece, known: Looks, members: dict[LookNumber, LookMembers]) -> Iterator[ClusterLook]:
    """Rows of some clusters, which are counted in their looks."""
    look, distance = known.join(piece.rows)
    look[~piece.defined] = -1
    for i, (name, n_frames) in enumerate(zip(piece.names, piece.n_frames, strict=True)):
        number = int(look[i]) + 1 or None
        known_distance = float(distance[i]) if piece.defined[i] and np.isfinite(distance[i]) else None
        yield ClusterLook(name.sequence_id, piece.target, name.cluster, number, known_distance)
        if number is not None:
            exemplar = (float(distance[i]), f"{name.sequence_id}#{piece.exemplars[i]}")
            own = LookMembers(1, n_frames, total=piece.maps[i].astype(np.float64), near=[exemplar])
            members.setdefault((piece.target, number), LookMembers()).take(own)


def _count_people(
    rows: Iterable[ClusterLook], people: Mapping[str, str], members: dict[LookNumber, LookMembers]
) -> None:
    """Count sequences and subjects of each look, and under number 0 those of any look of the target."""
    looks = [(row.target, row.look, row.sequence_id) for row in rows if row.look is not None]
    for target, look, sequence_id in {*looks, *((target, 0, name) for target, _, name in looks)}:
        own = members.setdefault((target, look), LookMembers())
        own.n_sequences += 1
        if people[sequence_id].startswith("sequence "):  # of nobody else, so that a count will do
            own.n_alone += 1
        elif look:
            own.people.add(people[sequence_id])


def _add_mu(rows: Iterable[ClusterLook], reader: ShardReader, members: Mapping[LookNumber, LookMembers]) -> None:
    """Add mu over the frames of each look's clusters."""
    keys = ["sequence_id", "target", "cluster"]
    frames = reader.table("detections", [*keys, "mu"]).drop_null()
    sums = frames.group_by(keys).aggregate([("mu", "sum"), ("mu", "count")])
    found = zip(*(sums[name].to_pylist() for name in (*keys, "mu_sum", "mu_count")), strict=True)
    of_cluster = {(name, target, cluster): (total, n) for name, target, cluster, total, n in found}
    for row in rows:
        if row.look is not None and row[:3] in of_cluster:
            total, n = of_cluster[row[:3]]
            members[row.target, row.look].mu += total
            members[row.target, row.look].n_mu += n


def _texts(reader: ShardReader, rows: Iterable[ClusterLook], options: LookOptions) -> Iterator[dict[str, object]]:
    """Rows of table `look_prototypes`: the temporal prototypes of a shard with looks in the place of letters."""
    looks: dict[str, dict[Label, int | None]] = {}
    for row in rows:
        looks.setdefault(row.sequence_id, {})[row.target, row.cluster] = row.look
    columns = ["sequence_id", "subject_id", "emotion", "text", "n_frames"]
    for row in reader.table("temporal_prototypes", columns).to_pylist():
        stages = in_looks(parse(row["text"] or "", options.targets), looks.get(row["sequence_id"], {}))
        text = prototype_text(stages)
        more = {"text": text, "prototype_id": text_id(text), "n_stages": len(stages)}
        yield {**row, **more, "generation": options.generation}
