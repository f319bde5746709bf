"""Which sub-sequences of stages the temporal prototypes of a partition share, and which are typical of an emotion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow.compute as pc

from fer_batch.pipeline.partition.stage import PublishedStages
from fer_batch.prototypes.patterns import GroupPattern, mine
from fer_batch.prototypes.stages import LabelSet, parse_stage
from fer_batch.prototypes.temporal import ARROW
from fer_batch.storage.parquet import Partition, read, rows_of
from fer_batch.storage.published import withdraw_file
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table

FILE = "patterns.parquet"
SEQUENCES, EPISODES = "sequences", "episodes"  # what is mined
MIN_SHARE = 0.01  # of the sequences of a group; in a group of 200 or fewer, two sequences
MAX_LENGTH = 6  # stages up to which every pattern is looked for
LABELS = ("targets", "letters", "looks")  # active targets alone, with letters of clusters, with looks
_TEXTS = {
    "targets": ("temporal_prototypes", "cooccurrence_text"),
    "letters": ("temporal_prototypes", "text"),
    "looks": ("look_prototypes", "text"),
}
_OF_EPISODES = {"targets": "cooccurrence_text", "letters": "text", "looks": "looks_text"}


@dataclass(frozen=True)
class PatternSearch:
    """What is looked for; see `prototypes.patterns.common_patterns`.

    Attributes
    ----------
    max_length
        Stages up to which every pattern is looked for.
    relation
        `equal`: a sequence has the stages of a pattern. `subset`: it has stages that include them.
    """

    max_length: int = MAX_LENGTH
    relation: str = "equal"


_SEARCH = PatternSearch()


def publish_patterns(
    store: Store,
    partition: Partition,
    metadata: Mapping[str, object] | None = None,
    search: PatternSearch = _SEARCH,
) -> int:
    """Write table `patterns` of a partition.

    It is one file, so it is replaced whole or not at all. Stills have no temporal prototypes: a partition of stills
    alone has no file.

    Parameters
    ----------
    store, partition
        Where.
    metadata
        Of the file.
    search
        What to look for.

    Returns
    -------
    int
        Sequences that were mined.
    """
    sequences = _sequences(store, partition, *_TEXTS["letters"])
    path = f"{partition.folder('patterns')}/{FILE}"
    if not sequences:
        withdraw_file(store, path)
        return 0
    rows = []
    for labels in LABELS:
        known = sequences if labels == "letters" else _sequences(store, partition, *_TEXTS[labels])
        texts, emotions = [text for text, _ in known], [emotion for _, emotion in known]
        rows += pattern_rows(texts, emotions, labels=labels, search=search)
        own = _episodes(store, partition, _OF_EPISODES[labels])
        rows += pattern_rows(own.texts, own.emotions, labels=labels, search=search, owners=own.owners)
    put_table(store, path, rows_of("patterns", rows), metadata)
    return len(sequences)


def looked_for(store: Store, partition: Partition) -> PatternSearch:
    """What the table of a partition lists, as the job said that published it."""
    options = PublishedStages(store, partition).options("patterns")
    return PatternSearch(int(options["max_length"] or 0), str(options["relation"])) if options else PatternSearch()


def pattern_rows(
    texts: list[str],
    emotions: list[str | None],
    *,
    labels: str = "letters",
    search: PatternSearch = _SEARCH,
    owners: list[int] | None = None,
) -> list[dict[str, object]]:
    """Rows of table `patterns` of some temporal prototypes, as text.

    Parameters
    ----------
    texts, emotions
        Of each sequence; where `owners` are given, the emotions are theirs.
    labels
        What the stages of the texts are made of, of `LABELS`.
    search
        What to look for.
    owners
        Of episodes, the number of the sequence that each is of.
    """
    spelled: dict[LabelSet, str] = {}  # as the texts write it: names of targets are read, never written anew
    known: dict[str, LabelSet] = {}
    sequences = []
    for text in texts:
        stages = []
        for stage in text.split(ARROW):
            if stage not in known:
                known[stage] = parse_stage(stage)
                spelled[known[stage]] = stage
            stages.append(known[stage])
        sequences.append(stages)
    length, relation = search.max_length, search.relation
    found = mine(sequences, emotions, min_share=MIN_SHARE, max_length=length, relation=relation, owners=owners)
    common = {"letters": labels == "letters", "labels": labels, "mined": SEQUENCES if owners is None else EPISODES}
    return [_row(one, spelled) | common for one in found]


def _row(found: GroupPattern, spelled: Mapping[LabelSet, str]) -> dict[str, object]:
    pattern = found.pattern
    return {
        "group": found.group,
        "pattern": ARROW.join(spelled[stage] for stage in pattern.stages),
        "length": len(pattern.stages),
        "kind": pattern.kind,
        "support": pattern.support,
        "lift": _known(found.lift),
        "p_value": _known(found.p_value),
        "q_value": _known(found.q_value),
        "maximal": pattern.maximal,
        "closed": pattern.closed,
        "longest": found.longest,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _sequences(store: Store, partition: Partition, table: str, column: str) -> list[tuple[str, str | None]]:
    """(text, emotion) of sequences that show a face, in an order that sharding leaves alone."""
    columns = [column, "emotion", "n_frames"]
    rows = read(store, table, **partition.key, columns=columns)
    rows = rows.filter(pc.and_(pc.greater(rows["n_frames"], 0), pc.is_valid(rows[column])))
    found = zip(rows[column].to_pylist(), rows["emotion"].to_pylist(), strict=True)
    return sorted(found, key=lambda own: (own[0], own[1] or ""))


class _Episodes(NamedTuple):
    """Texts of the episodes, the number of the sequence of each, and the emotion of every sequence with a face."""

    texts: list[str]
    owners: list[int]
    emotions: list[str | None]


def _episodes(store: Store, partition: Partition, column: str) -> _Episodes:
    rows = read(store, "temporal_prototypes", **partition.key, columns=["sequence_id", "emotion", "n_frames"])
    rows = rows.filter(pc.greater(rows["n_frames"], 0)).sort_by("sequence_id")
    number = {name: i for i, name in enumerate(rows["sequence_id"].to_pylist())}
    table = read(store, "episodes", **partition.key, columns=["sequence_id", "episode_index", column])
    table = table.sort_by([("sequence_id", "ascending"), ("episode_index", "ascending")])
    # Without the rows of a sequence that was replaced after its episodes were made.
    owned = pc.is_in(table["sequence_id"], value_set=rows["sequence_id"].combine_chunks())
    known = table.filter(pc.and_(owned, pc.is_valid(table[column])))
    owners = [number[name] for name in known["sequence_id"].to_pylist()]
    return _Episodes(known[column].to_pylist(), owners, rows["emotion"].to_pylist())
