"""What the index and the page of patterns count over all sequences of a partition, one shard at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as pads

from fer_batch.output.reader import PartitionReader, ShardReader
from fer_batch.pipeline.partition.evaluation_classes import confusion_table
from fer_batch.pipeline.partition.patterns import looked_for
from fer_batch.pipeline.report.data import Story, label_of, target_order
from fer_batch.pipeline.report.sequence import literal, thumbnail_path
from fer_batch.prototypes.patterns import ALL
from fer_batch.prototypes.temporal import ARROW
from fer_batch.report.index import MAX_PROBLEMS, NO_FACE, Index, IndexContents, IndexRow, Problem, Still, StillGroup
from fer_batch.report.page import DataTable, Picture, Query, RunSummary
from fer_batch.report.patterns import PatternGroup, PatternRow, PrototypeCount, Telling, patterns_files
from fer_batch.report.sequence import sequence_path
from fer_batch.storage.parquet import Partition, read
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS
from fer_batch.types import READ, STATUSES
from fer_batch.visualize.colours import Palette
from fer_batch.visualize.figure import png, save
from fer_batch.visualize.gallery import CommonPrototype, prototype_gallery
from fer_batch.visualize.stages import StagePanel, panel_image

COMMONEST = 50  # whole stories
SHOWN_PATTERNS, TYPICAL_PATTERNS = 15, 10  # of a group
TYPICAL_Q = 0.1
GALLERY_ROWS, GALLERIES = 3, 9
STILLS_PER_CLASS = 24
STILL_PIXELS = 224
_NOTHING = "(NONE)"
_LETTERED = re.compile(r"(.+)_([A-Z]{1,3})")
_Row = dict[str, Any]


@dataclass
class Overview:
    """Counts over all inputs of a partition.

    Attributes
    ----------
    sizes, bounds
        Inputs of each shard, and how many of them have a page; its first and last input.
    texts, emotions, by_group
        Sequences of each story, their emotions, and the stories of each emotion.
    plain, plain_emotions
        The same of stories without letters.
    first
        A sequence that tells a story, and its shard: the first of each (emotion or None, story).
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
    first: dict[tuple[str | None, str], tuple[str, str]] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    problems: dict[str, list[Problem]] = field(default_factory=dict)
    n_problems: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    stills: dict[str, list[tuple[str, _Row]]] = field(default_factory=dict)
    faceless: list[_Row] = field(default_factory=list)
    n_faceless: int = 0


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
        stories = _stories(shard)
        stills = [row for row in inputs if row["status"] in READ and row["kind"] == "still"]
        _count_stills(shard, stills, overview)
        n_pages = 0
        for row in inputs:
            if row["status"] != "done":
                overview.n_problems += 1
                same = overview.problems.setdefault(row["status"], [])
                if len(same) < MAX_PROBLEMS:
                    same.append(Problem(row["sequence_id"], row["status"], row["reason"]))
            if row["kind"] == "still":
                continue
            if row["status"] in READ:
                names.add(row["sequence_id"])
                n_pages += 1
            story = stories.get(row["sequence_id"], _Told())
            put(index.row(_index_row(row, story), sorted(story.targets, key=target_order)))
            if story.stages and story.n_frames:
                _count_story(overview, shard.file, row, story)
        if inputs:
            overview.sizes[shard.file] = (len(inputs), n_pages)
            overview.bounds[shard.file] = (inputs[0]["sequence_id"], inputs[-1]["sequence_id"])
    return overview


@dataclass
class _Told:
    """What the index says of a story."""

    n_frames: int = 0
    n_missing_frames: int = 0
    reduction: float | None = None
    plain: str = ""  # without letters
    stages: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)

    @property
    def targets(self) -> set[str]:
        """Names of the targets that its labels are of."""
        return {match[1] if (match := _LETTERED.fullmatch(label)) else label for label in self.labels}


def _stories(shard: ShardReader) -> dict[str, _Told]:
    told: dict[str, _Told] = {}
    columns = ["sequence_id", "n_frames", "n_missing_frames", "reduction", "cooccurrence_text"]
    for row in shard.table("temporal_prototypes", columns).to_pylist():
        told[row["sequence_id"]] = _Told(
            row["n_frames"] or 0, row["n_missing_frames"] or 0, row["reduction"], row["cooccurrence_text"] or ""
        )
    table = shard.table("stages", ["sequence_id", "stage_index", "n_frames", "text", "labels"])
    rows = table.sort_by([("sequence_id", "ascending"), ("stage_index", "ascending")]) if table.num_rows else table
    names = ("sequence_id", "text", "n_frames", "labels")
    for sequence_id, text, n_frames, labels in zip(*(rows[name].to_pylist() for name in names), strict=True):
        story = told.setdefault(sequence_id, _Told())
        story.stages.append(text)
        story.lengths.append(n_frames or 0)
        story.labels.update(labels or ())
    return told


def _recent(store: Store, partition: Partition) -> Callable[[str], ShardReader]:
    """Shards by file; two are kept, because each holds what was read of it."""
    return lru_cache(maxsize=2)(PartitionReader(store, partition).shard)


def _index_row(row: Mapping[str, Any], story: _Told) -> IndexRow:
    read = row["status"] in READ
    return IndexRow(
        sequence_id=row["sequence_id"],
        status=row["status"],
        reason=row["reason"],
        subject_id=row["subject_id"],
        emotion=row["emotion"],
        n_frames=story.n_frames,
        n_missing_frames=story.n_missing_frames,
        reduction=story.reduction,
        stages=tuple(story.stages),
        lengths=tuple(story.lengths),
        page=sequence_path(row["sequence_id"]) if read else "",
        thumbnail=thumbnail_path(row["sequence_id"]) if read and story.stages else "",
    )


def _count_story(overview: Overview, file: str, row: Mapping[str, Any], story: _Told) -> None:
    text, emotion = ARROW.join(story.stages), row["emotion"]
    overview.texts[text] += 1
    if story.plain:
        overview.plain[story.plain] += 1
    overview.labels |= story.labels
    for group in {None, emotion}:
        overview.first.setdefault((group, text), (file, row["sequence_id"]))
    if emotion is not None:
        overview.emotions.setdefault(text, Counter())[emotion] += 1
        overview.plain_emotions.setdefault(story.plain, Counter())[emotion] += 1
        overview.by_group.setdefault(emotion, Counter())[text] += 1


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


def index_contents(
    store: Store, partition: Partition, palette: Palette, crop_size: int | None, overview: Overview
) -> IndexContents:
    """Everything of the index beside the rows of sequences."""
    colours = {}
    for label in sorted(overview.labels):
        match = _LETTERED.fullmatch(label)
        style = palette.style(match[1], match[2]) if match else palette.style(label, "")
        colours[label] = (style.fill, style.edge, style.ink)
    shards = _recent(store, partition)
    groups = [
        StillGroup(
            name,
            n,
            tuple(_still(shards(file), row, name, palette, crop_size) for file, row in overview.stills.get(name, ())),
        )
        for name, n in _commonest(overview.classes, None)
    ]
    if overview.n_faceless:
        shown = tuple(Still(row["sequence_id"], None, row["emotion"]) for row in overview.faceless)
        groups.append(StillGroup(NO_FACE, overview.n_faceless, shown))
    return IndexContents(
        stories=tuple((text, n) for text, n in _commonest(overview.texts, COMMONEST) if n > 1),
        colours=colours,
        stills=tuple(groups),
        problems=tuple(problem for status in STATUSES for problem in overview.problems.get(status, ())),
        n_problems=overview.n_problems,
        tables=tuple(_evaluation(store, partition)),
    )


def _still(shard: ShardReader, row: _Row, name: str, palette: Palette, crop_size: int | None) -> Still:
    reader = shard.of(row["sequence_id"])
    story = Story(reader, row, crop_size)
    found = reader("detections", ("target", "probability", "active")).to_pylist()
    probability = {one["target"]: one["probability"] for one in found if one["active"]}
    labels = tuple(label_of(one) for one in story.prototypes.rows if one["target"] == name)
    labels = labels or (((name, ""),) if name != "NONE" else ())
    every = [label_of(one) for one in story.prototypes.rows]
    plain = {"first_frame": 0, "last_frame": 0, "n_frames": 1, "n_missing_frames": 0, "labels": ()}
    crop = story.crop_of(plain, every)
    panel = StagePanel(
        labels=labels,
        maps=tuple(story.prototypes.maps.get(label) for label in labels),
        first_frame=0,
        last_frame=0,
        n_frames=1,
        face=story.prototypes.faces[crop] if crop is not None else story.panel(plain, STILL_PIXELS).face,
    )
    p = probability.get(name)
    picture = Picture(
        png(panel_image(panel, palette, STILL_PIXELS)),
        f"Top-{palette.maps.top_x:g} projection for {name} over the face of {row['sequence_id']}",
    )
    known = ("" if p is None else f"probability {p:.2f}", "active, not explained" if panel.unexplained else "")
    return Still(row["sequence_id"], picture, row["emotion"], ", ".join(filter(None, known)))


def patterns_page(
    store: Store,
    partition: Partition,
    summary: RunSummary,
    palette: Palette,
    crop_size: int | None,
    overview: Overview,
) -> Iterator[tuple[str, bytes]]:
    """The page of patterns; nothing where there is no story."""
    if not overview.texts:
        return
    table = read(store, "patterns", **partition.key, columns=SCHEMAS["patterns"].names)
    shards = _recent(store, partition)
    several = [name for name in sorted(overview.by_group) if sum(overview.by_group[name].values()) > 1]
    tellings = []
    for letters in (False, True) if overview.plain else (True,):
        told = table.filter(pc.equal(table["letters"], letters))
        groups = []
        for number, name in enumerate([None, *several]):
            texts = overview.texts if name is None else overview.by_group[name]
            rows = told.filter(pc.equal(told["group"], ALL if name is None else name)).to_pylist()
            drawn = letters and number < GALLERIES
            gallery = _gallery(shards, name, texts, palette, crop_size, overview) if drawn else None
            groups.append(_group(name, sum(texts.values()), rows, gallery))
        counts = overview.texts if letters else overview.plain
        emotions = overview.emotions if letters else overview.plain_emotions
        whole = tuple(
            PrototypeCount(text, n, tuple(_commonest(emotions.get(text, Counter()), None)))
            for text, n in _commonest(counts, COMMONEST)
            if n > 1
        )
        longest = pc.min(told.filter(pc.equal(told["kind"], "gapped"))["longest"]).as_py()
        n_recurring = sum(n > 1 for n in counts.values())
        tellings.append(Telling(letters, sum(counts.values()), whole, len(counts), n_recurring, tuple(groups), longest))
    here = "\n  AND ".join(f"{key} = {literal(value)}" for key, value in partition.key.items())
    query = Query(
        "Patterns",
        'SELECT "group", letters, kind, pattern, support, lift, p_value, q_value\n'
        f"FROM patterns\nWHERE {here}\n  AND length > 1\n"
        'ORDER BY "group", letters, kind, support DESC, pattern',
    )
    without = tuple(sorted(set(overview.by_group) - set(several)))
    included = looked_for(store, partition).relation == "subset"
    yield from patterns_files(summary, tuple(tellings), TYPICAL_Q, query, without, included)


def _group(name: str | None, n_stories: int, rows: Sequence[_Row], gallery: Picture | None) -> PatternGroup:
    """Patterns of a group to show: gapped ones, and contiguous ones that are too long to be known as gapped."""
    at_once = {row["pattern"]: row["support"] for row in rows if row["kind"] == "contiguous"}
    gapped = [row for row in rows if row["kind"] == "gapped"]
    limit = min((row["longest"] for row in gapped), default=0)
    long = [row for row in rows if row["kind"] == "contiguous" and row["length"] > limit]
    told = [
        row
        for row in (*gapped, *long)
        if row["length"] > 1 and row["closed"] is not False and row["pattern"].replace(_NOTHING, "").strip(" ->")
    ]
    # Where it is not known, it is probably a part of something longer.
    told.sort(key=lambda row: (row["closed"] is None, -row["support"], -row["length"], row["pattern"]))
    typical = [row for row in told if row["lift"] is not None and row["lift"] > 1 and row["q_value"] <= TYPICAL_Q]
    typical.sort(key=lambda row: (row["q_value"], -row["support"], -row["length"], row["pattern"]))

    def shown(chosen: Sequence[_Row]) -> tuple[PatternRow, ...]:
        return tuple(
            PatternRow(
                name,
                row["pattern"],
                row["support"] if row["kind"] == "gapped" else None,
                row["support"] / n_stories,
                at_once.get(row["pattern"]),
                row["lift"],
                row["p_value"],
                row["q_value"],
            )
            for row in chosen
        )

    return PatternGroup(name, n_stories, gallery, shown(told[:SHOWN_PATTERNS]), shown(typical[:TYPICAL_PATTERNS]))


def _gallery(
    shards: Callable[[str], ShardReader],
    name: str | None,
    texts: Counter[str],
    palette: Palette,
    crop_size: int | None,
    overview: Overview,
) -> Picture | None:
    """Small multiples of the commonest stories of a group; one sequence by itself is on its own page already."""
    total = sum(texts.values())
    if total < 2:
        return None
    items = []
    for text, n in _commonest(texts, GALLERY_ROWS):
        file, sequence_id = overview.first[(name, text)]
        shard = shards(file)
        (row,) = [one for one in shard.sequences if one["sequence_id"] == sequence_id]
        story = Story(shard.of(sequence_id), row, crop_size)
        items.append(CommonPrototype(n, tuple(story.panel(stage) for stage in story.stages)))
    alt = f"The {len(items)} commonest temporal prototypes of {name or 'all sequences'}: " + "; ".join(
        f"{item.n_sequences} sequences with {len(item.panels)} stages" for item in items
    )
    which = "The commonest stories" if items[0].n_sequences > 1 else "No story occurs twice; some of them"
    caption = (
        f"{which}, one row each, with one sequence as the example. Colour marks the fewest pixels that hold "
        f"{palette.maps.top_x:g} percent of a target’s positive relevance."
    )
    return Picture(save(prototype_gallery(items, total, palette)), alt, caption)


def _evaluation(store: Store, partition: Partition) -> Iterator[DataTable]:
    """Figures over the whole dataset, one table, targets down and metrics across."""
    columns = ["target", "metric", "value", "n", "baseline", "group", "layer", "split", "fold"]
    rows = read(store, "evaluation", **partition.key, columns=columns).to_pylist()
    plain = [
        row
        for row in rows
        if all(row[name] is None for name in ("group", "layer", "split", "fold")) and row["metric"] is not None
    ]
    if not plain:
        return
    shown = sorted(plain, key=lambda row: (row["metric"], *target_order(row["target"] or "")))
    yield DataTable(
        "Evaluation",
        ("Metric", "Target", "Value", "Chance level", "n"),
        tuple((row["metric"], row["target"], row["value"], row["baseline"], row["n"]) for row in shown[:500]),
        "Figures by group, layer or fold are in table evaluation. n counts the frames that are defined.",
    )
    confusion = confusion_table((row for row in rows if row["fold"] is None), "Confusion of classes")
    if confusion:
        yield DataTable(confusion.title, confusion.columns, confusion.rows, f"{confusion.caption}.")


def _commonest(counts: Counter[str], limit: int | None) -> list[tuple[str, int]]:
    """Most frequent first, equals by name, so that two reports of the same tables are the same."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
