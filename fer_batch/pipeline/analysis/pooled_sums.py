"""Sums of shards taken together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fer_batch.pipeline.analysis.accumulators import Key, MapSum
from fer_batch.pipeline.analysis.sums import Sums, kept_sums
from fer_batch.storage.parquet import Partition


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
