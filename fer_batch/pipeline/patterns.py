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
MAX_LENGTH = 6  # stages up to which every pattern is looked for
_METHOD = 2  # raised when the same stories would give other rows
_KEY, _LENGTH = "stories", "max_pattern"


def publish_patterns(
    store: Store,
    partition: Partition,
    metadata: Mapping[str, object] | None = None,
    max_length: int | None = None,
) -> int:
    """Write table `patterns` of a partition, where its stories are not those it was written from.

    It is one file that says in its metadata which stories it is of, so it is replaced whole or not at all. Stills tell
    no stories: a partition without any has no file.

    Parameters
    ----------
    max_length
        See `prototypes.patterns.common_patterns`; None keeps that of the table.

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
    written = _written_from(store, path)
    if max_length is None:
        max_length = int(written.get(_LENGTH, MAX_LENGTH))
    key = digest([_METHOD, MIN_SHARE, max_length, stories])
    if written.get(_KEY) == key:
        return 0
    rows = []
    for letters in (False, True):
        told = [(text if letters else plain, emotion) for text, plain, emotion in stories]
        known = [(text, emotion) for text, emotion in told if text is not None]
        texts, emotions = [text for text, _ in known], [emotion for _, emotion in known]
        rows += pattern_rows(texts, emotions, letters=letters, max_length=max_length)
    store.put(path, encode(rows_of("patterns", rows), {**(metadata or {}), _KEY: key, _LENGTH: str(max_length)}))
    return len(stories)


def looked_for(store: Store, partition: Partition) -> int | None:
    """`max_length` of the table of a partition; 0 for one of an earlier version, None where there is none."""
    path = f"{partition.folder('patterns')}/{FILE}"
    return int(_written_from(store, path).get(_LENGTH, 0)) if store.exists(path) else None


def pattern_rows(
    texts: list[str], emotions: list[str | None], *, letters: bool = True, max_length: int = MAX_LENGTH
) -> list[dict[str, object]]:
    """Rows of table `patterns` of some stories, as text: with letters of clusters, or of active targets alone."""
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
    found = mine(stories, emotions, min_share=MIN_SHARE, max_length=max_length)
    return [{**_row(one, spelled), "letters": letters} for one in found]


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


def _stories(store: Store, partition: Partition) -> list[tuple[str, str | None, str | None]]:
    """(text, text without letters, emotion) of sequences that show a face, in an order that sharding leaves alone."""
    columns = ["text", "cooccurrence_text", "emotion", "n_frames"]
    rows = read(
        store,
        "temporal_prototypes",
        dataset=partition.dataset,
        model=partition.model,
        explain=partition.explain,
        columns=columns,
    )
    rows = rows.filter(pc.greater(rows["n_frames"], 0))
    found = zip(*(rows[name].to_pylist() for name in columns[:-1]), strict=True)
    return sorted(found, key=lambda story: (story[0], story[2] or "", story[1] or ""))


def _written_from(store: Store, path: str) -> dict[str, str]:
    """What the metadata of the table say; empty where there is none."""
    if not store.exists(path):
        return {}
    with store.fs.open(store.path(path), "rb") as handle:
        metadata = pq.read_schema(handle).metadata or {}
    return {key.decode(): value.decode() for key, value in metadata.items()}
