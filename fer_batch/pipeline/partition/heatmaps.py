"""Table `heatmaps`: mean maps of each target over a partition, from the sums that shard tasks took in passing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fer_batch.pipeline.analysis.accumulators import AT_MOMENTS, CROP, STANDARD, STANDARD_MAX, Key, MapSum
from fer_batch.pipeline.analysis.pooled_sums import pooled, sums_of_shards
from fer_batch.pipeline.analysis.sums import remove_older_sums
from fer_batch.pipeline.partition.stage import StageWork
from fer_batch.pipeline.progress import say
from fer_batch.storage.parquet import pack_maps, rows_of
from fer_batch.storage.writing import put_table

FILE = "collection.parquet"
TOGETHER = 8  # shards of a task
TASKS = 16  # at a time: on the standard face the sums of a task are some 10 MB
# Whose grid the maps of an accumulator are on, and what each map is divided by before it is summed.
TAKEN = {CROP.name: ("crop", "none"), STANDARD.name: ("standard", "none"), STANDARD_MAX.name: ("standard", "max"),
         AT_MOMENTS.name: ("standard", "max")}  # fmt: skip


def publish_heatmaps(work: StageWork) -> None:
    """Write the table: for every target the sum of its defined maps over their number.

    On the face crop those of all explained maps as they are (methods H-3, RV-5). On the standard face those of the
    targets that are found: what speaks for them, as it is and over its largest value, and of videos the latter at the
    onset, apex and offset of episodes.
    """
    remove_older_sums(work.store, work.partition)
    sums, n_missing = _summed(work)
    if most := max(n_missing.values()):
        say_missing(most, len(work.shards), "heatmaps")
    rows = [row for name, own in sums.items() for row in _rows(work, name, own, not n_missing[name])]
    path = f"{work.partition.folder('heatmaps')}/{FILE}"
    put_table(work.store, path, rows_of("heatmaps", rows), work.metadata)


def _summed(work: StageWork) -> tuple[dict[str, dict[Key, MapSum]], dict[str, int]]:
    """Sums over all shards by accumulator, and shards of which they cannot be had."""
    sums: dict[str, dict[Key, MapSum]] = {name: {} for name in TAKEN}
    n_missing = dict.fromkeys(TAKEN, 0)
    groups = [work.shards[start : start + TOGETHER] for start in range(0, len(work.shards), TOGETHER)]
    for start in range(0, len(groups), TASKS):
        for found, missing in work.over_shards(
            sums_of_shards, groups[start : start + TASKS], work.partition, work.targets, tuple(TAKEN)
        ):
            for name, own in found.items():
                sums[name] = pooled([sums[name], own])
                n_missing[name] += missing[name]
    return sums, n_missing


def _rows(work: StageWork, name: str, sums: Mapping[Key, MapSum], complete: bool) -> Iterator[dict[str, object]]:
    face, normalisation = TAKEN[name]
    common = {"method": work.config.explain.method, "face": face, "normalisation": normalisation, "complete": complete}
    together = pooled({key._replace(kind=""): own} for key, own in sums.items())
    for key, own in sorted(together.items()):
        values, scale = pack_maps((own.total / own.n)[None])
        size = {"height": values.shape[1], "width": values.shape[2]}
        relevance = {"scale": float(scale[0]), "relevance": values[0].ravel()}
        yield {"group": key.target, "moment": key.group or None, "n": own.n, **common, **size, **relevance}


def say_missing(n_missing: int, n_shards: int, table: str) -> None:
    """Tell that the maps of some shards are not in a table."""
    say(
        f"{table} is not complete: of {n_missing} of {n_shards} shards, which an earlier version of fer-batch "
        "published, too few maps were kept to be counted (column complete is false)"
    )
