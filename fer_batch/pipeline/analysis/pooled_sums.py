"""Sums of shards taken together: of all their sequences, or of some."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.analysis.accumulators import ACCUMULATORS, Key, MapSum, SequenceRow, SequenceSums
from fer_batch.pipeline.analysis.published_data import seen_sequences
from fer_batch.pipeline.analysis.sums import (
    Sums,
    has_all_maps,
    has_current,
    kept_sums,
    sequence_rows,
)
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import READ

PIECE = 64  # maps in memory


def pooled(parts: Iterable[Sums]) -> dict[Key, MapSum]:
    """Sums of several shards taken together.

    Parameters
    ----------
    parts
        Of each.
    """
    found: dict[Key, MapSum] = {}
    for part in parts:
        for key, own in part.items():
            found[key] = found[key] + own if key in found else own
    return found


def sums_of_shards(
    output: str, shards: Sequence[str], partition: Partition, targets: Sequence[str], names: Sequence[str]
) -> tuple[dict[str, dict[Key, MapSum]], dict[str, int]]:
    """Sums of some shards taken together, by accumulator, and of how many of them they cannot be had.

    Parameters
    ----------
    output, partition
        Where.
    shards
        By name.
    targets
        What the outputs of the network stand for.
    names
        Of accumulators.
    """
    found: dict[str, dict[Key, MapSum]] = {name: {} for name in names}
    n_missing = dict.fromkeys(names, 0)
    for shard in shards:
        for name in names:
            own = kept_sums(output, shard, partition, targets, name)
            if own is None:
                n_missing[name] += 1
            else:
                found[name] = pooled([found[name], own])
    return found, n_missing


def chosen_sums(
    store: Store,
    shard: str,
    partition: Partition,
    targets: Sequence[str],
    accumulator: str,
    sequences: Collection[str],
) -> Sums | None:
    """Sums of some sequences of a shard; None where they cannot be had.

    Where these are all that the shard has, they are its own. Else they are those that are kept of every sequence, or,
    where table `relevance` holds all maps, are made from them.

    Parameters
    ----------
    store, partition, shard
        Where.
    targets
        What the outputs of the network stand for.
    accumulator
        Its name.
    sequences
        Which; others than the shard has do not matter.
    """
    published = PartitionReader(store, partition).shard(f"{shard}.parquet")
    rows = published.table("sequences", ["sequence_id", "status"]).to_pylist()
    there = {row["sequence_id"] for row in rows if row["status"] in READ}
    if there <= set(sequences):
        return kept_sums(store.uri, shard, partition, targets, accumulator)
    wanted = there & set(sequences)
    if not wanted:
        return {}
    if has_all_maps(store, partition, shard):
        return _pooled_rows(_from_maps(store, shard, partition, targets, accumulator, wanted))
    if has_current(store, shard, accumulator):
        return _pooled_rows(row for row in sequence_rows(store, shard, accumulator) if row.sequence_id in wanted)
    return None


def _pooled_rows(rows: Iterable[SequenceRow]) -> dict[Key, MapSum]:
    return pooled({row.key: row.own} for row in rows)


def _from_maps(
    store: Store,
    shard: str,
    partition: Partition,
    targets: Sequence[str],
    accumulator: str,
    wanted: Collection[str],
) -> Iterable[SequenceRow]:
    (own,) = (one for one in ACCUMULATORS if one.name == accumulator)
    for data, seen in seen_sequences(store, partition, shard, targets):
        if data.sequence["sequence_id"] not in wanted:
            continue
        sums = SequenceSums(data, (own,), seen)
        for start in range(0, len(data.pairs), PIECE):
            pairs = np.arange(start, min(start + PIECE, len(data.pairs)))
            maps = (one for piece in data.maps(pairs) for one in piece)
            sums.add([(row, targets[output]) for row, output in data.pairs[pairs].tolist()], maps)
        yield from sums.rows()
