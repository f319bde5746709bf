"""Table `episodes`: activity between rests of every recording, from what its shard publishes.

It needs no relevance map. So other options of `episodes` are a matter of seconds, whatever `keep_relevance` left, and
nothing is clustered again. A shard has a file of its own, which is made again when what it is made from changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import numpy as np
import pyarrow.compute as pc

from fer_batch.output.reader import PartitionReader, Reader, ShardReader
from fer_batch.pipeline.partition.stage import WAVE, StageWork
from fer_batch.prototypes.episodes import Episode, EpisodeRule, find_episodes
from fer_batch.prototypes.looks import in_looks
from fer_batch.prototypes.recording import Recording, evidence_of
from fer_batch.prototypes.stages import Label
from fer_batch.prototypes.temporal import prototype_text
from fer_batch.storage.manifest import digest
from fer_batch.storage.markers import Row
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.published import records_below, withdraw_file
from fer_batch.storage.store import Store
from fer_batch.storage.writing import TableWriter
from fer_batch.types import READ

VERSION = 1  # raised when the same tables would give other episodes
_FROM = ("sequences", "frames", "detections", "cluster_looks")


def publish_episodes(work: StageWork) -> None:
    """Write the table: a file for each shard that has a recording, where it is not there already."""
    folder = work.partition.folder("episodes")
    common = [VERSION, asdict(work.config.episodes), work.head, work.threshold]
    files = [work.store.files(work.partition.folder(name)) for name in _FROM]
    made = set(work.store.names(folder))
    recorded = records_below(work.store, folder)  # a file of a run that was killed may have none
    known = {f"{shard}.parquet" for shard in work.shards}
    for gone in sorted(made - known):
        withdraw_file(work.store, f"{folder}/{gone}")
    waiting = {}
    for shard in work.shards:
        name = f"{shard}.parquet"
        own = [(entry.size, entry.version) if (entry := found.get(name)) else None for found in files]
        key = digest([common, own])
        missing = name not in made or f"{folder}/{name}" not in recorded
        if missing or _made_from(PartitionReader(work.store, work.partition).shard(name)) != key:
            waiting[shard] = {**work.metadata, "episodes_from": key}
    how = work.config.episodes, work.head, work.threshold
    names = list(waiting)
    for start in range(0, len(names), WAVE):  # a task is told of the shards of its wave alone
        chosen = {shard: waiting[shard] for shard in names[start : start + WAVE]}
        for _ in work.over_shards(shard_episodes, list(chosen), work.partition, chosen, *how):
            pass


def _made_from(shard: ShardReader) -> str:
    return shard.metadata("episodes").get(b"episodes_from", b"").decode()


def shard_episodes(
    output: str,
    shard: str,
    partition: Partition,
    metadata: Mapping[str, Mapping[str, object]],
    rule: EpisodeRule,
    head: str,
    threshold: float,
) -> int:
    """Write the episodes of a shard; a shard without recordings has no file.

    Parameters
    ----------
    output, shard, partition
        Where.
    metadata
        Of the file, by shard.
    rule
        How activity becomes episodes.
    head, threshold
        Of the network.

    Returns
    -------
    int
        How many there are.
    """
    store = Store(output)
    published = PartitionReader(store, partition).shard(f"{shard}.parquet")
    path = published.path("episodes")
    recordings = [row for row in published.sequences if row["kind"] != "still" and row["status"] in READ]
    if not recordings:
        withdraw_file(store, path)
        return 0
    n, has_looks = 0, published.opened("cluster_looks") is not None
    with TableWriter(store, path, "episodes", metadata[shard], record=True) as writer:
        for row in recordings:
            rows = list(_rows(row, published.of(row["sequence_id"]), rule, head, threshold, has_looks))
            writer.write(rows_of("episodes", rows))
            n += len(rows)
    return n


def _rows(
    row: Row, reader: Reader, rule: EpisodeRule, head: str, threshold: float, has_looks: bool
) -> Iterator[dict[str, object]]:
    recording, seconds = recording_of(reader, head, threshold)
    step = float(np.median(np.diff(recording.place))) if len(recording.place) > 1 else 0.0
    start = dict(zip(recording.frame_index.tolist(), recording.place.tolist(), strict=True)) if seconds else {}
    looks = _looks(reader)
    for index, episode in enumerate(find_episodes(recording, rule)):
        first, last = start.get(episode.first_frame), start.get(episode.last_frame)
        end = None if last is None else last + step
        yield {
            "sequence_id": row["sequence_id"],
            "episode_index": index,
            "subject_id": row.get("subject_id"),
            "emotion": row.get("emotion"),
            "start_s": first,
            "end_s": end,
            "duration_s": None if first is None or end is None else end - first,
            "looks_text": prototype_text(in_looks(episode.prototype.label_sets, looks)) if has_looks else None,
            **_columns(episode),
        }


def _looks(reader: Reader) -> dict[Label, int | None]:
    """Look of each cluster of a recording; empty where none is published."""
    rows = reader("cluster_looks", ("target", "cluster", "look")).to_pylist()
    return {(row["target"], row["cluster"]): row["look"] for row in rows}


def _columns(episode: Episode) -> dict[str, object]:
    prototype = episode.prototype
    return {
        "first_frame": episode.first_frame,
        "last_frame": episode.last_frame,
        "n_frames": prototype.n_frames,
        "n_missing_frames": prototype.n_missing_frames,
        "n_stages": prototype.n_stages,
        "text": prototype.text,
        "cooccurrence_text": prototype.cooccurrence_text,
        "prototype_id": prototype.prototype_id,
        "cooccurrence_id": prototype.cooccurrence_id,
        "stages": prototype.stage_texts,
        "stage_first_frames": [stage.first_frame for stage in prototype.stages],
        "stage_n_frames": [stage.n_frames for stage in prototype.stages],
        "targets": [peak.target for peak in episode.peaks],
        "target_frames": [peak.n_frames for peak in episode.peaks],
        "target_peaks": [peak.frame for peak in episode.peaks],
        "target_evidence": [peak.evidence for peak in episode.peaks],
        "lasting": list(episode.lasting),
        "peak_frame": episode.peak_frame,
        "begins": episode.begins,
        "ends": episode.ends,
    }


def recording_of(reader: Reader, head: str, threshold: float) -> tuple[Recording, bool]:
    """A recording as its tables have it, and whether its places are seconds.

    Frames have their place in time by the clock; numbered pictures by their numbers, others by their order.

    Parameters
    ----------
    reader
        Of its rows.
    head, threshold
        Of the network.
    """
    frames = reader("frames", ("frame_index", "source_frame", "timestamp_ns", "status")).sort_by("frame_index")
    index = frames["frame_index"].to_numpy().astype(np.int64)
    ok = np.asarray(pc.equal(frames["status"], "ok").to_numpy(zero_copy_only=False), bool)
    place, seconds = index.astype(np.float64), False
    for name, scale in (("timestamp_ns", 1e-9), ("source_frame", 1.0)):
        column = frames[name]
        if len(index) and not column.null_count:
            place, seconds = column.to_numpy() * scale, name == "timestamp_ns"
            break
    found = reader("detections", ("frame_index", "target", "logit", "active", "cluster"))
    targets = tuple(dict.fromkeys(found["target"].to_pylist()))
    shape = int(ok.sum()), len(targets)
    at = np.searchsorted(index[ok], found["frame_index"].to_numpy())
    column = pc.index_in(found["target"], pc.unique(found["target"])).to_numpy()
    logits = np.full(shape, -np.inf)
    logits[at, column] = found["logit"].to_numpy()
    active = np.asarray(found["active"].to_numpy(zero_copy_only=False), bool)
    letters: dict[str, list[str | None]] = {target: [None] * shape[0] for target in targets}
    chosen = np.flatnonzero(active)
    names = found["cluster"].take(chosen).to_pylist()
    for row, output, name in zip(at[chosen].tolist(), column[chosen].tolist(), names, strict=True):
        letters[targets[output]][row] = name or ""
    return Recording(index, ok, place, targets, evidence_of(logits, head, threshold), letters), seconds
