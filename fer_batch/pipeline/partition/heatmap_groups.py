"""Two groups of maps of an output on the standard face, and where they differ (`fer-batch heatmaps OUT --compare`)."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.permutation import MIN_SUBJECTS, MapDifference, paired_difference, unpaired_difference
from fer_batch.facs import EXPRESSIONS
from fer_batch.output.latest_run import card_of, crop_size_of, latest_run
from fer_batch.output.query import connect
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.analysis.standard_faces import NO_FACE, evidence, landmarks_of, warped
from fer_batch.pipeline.analysis.sums import has_all_maps
from fer_batch.pipeline.partition.people_columns import people_known, people_view
from fer_batch.storage.parquet import Partition, unpack_maps
from fer_batch.storage.store import Store
from fer_batch.types import InputError

CANVAS = (138, 112)  # half of the standard face: as much as maps of networks say
BATCH = 64
_MAP = ("sequence_id", "frame_index", "target", "height", "width", "scale", "relevance")
_EXPRESSIONS = ", ".join(f"'{name}'" for name in EXPRESSIONS)

MAX_PEOPLE = 1000  # of a group; of more, as where nobody says who is who, a draw
# A row for each map of a class or Action Unit that its network finds, with what groups can be told by.
MAPS = f"""
CREATE VIEW found_maps AS
SELECT r.dataset, r.model, r.explain, r.sequence_id, r.frame_index, r.target,
       coalesce(s.subject_id, s.sequence_id) AS subject_id, s.emotion, s.kind, s.split, d.probability,
       coalesce(a.occurrence, CASE WHEN r.target IN ({_EXPRESSIONS}) THEN s.emotion = r.target END) AS correct,
       c.network, c.fold, c.method, c.variant, s.run_id, strftime(n.started_at, '%Y-%m-%d') AS night,
       CASE WHEN contains(s.subject_id, ':') THEN split_part(s.subject_id, ':', 1) ELSE r.dataset END AS collection
FROM relevance r
JOIN sequences s USING (dataset, model, explain, sequence_id)
JOIN detections d USING (dataset, model, explain, sequence_id, frame_index, target)
LEFT JOIN (SELECT dataset, sequence_id, frame_index, target, bool_or(occurrence) AS occurrence
           FROM annotations GROUP BY ALL) a
    ON (a.dataset, a.sequence_id, a.frame_index, a.target)
     = (r.dataset, r.sequence_id, r.frame_index, r.target)
LEFT JOIN (SELECT dataset, model, explain, any_value(network) AS network, any_value(fold) AS fold,
                  any_value(method) AS method, any_value(variant) AS variant
           FROM study_cells GROUP BY ALL) c
    ON (c.dataset, c.model, c.explain) = (r.dataset, r.model, r.explain)
LEFT JOIN (SELECT run_id, min(started_at) AS started_at FROM runs GROUP BY ALL) n ON n.run_id = s.run_id
WHERE d.active
"""
# A subject of a study has the collection before its name; people may be named without.
WITH_PEOPLE = """
CREATE VIEW maps AS
SELECT m.*, p.* EXCLUDE (subject_id) FROM found_maps m LEFT JOIN people p ON p.subject_id = CASE
    WHEN m.subject_id IN (SELECT subject_id FROM people) THEN m.subject_id
    ELSE nullif(split_part(m.subject_id, ':', 2), '') END
"""
COLUMNS = (
    "dataset, model, explain, sequence_id, frame_index, target, subject_id, emotion, kind, split, probability, "
    "correct, network, fold, method, variant, run_id, night, collection"
)

# Equal names in two collections are of two people.
PERSON = "CASE WHEN starts_with(subject_id, collection || ':') THEN '' ELSE collection || ':' END || subject_id"

Key = tuple[str, int, str]  # sequence, frame, class


@dataclass
class Group:
    """One group of maps.

    Attributes
    ----------
    condition
        SQL over the columns of `MAPS`.
    people
        By partition and key, whose maps are in it.
    sums, counts
        Of the maps of each person.
    n_left_out
        Maps without landmarks, or undefined.
    n_found
        People who are in it; of more than `MAX_PEOPLE` a draw counts.
    """

    condition: str
    people: dict[Partition, dict[Key, str]] = field(default_factory=dict)
    sums: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    n_left_out: int = 0
    n_found: int = 0

    @property
    def n(self) -> int:
        """Maps that count."""
        return sum(self.counts.values())

    def add(self, who: str, values: NDArray[np.floating] | None) -> None:
        """Count a map on `CANVAS`, or one that is undefined."""
        if values is None:
            self.n_left_out += 1
            return
        self.sums[who] = self.sums.get(who, 0.0) + values.astype(np.float64)
        self.counts[who] = self.counts.get(who, 0) + 1

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
        Shards with maps in a group of which table `relevance` holds not all.
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

    Parameters
    ----------
    store
        The output.
    a, b
        Conditions in SQL over the columns of `MAPS`, such as `correct` and `NOT correct`.
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
    columns = _make_views(connection, people)
    found = [_find(connection, group, within, columns) for group in groups]
    _draw(groups, found)
    partitions = sorted({*groups[0].people, *groups[1].people}, key=str)
    thinned = tuple(shard for partition in partitions for shard in _add(store, partition, groups))
    compared = _people(*groups)
    first, second = (group.means(own) for group, own in zip(groups, compared, strict=True))
    test = paired_difference if compared[0] == compared[1] else unpaired_difference
    return GroupDifference(*groups, compared, test(first, second, n_arrangements, seed), thinned)


def _make_views(connection: duckdb.DuckDBPyConnection, people: str | None) -> str:
    """Make the view `maps`; its columns in words."""
    connection.execute(MAPS)
    names = people_view(connection, people_known(connection, people), set(COLUMNS.split(", ")))
    connection.execute(WITH_PEOPLE)
    return ", ".join([COLUMNS, *names])


def _find(connection: duckdb.DuckDBPyConnection, group: Group, within: str, columns: str) -> Sequence[tuple[Any, ...]]:
    """Which maps are in a group."""
    query = f"SELECT dataset, model, explain, sequence_id, frame_index, target, {PERSON} FROM maps WHERE "
    try:
        rows = connection.execute(f"{query}({within}) AND ({group.condition})").fetchall()
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise InputError(f"--compare {group.condition!r} is no condition over the columns {columns}: {said}") from None
    if not rows:
        kept = connection.execute("SELECT count(*) FROM relevance").fetchone()
        why = "" if kept and kept[0] else "; table relevance is empty, and groups are compared map by map: run with "
        why += "keep_relevance: all" if why else ""
        raise InputError(f"--compare {group.condition!r}: no map of a class that is found is in this group{why}")
    return rows


def _draw(groups: Sequence[Group], found: Sequence[Sequence[tuple[Any, ...]]]) -> None:
    """Give each group the maps of its people, of at most `MAX_PEOPLE`: first of those who are in the test."""
    a, b = ({who for *_, who in rows} for rows in found)
    shared = a & b
    with_themselves = _with_themselves(len(shared), len(a), len(b))
    for group, people, rows in zip(groups, (a, b), found, strict=True):
        group.n_found = len(people)
        turns = {who: ((who in shared) != with_themselves, _turn(who)) for who in people}
        drawn = set(heapq.nsmallest(MAX_PEOPLE, people, key=turns.__getitem__))
        for *partition, sequence, frame, target, who in rows:
            if who in drawn:
                group.people.setdefault(Partition(*partition), {})[sequence, frame, target] = who


def _with_themselves(n_both: int, n_a: int, n_b: int) -> bool:
    """Whether people are compared with themselves: where most are in both groups."""
    return n_both >= MIN_SUBJECTS and 2 * n_both >= min(n_a, n_b)


def _turn(who: str) -> bytes:
    """A person's place in a draw, the same in every group."""
    return hashlib.sha256(who.encode()).digest()


def _add(store: Store, partition: Partition, groups: Sequence[Group]) -> Iterator[str]:
    """Add the maps of a partition to the sums of their people; shards that were used and hold not all their maps."""
    wanted = [group.people.get(partition, {}) for group in groups]
    run = latest_run(store, partition)
    side = crop_size_of(run, card_of(run))
    for shard in PartitionReader(store, partition).shards():
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
            values, defined = warped(maps, faces, side or maps.shape[1], CANVAS)
            for place, value, known in zip(chosen, values, defined.tolist(), strict=True):
                for group, own in zip(groups, wanted, strict=True):
                    if (who := own.get(keys[place])) is not None:
                        group.add(who, value if known else None)
        name = shard.file.removesuffix(".parquet")
        if used and not has_all_maps(store, partition, name):
            yield name


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
            )
    return apart[0], apart[1]
