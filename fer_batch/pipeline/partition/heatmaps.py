"""Table `heatmaps`: the mean map of each target over a partition, from the sums that shard tasks took in passing."""

from __future__ import annotations

from fer_batch.pipeline.analysis.accumulators import CROP, MapSum
from fer_batch.pipeline.analysis.sums import kept_sums, remove_older_sums
from fer_batch.pipeline.partition.stage import StageWork
from fer_batch.pipeline.progress import say
from fer_batch.storage.parquet import encode, pack_maps, rows_of

FILE = "collection.parquet"
NORMALISATION = "none"  # methods H-3 and RV-5: the sum of the maps over their number


def publish_heatmaps(work: StageWork) -> None:
    """Write the table: for every target the sum of its defined maps over their number, on the face crop."""
    remove_older_sums(work.store, work.partition)
    sums: dict[str, MapSum] = {}
    n_missing = 0
    for part in work.over_shards(kept_sums, work.shards, work.partition, work.targets, CROP.name):
        if part is None:
            n_missing += 1
            continue
        for key, own in part.items():
            sums[key.target] = sums[key.target] + own if key.target in sums else own
    if n_missing:
        say_missing(n_missing, len(work.shards), "heatmaps")
    rows = []
    for target, own in sorted(sums.items()):
        values, scale = pack_maps((own.total / own.n)[None])
        row = {"group": target, "method": work.config.explain.method, "n": own.n, "normalisation": NORMALISATION,
               "face": "crop"}  # fmt: skip
        size = {"height": values.shape[1], "width": values.shape[2]}
        relevance = {"scale": float(scale[0]), "relevance": values[0].ravel(), "complete": not n_missing}
        rows.append({**row, **size, **relevance})
    work.store.put(f"{work.partition.folder('heatmaps')}/{FILE}", encode(rows_of("heatmaps", rows), work.metadata))


def say_missing(n_missing: int, n_shards: int, table: str) -> None:
    """Tell that the maps of some shards are not in a table."""
    say(
        f"{table} is not complete: of {n_missing} of {n_shards} shards, which an earlier version of fer-batch "
        "published, too few maps were kept to be counted (column complete is false)"
    )
