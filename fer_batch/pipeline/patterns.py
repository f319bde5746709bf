"""Which sub-sequences of stages the stories of a partition share, and which are typical of an emotion."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pyarrow.compute as pc
import pyarrow.parquet as pq

from fer_batch.prototypes.patterns import GroupPattern, mine
from fer_batch.prototypes.stages import LabelSet, parse_stage
from fer_batch.prototypes.temporal import ARROW
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition, encode, read, rows_of
from fer_batch.storage.store import Store

FILE = "patterns.parquet"
MIN_SHARE = 0.01  # of the stories of a group; in a group of 200 or fewer, two stories
_METHOD = 1  # raised when the same stories would give other rows
_KEY = "stories"


def publish_patterns(store: Store, partition: Partition, metadata: Mapping[str, object] | None = None) -> int:
    """Write table `patterns` of a partition, where its stories are not those it was written from.

    It is one file that says in its metadata which stories it is of, so it is replaced whole or not at all. Stills tell
    no stories: a partition without any has no file.

    Returns
    -------
    int
        Stories that were mined; 0 where the table is current.
    """
    stories = _stories(store, partition)
    path = f"{partition.folder('patterns')}/{FILE}"
    if not stories:
        store.delete(path)
        return 0
    key = digest([_METHOD, MIN_SHARE, stories])
    if _written_from(store, path) == key:
        return 0
    rows = pattern_rows([text for text, _ in stories], [emotion for _, emotion in stories])
    store.put(path, encode(rows_of("patterns", rows), {**(metadata or {}), _KEY: key}))
    return len(stories)


def pattern_rows(texts: list[str], emotions: list[str | None]) -> list[dict[str, object]]:
    """Rows of table `patterns` of some stories, as text."""
    spelled: dict[LabelSet, str] = {}  # as the stories write it: names of targets are read, never written anew
    known: dict[str, LabelSet] = {}
    stories = []
    for text in texts:
        story = []
        for stage in text.split(ARROW):
            if stage not in known:
                known[stage] = parse_stage(stage)
                spelled[known[stage]] = stage
            story.append(known[stage])
        stories.append(story)
    return [_row(found, spelled) for found in mine(stories, emotions, min_share=MIN_SHARE)]


def _row(found: GroupPattern, spelled: Mapping[LabelSet, str]) -> dict[str, object]:
    pattern = found.pattern
    return {
        "group": found.group,
        "pattern": ARROW.join(spelled[stage] for stage in pattern.story),
        "length": len(pattern.story),
        "kind": pattern.kind,
        "support": pattern.support,
        "lift": _known(found.lift),
        "p_value": _known(found.p_value),
        "q_value": _known(found.q_value),
        "maximal": pattern.maximal,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _stories(store: Store, partition: Partition) -> list[tuple[str, str | None]]:
    """(text, emotion) of every sequence that shows a face, in an order that sharding does not change."""
    rows = read(
        store,
        "temporal_prototypes",
        dataset=partition.dataset,
        model=partition.model,
        explain=partition.explain,
        columns=["text", "emotion", "n_frames"],
    )
    rows = rows.filter(pc.greater(rows["n_frames"], 0))
    pairs = zip(rows["text"].to_pylist(), rows["emotion"].to_pylist(), strict=True)
    return sorted(pairs, key=lambda pair: (pair[0], pair[1] or ""))


def _written_from(store: Store, path: str) -> str | None:
    if not store.exists(path):
        return None
    with store.fs.open(store.path(path), "rb") as handle:
        found = (pq.read_schema(handle).metadata or {}).get(_KEY.encode())
    return found.decode() if found else None
