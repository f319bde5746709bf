"""What the index and the page of patterns count over all sequences of a partition, one shard at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow.dataset as pads

from fer_batch.output.reader import PartitionReader, ShardReader
from fer_batch.pipeline.report.data import target_order
from fer_batch.pipeline.report.sequence import thumbnail_path
from fer_batch.prototypes.temporal import ARROW
from fer_batch.report.index import MAX_PROBLEMS, Index, Problem
from fer_batch.report.index_rows import IndexEpisode, IndexRow
from fer_batch.report.sequence import sequence_path
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import READ

COMMONEST = 50  # temporal prototypes
STILLS_PER_CLASS = 24
LETTERED = re.compile(r"(.+)_([A-Z]{1,3})")
_Row = Mapping[str, Any]


@dataclass
class Overview:
    """Counts over all inputs of a partition.

    Attributes
    ----------
    sizes, bounds
        Inputs of each shard, and how many of them have a page; its first and last input.
    texts, emotions, by_group
        Sequences of each temporal prototype, their emotions, and the temporal prototypes of each emotion.
    plain, plain_emotions
        The same of temporal prototypes without letters.
    episodes, episode_emotions
        Sequences with each temporal prototype of an episode, and their emotions, with letters and without.
    n_recordings
        Sequences with a face in which episodes were looked for.
    first
        A sequence that has a temporal prototype, and its shard: the first of each (emotion or None, prototype).
    labels
        Every label of a stage.
    classes, stills, faceless, n_faceless
        Stills of each predicted class, and those to show, with their shards.
    """

    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    bounds: dict[str, tuple[str, str]] = field(default_factory=dict)
    texts: Counter[str] = field(default_factory=Counter)
    emotions: dict[str, Counter[str]] = field(default_factory=dict)
    by_group: dict[str, Counter[str]] = field(default_factory=dict)
    plain: Counter[str] = field(default_factory=Counter)
    plain_emotions: dict[str, Counter[str]] = field(default_factory=dict)
    episodes: dict[bool, Counter[str]] = field(default_factory=lambda: {True: Counter(), False: Counter()})
    episode_emotions: dict[bool, dict[str, Counter[str]]] = field(default_factory=lambda: {True: {}, False: {}})
    n_recordings: int = 0
    first: dict[tuple[str | None, str], tuple[str, str]] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    problems: dict[str, list[Problem]] = field(default_factory=dict)
    n_problems: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    stills: dict[str, list[tuple[str, _Row]]] = field(default_factory=dict)
    faceless: list[_Row] = field(default_factory=list)
    n_faceless: int = 0

    def note_problem(self, row: Mapping[str, Any]) -> None:
        """Count an input that is not done; the first of each status are kept."""
        if row["status"] != "done":
            self.n_problems += 1
            same = self.problems.setdefault(row["status"], [])
            if len(same) < MAX_PROBLEMS:
                same.append(Problem(row["sequence_id"], row["status"], row["reason"]))


def overview_of(
    store: Store,
    partition: Partition,
    index: Index,
    put: Callable[[Iterable[tuple[str, bytes]]], None],
    names: set[str],
) -> Overview:
    """Count everything once, and hand every sequence to the index.

    Parameters
    ----------
    put
        Takes the files that the index gives.
    names
        Filled with the sequences that have a page.
    """
    overview = Overview()
    for shard in PartitionReader(store, partition).shards():
        inputs = shard.sequences
        entries = _entries(shard)
        stills = [row for row in inputs if row["status"] in READ and row["kind"] == "still"]
        _count_stills(shard, stills, overview)
        n_pages = 0
        for row in inputs:
            overview.note_problem(row)
            if row["kind"] == "still":
                continue
            if row["status"] in READ:
                names.add(row["sequence_id"])
                n_pages += 1
            entry = entries.get(row["sequence_id"], _Entry())
            put(index.row(_index_row(row, entry), sorted(entry.targets, key=target_order)))
            if entry.stages and entry.n_frames:
                _count_prototype(overview, shard.file, row, entry)
                _count_episodes(overview, row["emotion"], entry)
        if inputs:
            overview.sizes[shard.file] = (len(inputs), n_pages)
            overview.bounds[shard.file] = (inputs[0]["sequence_id"], inputs[-1]["sequence_id"])
    return overview


@dataclass
class _Entry:
    """What the index says of one sequence."""

    n_frames: int = 0
    n_missing_frames: int = 0
    reduction: float | None = None
    plain: str = ""  # without letters
    stages: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    span: tuple[int, int] = (0, 0)
    episodes: list[IndexEpisode] | None = None
    episode_texts: dict[bool, set[str]] = field(default_factory=lambda: {True: set(), False: set()})

    @property
    def targets(self) -> set[str]:
        """Names of the targets that its labels are of."""
        return {match[1] if (match := LETTERED.fullmatch(label)) else label for label in self.labels}


def _entries(shard: ShardReader) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    columns = ["sequence_id", "n_frames", "n_missing_frames", "reduction", "cooccurrence_text"]
    for row in shard.table("temporal_prototypes", columns).to_pylist():
        found[row["sequence_id"]] = _Entry(
            row["n_frames"] or 0, row["n_missing_frames"] or 0, row["reduction"], row["cooccurrence_text"] or ""
        )
    names = ("sequence_id", "text", "n_frames", "labels", "first_frame", "last_frame")
    table = shard.table("stages", ["stage_index", *names])
    rows = table.sort_by([("sequence_id", "ascending"), ("stage_index", "ascending")]) if table.num_rows else table
    for sequence_id, text, n_frames, labels, first, last in zip(*(rows[n].to_pylist() for n in names), strict=True):
        entry = found.setdefault(sequence_id, _Entry())
        entry.span = entry.span[0] if entry.stages else first or 0, last or 0
        entry.stages.append(text)
        entry.lengths.append(n_frames or 0)
        entry.labels.update(labels or ())
    _add_episodes(shard, found)
    return found


def _add_episodes(shard: ShardReader, found: Mapping[str, _Entry]) -> None:
    if shard.opened("episodes") is None:
        return  # an earlier version published the shard
    for entry in found.values():
        entry.episodes = []
    names = ["stages", "stage_first_frames", "last_frame", "start_s", "end_s", "text", "cooccurrence_text"]
    table = shard.table("episodes", ["sequence_id", "episode_index", *names]).sort_by("episode_index")
    for row in table.to_pylist():
        own = found.get(row["sequence_id"])
        if own is not None and own.episodes is not None:
            stages, firsts, last, start, end, text, plain = (row[name] for name in names)
            own.episodes.append(IndexEpisode(tuple(stages), tuple(firsts), last, start, end))
            own.episode_texts[True].add(text)
            own.episode_texts[False].add(plain)


def recent(store: Store, partition: Partition) -> Callable[[str], ShardReader]:
    """Shards by file; two are kept, because each holds what was read of it."""
    return lru_cache(maxsize=2)(PartitionReader(store, partition).shard)


def _index_row(row: Mapping[str, Any], entry: _Entry) -> IndexRow:
    read = row["status"] in READ
    return IndexRow(
        sequence_id=row["sequence_id"],
        status=row["status"],
        reason=row["reason"],
        subject_id=row["subject_id"],
        emotion=row["emotion"],
        n_frames=entry.n_frames,
        n_missing_frames=entry.n_missing_frames,
        reduction=entry.reduction,
        stages=tuple(entry.stages),
        lengths=tuple(entry.lengths),
        page=sequence_path(row["sequence_id"]) if read else "",
        thumbnail=thumbnail_path(row["sequence_id"]) if read and entry.stages else "",
        span=entry.span,
        episodes=None if entry.episodes is None else tuple(entry.episodes),
    )


def _count_prototype(overview: Overview, file: str, row: Mapping[str, Any], entry: _Entry) -> None:
    text, emotion = ARROW.join(entry.stages), row["emotion"]
    overview.texts[text] += 1
    if entry.plain:
        overview.plain[entry.plain] += 1
    overview.labels |= entry.labels
    for group in {None, emotion}:
        overview.first.setdefault((group, text), (file, row["sequence_id"]))
    if emotion is not None:
        overview.emotions.setdefault(text, Counter())[emotion] += 1
        overview.plain_emotions.setdefault(entry.plain, Counter())[emotion] += 1
        overview.by_group.setdefault(emotion, Counter())[text] += 1


def _count_episodes(overview: Overview, emotion: str | None, entry: _Entry) -> None:
    overview.n_recordings += entry.episodes is not None
    for letters, texts in entry.episode_texts.items():
        overview.episodes[letters].update(texts)
        if emotion is not None:
            for text in texts:
                overview.episode_emotions[letters].setdefault(text, Counter())[emotion] += 1


def _count_stills(shard: ShardReader, stills: Sequence[_Row], overview: Overview) -> None:
    """Count stills under each of their active targets, and keep those to show."""
    if not stills:
        return
    ok = pads.field("status") == "ok"
    faces = set(shard.table("frames", ["sequence_id"], ok)["sequence_id"].to_pylist())
    active = shard.table("detections", ["sequence_id", "target"], pads.field("active"))
    seen: dict[str, list[str]] = {}
    for sequence_id, target in zip(active["sequence_id"].to_pylist(), active["target"].to_pylist(), strict=True):
        seen.setdefault(sequence_id, []).append(target)
    for row in stills:
        if row["sequence_id"] not in faces:
            overview.n_faceless += 1
            if len(overview.faceless) < STILLS_PER_CLASS:
                overview.faceless.append(row)
            continue
        for name in seen.get(row["sequence_id"], ["NONE"]):
            overview.classes[name] += 1
            shown = overview.stills.setdefault(name, [])
            if len(shown) < STILLS_PER_CLASS:
                shown.append((shard.file, row))


def commonest(counts: Counter[str], limit: int | None) -> list[tuple[str, int]]:
    """Most frequent first, equals by name, so that two reports of the same tables are the same."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
