"""Two groups of maps of an output on the standard face, and where they differ (`fer-batch heatmaps OUT --compare`)."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.permutation import MIN_SUBJECTS, MapDifference, paired_difference, unpaired_difference
from fer_batch.output.latest_run import card_of, crop_size_of, latest_run
from fer_batch.output.query import connect
from fer_batch.output.reader import PartitionReader, ShardReader
from fer_batch.pipeline.analysis.accumulators import STANDARD_MAX
from fer_batch.pipeline.analysis.standard_faces import NO_FACE, evidence, landmarks_of, warped
from fer_batch.pipeline.analysis.sums import has_all_maps, sequence_rows
from fer_batch.pipeline.partition.group_conditions import find_maps, make_views
from fer_batch.storage.parquet import Partition, unpack_maps
from fer_batch.storage.store import Store
from fer_batch.types import InputError

CANVAS = (138, 112)  # half of the standard face: as much as maps of networks say
BATCH = 64
_MAP = ("sequence_id", "frame_index", "target", "height", "width", "scale", "relevance")
PLACE = 6  # of the person in a row of `find_maps`
MAX_PEOPLE = 1000  # of a group; of more, as where nobody says who is who, a draw
Key = tuple[str, int, str]  # sequence, frame, class


@dataclass
class Group:
    """One group of maps.

    Attributes
    ----------
    condition
        SQL over the columns of the view `maps`.
    people
        By partition and key, whose maps are in it, map by map.
    summed
        By partition, sequence and target, whose sequences are in it with all their maps, and how many frames those are
        of; of these the sums are read that shard tasks took.
    sums, counts
        Of the maps of each person.
    n_left_out
        Maps without landmarks, or undefined.
    n_found
        People who are in it; of more than `MAX_PEOPLE` a draw counts.
    n_not_kept
        Maps of which only the sum with others of their sequence is kept, that are not in the group.
    """

    condition: str
    people: dict[Partition, dict[Key, str]] = field(default_factory=dict)
    summed: dict[Partition, dict[tuple[str, str], tuple[str, int]]] = field(default_factory=dict)
    sums: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    n_left_out: int = 0
    n_found: int = 0
    n_not_kept: int = 0

    @property
    def partitions(self) -> set[Partition]:
        """Of its maps."""
        return {*self.people, *self.summed}

    @property
    def n(self) -> int:
        """Maps that count."""
        return sum(self.counts.values())

    def add(self, who: str, total: NDArray[np.float64] | None, n: int = 1) -> None:
        """Count a map on `CANVAS`, or the sum of several; none is a map that is undefined."""
        if total is None:
            self.n_left_out += 1
            return
        self.sums[who] = self.sums.get(who, 0.0) + total
        self.counts[who] = self.counts.get(who, 0) + n

    def means(self, people: Sequence[str]) -> NDArray[np.float64]:
        """The mean map of each of some people, shape (n, *CANVAS)."""
        return np.stack([self.sums[who] / self.counts[who] for who in people])


@dataclass(frozen=True)
class GroupDifference:
    """How two groups of maps differ.

    Attributes
    ----------
    a, b
        The groups.
    people
        Of each group in the test.
    result
        Of the test.
    thinned
        Shards whose maps were taken one by one, of which table `relevance` holds not all.
    """

    a: Group
    b: Group
    people: tuple[tuple[str, ...], tuple[str, ...]]
    result: MapDifference
    thinned: tuple[str, ...] = ()


def compare_groups(
    store: Store,
    a: str,
    b: str,
    n_arrangements: int = 2000,
    seed: int = 0,
    within: str = "true",
    people: str | None = None,
) -> GroupDifference:
    """Test where the maps of two groups differ.

    Every map is its positive part over its largest value, so that groups are compared by where evidence is. Every
    person counts once. Where most people are in both groups, each is compared with themselves and the others are left
    out; else people in both are left out.

    Where table `relevance` has not all maps (`keep_relevance`), the sums count that shard tasks took of every sequence,
    as long as a group has all maps of the sequence or none: the result is the same.

    Parameters
    ----------
    store
        The output.
    a, b
        Conditions in SQL over the columns of the view `maps`, such as `correct` and `NOT correct`.
    n_arrangements, seed
        Of the permutation test.
    within
        What holds in both groups.
    people
        CSV or Parquet file with a row a person, whose columns conditions may use; without one the manifests that the
        runs and trainings read.

    Raises
    ------
    InputError
        If a condition is none, a group has too few people, or `people` is no such file.
    """
    groups = Group(a), Group(b)
    connection = connect(store)
    columns = make_views(connection, store, people)
    found = [find_maps(connection, group.condition, within, columns) for group in groups]
    _draw(groups, found)
    partitions = sorted(groups[0].partitions | groups[1].partitions, key=str)
    thinned = tuple(shard for partition in partitions for shard in _add(store, partition, groups))
    compared = _people(*groups)
    first, second = (group.means(own) for group, own in zip(groups, compared, strict=True))
    test = paired_difference if compared[0] == compared[1] else unpaired_difference
    return GroupDifference(*groups, compared, test(first, second, n_arrangements, seed), thinned)


def _draw(groups: Sequence[Group], found: Sequence[Sequence[tuple[Any, ...]]]) -> None:
    """Give each group the maps of its people, of at most `MAX_PEOPLE`: first of those who are in the test."""
    a, b = ({row[PLACE] for row in rows} for rows in found)
    shared = a & b
    with_themselves = _with_themselves(len(shared), len(a), len(b))
    for group, people, rows in zip(groups, (a, b), found, strict=True):
        group.n_found = len(people)
        turns = {who: ((who in shared) != with_themselves, _turn(who)) for who in people}
        drawn = set(heapq.nsmallest(MAX_PEOPLE, people, key=turns.__getitem__))
        _give(group, [row for row in rows if row[PLACE] in drawn])


def _give(group: Group, rows: Sequence[tuple[Any, ...]]) -> None:
    """Give a group its maps: those that are kept, and of sequences that are wholly in it their sums."""
    within = Counter((*row[:4], row[5]) for row in rows if row[-1] is not None)
    for *partition, sequence, frame, target, who, kept, n_found in rows:
        where = Partition(*partition)
        if n_found is not None and within[*partition, sequence, target] == n_found:
            group.summed.setdefault(where, {})[sequence, target] = who, n_found
        elif kept:
            group.people.setdefault(where, {})[sequence, frame, target] = who
        else:
            group.n_not_kept += 1


def _with_themselves(n_both: int, n_a: int, n_b: int) -> bool:
    """Whether people are compared with themselves: where most are in both groups."""
    return n_both >= MIN_SUBJECTS and 2 * n_both >= min(n_a, n_b)


def _turn(who: str) -> bytes:
    """A person's place in a draw, the same in every group."""
    return hashlib.sha256(who.encode()).digest()


def _add(store: Store, partition: Partition, groups: Sequence[Group]) -> Iterator[str]:
    """Add the maps of a partition to the sums of their people; shards of which maps were read and not all are kept."""
    run = latest_run(store, partition)
    side = crop_size_of(run, card_of(run))
    for shard in PartitionReader(store, partition).shards():
        name = shard.file.removesuffix(".parquet")
        _add_sums(store, name, groups, [group.summed.get(partition, {}) for group in groups])
        wanted = [group.people.get(partition, {}) for group in groups]
        if any(wanted) and _add_maps(shard, side, groups, wanted) and not has_all_maps(store, partition, name):
            yield name


def _add_sums(
    store: Store, shard: str, groups: Sequence[Group], wanted: Sequence[Mapping[tuple[str, str], tuple[str, int]]]
) -> None:
    """Add the sums of whole sequences of a shard."""
    targets = {target for own in wanted for _, target in own}
    for row in sequence_rows(store, shard, STANDARD_MAX.name, targets) if targets else ():
        for group, own in zip(groups, wanted, strict=True):
            if (found := own.get((row.sequence_id, row.key.target))) is not None:
                who, n_found = found
                group.add(who, _small(row.own.total), row.own.n)
                group.n_left_out += max(0, n_found - row.own.n)


def _add_maps(
    shard: ShardReader, side: int | None, groups: Sequence[Group], wanted: Sequence[Mapping[Key, str]]
) -> bool:
    """Add maps of a shard one by one; whether there were any."""
    points = landmarks_of(shard)
    used = False
    for rows in shard.batches("relevance", _MAP, BATCH):
        keys = list(zip(*(rows[name].to_pylist() for name in _MAP[:3]), strict=True))
        chosen = [place for place, key in enumerate(keys) if any(key in one for one in wanted)]
        if not chosen:
            continue
        used = True
        maps = evidence(np.stack(unpack_maps(rows.take(chosen))), "max")
        faces = np.stack([points.get(keys[place][:2], NO_FACE) for place in chosen])
        values, defined = warped(maps, faces, side or maps.shape[1])
        for place, value, known in zip(chosen, values, defined.tolist(), strict=True):
            for group, own in zip(groups, wanted, strict=True):
                if (who := own.get(keys[place])) is not None:
                    group.add(who, _small(value) if known else None)
    return used


def _small(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Area means on `CANVAS` of a map, or of a sum of maps, on the standard face."""
    return np.asarray(cv2.resize(values, CANVAS[::-1], interpolation=cv2.INTER_AREA), np.float64)


def _people(a: Group, b: Group) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who is in the test of each group: the same people, where most are in both."""
    both = tuple(sorted(set(a.counts) & set(b.counts)))
    apart = tuple(tuple(sorted(set(one.counts) - set(other.counts))) for one, other in ((a, b), (b, a)))
    if _with_themselves(len(both), len(a.counts), len(b.counts)):
        return both, both
    for group, people in zip((a, b), apart, strict=True):
        if len(people) < MIN_SUBJECTS:
            raise InputError(
                f"--compare {group.condition!r} has maps with landmarks of {len(group.counts)} people, {len(people)} "
                f"of them in this group alone; a test needs {MIN_SUBJECTS} people or more in each group, or in both"
                f"{_not_kept(group)}"
            )
    return apart[0], apart[1]


def _not_kept(group: Group) -> str:
    if not group.n_not_kept:
        return ""
    return (
        f"; of {group.n_not_kept} maps only sums over their sequences are kept (keep_relevance), so that a condition "
        "should take all frames of a sequence with a target or none, as one on subject_id, emotion or night does"
    )
