"""The page of patterns of a partition: temporal prototypes that recur, and what groups have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fer_batch.output.reader import ShardReader
from fer_batch.pipeline.partition.patterns import EPISODES, SEQUENCES, looked_for
from fer_batch.pipeline.report.data import SequenceTables
from fer_batch.pipeline.report.index import COMMONEST, Overview, commonest, recent
from fer_batch.pipeline.report.queries import literal
from fer_batch.prototypes.patterns import ALL
from fer_batch.report.page import Picture, Query, RunSummary
from fer_batch.report.patterns import PatternGroup, PatternRow, PatternsPart, PrototypeCount, patterns_files
from fer_batch.storage.parquet import Partition, read
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS
from fer_batch.visualize.colours import Palette
from fer_batch.visualize.figure import save
from fer_batch.visualize.gallery import MAX_PANELS, CommonPrototype, prototype_gallery

SHOWN_PATTERNS, TYPICAL_PATTERNS = 15, 10  # of a group
TYPICAL_Q = 0.1
GALLERY_ROWS, GALLERIES = 3, 9
_NOTHING = "(NONE)"
_Row = dict[str, Any]


def patterns_page(
    store: Store,
    partition: Partition,
    summary: RunSummary,
    palette: Palette,
    crop_size: int | None,
    overview: Overview,
) -> Iterator[tuple[str, bytes]]:
    """The page of patterns; nothing where no sequence has stages."""
    if not overview.texts:
        return
    table = read(store, "patterns", **partition.key, columns=SCHEMAS["patterns"].names)
    several = [name for name in sorted(overview.by_group) if sum(overview.by_group[name].values()) > 1]
    shards = recent(store, partition)
    parts = []
    for letters in (False, True) if overview.plain else (True,):
        kept = _of(table, SEQUENCES, "letters" if letters else "targets")
        groups = []
        for number, name in enumerate([None, *several]):
            texts = overview.texts if name is None else overview.by_group[name]
            drawn = letters and number < GALLERIES
            gallery = _gallery(shards, name, texts, palette, crop_size, overview) if drawn else None
            groups.append(_group(name, sum(texts.values()), _rows(kept, name), gallery))
        parts.append(_part(letters, kept, overview, groups))
    for letters in (False, True) if overview.n_recordings else ():
        kept = _of(table, EPISODES, "letters" if letters else "targets")
        parts.append(_episode_part(letters, kept, overview, several))
    parts += _looks_parts(store, partition, table, several)
    without = tuple(sorted(set(overview.by_group) - set(several)))
    included = looked_for(store, partition).relation == "subset"
    yield from patterns_files(summary, tuple(parts), TYPICAL_Q, _query(partition.key), without, included)


def _of(table: pa.Table, mined: str, labels: str) -> pa.Table:
    return table.filter(pc.and_(pc.equal(table["mined"], mined), pc.equal(table["labels"], labels)))


def _rows(table: pa.Table, group: str | None) -> list[_Row]:
    return table.filter(pc.equal(table["group"], ALL if group is None else group)).to_pylist()


def _looks_parts(store: Store, partition: Partition, table: pa.Table, several: Sequence[str]) -> Iterator[PatternsPart]:
    """Temporal prototypes and episodes in looks and their patterns; nothing where there are no looks."""
    found = read(store, "look_prototypes", **partition.key, columns=["sequence_id", "text", "emotion", "n_frames"])
    found = found.filter(pc.greater(found["n_frames"], 0))
    if not found.num_rows:
        return
    emotion = dict(zip(found["sequence_id"].to_pylist(), found["emotion"].to_pylist(), strict=True))
    rows = _of(table, SEQUENCES, "looks")
    whole = list(zip(found["sequence_id"].to_pylist(), found["text"].to_pylist(), strict=True))
    yield _looks_part(whole, emotion, rows, several, SEQUENCES)
    episodes = read(store, "episodes", **partition.key, columns=["sequence_id", "looks_text"]).drop_null()
    if own := {(name, text) for name, text in _pairs(episodes) if name in emotion}:
        yield _looks_part(sorted(own), emotion, _of(table, EPISODES, "looks"), several, EPISODES)


def _pairs(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _looks_part(
    texts: Sequence[tuple[str, str]],
    emotion: Mapping[str, str | None],
    rows: pa.Table,
    several: Sequence[str],
    mined: str,
) -> PatternsPart:
    """The texts in looks that each sequence has, and the patterns of each group."""
    counts = Counter(text for _, text in texts)
    emotions: dict[str, Counter[str]] = {}
    for name, text in texts:
        if (of := emotion[name]) is not None:
            emotions.setdefault(text, Counter())[of] += 1
    sizes = Counter(emotion.values())
    groups = [
        _group(name, len(emotion) if name is None else sizes[name], _rows(rows, name), None)
        for name in (None, *several)
    ]
    n_recurring, whole = sum(n > 1 for n in counts.values()), _recurring(counts, emotions)
    longest = _longest(rows) if rows.num_rows else None
    return PatternsPart(
        False, len(emotion), whole, len(counts), n_recurring, tuple(groups), longest, mined=mined, looks=True
    )


def _episode_part(letters: bool, rows: pa.Table, overview: Overview, several: Sequence[str]) -> PatternsPart:
    """The temporal prototypes of episodes, which several sequences have, and the patterns of each group."""
    sizes = {name: sum(overview.by_group[name].values()) for name in several}
    groups = [_group(None, sum(overview.texts.values()), _rows(rows, None), None)]
    groups += [_group(name, sizes[name], _rows(rows, name), None) for name in several]
    counts, emotions = overview.episodes[letters], overview.episode_emotions[letters]
    return PatternsPart(
        letters,
        overview.n_recordings,
        _recurring(counts, emotions),
        len(counts),
        sum(n > 1 for n in counts.values()),
        tuple(groups),
        _longest(rows),
        mined=EPISODES,
    )


def _recurring(counts: Counter[str], emotions: Mapping[str, Counter[str]]) -> tuple[PrototypeCount, ...]:
    return tuple(
        PrototypeCount(text, n, tuple(commonest(emotions.get(text, Counter()), None)))
        for text, n in commonest(counts, COMMONEST)
        if n > 1
    )


def _longest(rows: pa.Table) -> int | None:
    return pc.min(rows.filter(pc.equal(rows["kind"], "gapped"))["longest"]).as_py()


def _part(letters: bool, rows: pa.Table, overview: Overview, groups: Sequence[PatternGroup]) -> PatternsPart:
    """The temporal prototypes with letters or without, and the patterns of each group."""
    counts = overview.texts if letters else overview.plain
    emotions = overview.emotions if letters else overview.plain_emotions
    n_recurring = sum(n > 1 for n in counts.values())
    whole, longest = _recurring(counts, emotions), _longest(rows)
    return PatternsPart(letters, sum(counts.values()), whole, len(counts), n_recurring, tuple(groups), longest)


def _query(where: Mapping[str, str]) -> Query:
    here = "\n  AND ".join(f"{key} = {literal(value)}" for key, value in where.items())
    return Query(
        "Patterns",
        'SELECT "group", mined, labels, kind, pattern, support, lift, p_value, q_value\n'
        f"FROM patterns\nWHERE {here}\n  AND length > 1\n"
        'ORDER BY "group", mined, labels, kind, support DESC, pattern',
    )


def _group(name: str | None, n_sequences: int, rows: Sequence[_Row], gallery: Picture | None) -> PatternGroup:
    """Patterns of a group to show: gapped ones, and contiguous ones that are too long to be known as gapped."""
    at_once = {row["pattern"]: row["support"] for row in rows if row["kind"] == "contiguous"}
    gapped = [row for row in rows if row["kind"] == "gapped"]
    limit = min((row["longest"] for row in gapped), default=0)
    long = [row for row in rows if row["kind"] == "contiguous" and row["length"] > limit]
    listed = [
        row
        for row in (*gapped, *long)
        if row["length"] > 1 and row["closed"] is not False and row["pattern"].replace(_NOTHING, "").strip(" ->")
    ]
    # Where it is not known, it is probably a part of something longer.
    listed.sort(key=lambda row: (row["closed"] is None, -row["support"], -row["length"], row["pattern"]))
    typical = [row for row in listed if row["lift"] is not None and row["lift"] > 1 and row["q_value"] <= TYPICAL_Q]
    typical.sort(key=lambda row: (row["q_value"], -row["support"], -row["length"], row["pattern"]))

    def shown(chosen: Sequence[_Row]) -> tuple[PatternRow, ...]:
        return tuple(
            PatternRow(
                name,
                row["pattern"],
                row["support"] if row["kind"] == "gapped" else None,
                row["support"] / n_sequences,
                at_once.get(row["pattern"]),
                row["lift"],
                row["p_value"],
                row["q_value"],
                row["mined"],
            )
            for row in chosen
        )

    return PatternGroup(name, n_sequences, gallery, shown(listed[:SHOWN_PATTERNS]), shown(typical[:TYPICAL_PATTERNS]))


def _gallery(
    shards: Callable[[str], ShardReader],
    name: str | None,
    texts: Counter[str],
    palette: Palette,
    crop_size: int | None,
    overview: Overview,
) -> Picture | None:
    """Small multiples of the commonest temporal prototypes of a group; a single sequence is on its own page already."""
    total = sum(texts.values())
    if total < 2:
        return None
    items = []
    for text, n in commonest(texts, GALLERY_ROWS):
        file, sequence_id = overview.first[(name, text)]
        shard = shards(file)
        (row,) = [one for one in shard.sequences if one["sequence_id"] == sequence_id]
        sequence = SequenceTables(shard.of(sequence_id), row, crop_size)
        panels = tuple(sequence.panel(stage) for stage in sequence.stages[:MAX_PANELS])
        items.append(CommonPrototype(n, panels, len(sequence.stages) - len(panels)))
    alt = f"The {len(items)} commonest temporal prototypes of {name or 'all sequences'}: " + "; ".join(
        f"{item.n_sequences} sequences with {item.n_stages} stages" for item in items
    )
    which = (
        "The commonest temporal prototypes"
        if items[0].n_sequences > 1
        else "No temporal prototype occurs twice; some of them"
    )
    caption = (
        f"{which}, one row each, with one sequence as the example. Colour marks the fewest pixels that hold "
        f"{palette.maps.top_x:g} percent of a target’s positive relevance."
    )
    return Picture(save(prototype_gallery(items, total, palette)), alt, caption)
