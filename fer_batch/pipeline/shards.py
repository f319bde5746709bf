"""Shards: which units share one file per table, decided once and written down before the first file.

A changed input is in a new shard; its rows in the old one go when the new one is made (`replaces`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fer_batch.storage.manifest import COMMITS, PLANS, STAGE, Ledger, digest, dump
from fer_batch.storage.parquet import Partition, TableWriter
from fer_batch.storage.store import Store

SHARD_TABLES = (
    "sequences",
    "frames",
    "detections",
    "relevance",
    "prototypes",
    "stages",
    "temporal_prototypes",
)


def plan_shards(ledger: Ledger, partition: Partition, unit_ids: Iterable[str], size: int) -> list[str]:
    """Write plans for committed units that no plan holds yet; names of the new shards.

    Parameters
    ----------
    ledger
        Its plans are extended.
    unit_ids
        Committed units of this partition that the present listing has.
    size
        Units of a shard.
    """
    planned = ledger.planned_units()
    commits = ledger.commits(set(unit_ids) & ledger.committed)
    fresh = [commit for commit in commits.values() if commit["attempt"] > planned.get(commit["unit_id"], 0)]
    fresh.sort(key=lambda commit: commit["sequences"][0]["sequence_id"])
    key = digest(asdict(partition), 8)
    number = len(ledger.plans)  # numbers rise over all partitions, so that they tell which plan is newer
    owner = _owners(ledger, partition, SHARD_TABLES[0])
    annotation_owner = _owners(ledger, partition, "annotations")
    names = []
    for start in range(0, len(fresh), size):
        name = f"{key}-{number:05d}"
        number += 1
        chosen = fresh[start : start + size]
        sequences = [row["sequence_id"] for commit in chosen for row in commit["sequences"]]
        truth = {source["sequence_id"]: _truth_version(source) for commit in chosen for source in commit["sources"]}
        annotated = {
            sequence: version
            for sequence, version in truth.items()
            if version and annotation_owner.get(sequence, ("", ""))[1] != version
        }
        plan = {
            "shard": name,
            "partition": asdict(partition),
            "units": [
                {
                    "unit_id": commit["unit_id"],
                    "attempt": commit["attempt"],
                    "members": [row["identity"] for row in commit["sequences"]],
                }
                for commit in chosen
            ],
            "sequences": sequences,
            "annotations": annotated,
            "replaces": _replaced(sequences, owner),
            "replaces_annotations": _replaced(annotated, annotation_owner),
        }
        ledger.store.put_once(f"{PLANS}/{name}.json", dump(plan))
        ledger.plans[name] = plan
        owner.update(dict.fromkeys(sequences, (name, "")))
        annotation_owner.update({sequence: (name, version) for sequence, version in annotated.items()})
        names.append(name)
    return names


def _truth_version(source: dict[str, Any]) -> str:
    """Whether an input has ground truth, and which."""
    if not source["annotations_uri"] and not source["labels"]:
        return ""
    return digest([source["labels"], source["truth_version"]])


def _owners(ledger: Ledger, partition: Partition, table: str) -> dict[str, tuple[str, str]]:
    """The shard that holds the rows of each sequence now, and for annotations their version."""
    owners: dict[str, tuple[str, str]] = {}
    for name in sorted(ledger.plans, key=lambda name: name.rpartition("-")[2]):
        plan = ledger.plans[name]
        if table == "annotations":
            if plan["partition"]["dataset"] == partition.dataset:
                owners.update({sequence: (name, version) for sequence, version in plan["annotations"].items()})
        elif plan["partition"] == asdict(partition):
            owners.update(dict.fromkeys(plan["sequences"], (name, "")))
    return owners


def _replaced(sequences: Iterable[str], owners: dict[str, tuple[str, str]]) -> dict[str, list[str]]:
    replaced: dict[str, list[str]] = {}
    for sequence in sequences:
        if sequence in owners:
            replaced.setdefault(owners[sequence][0], []).append(sequence)
    return replaced


def drop_replaced(store: Store, partition: Partition, plans: Sequence[dict[str, Any]]) -> None:
    """Remove from older shards the rows that these plans replace; done twice it changes nothing."""
    for key, tables in (("replaces", SHARD_TABLES), ("replaces_annotations", ("annotations",))):
        gone: dict[str, set[str]] = {}
        for plan in plans:
            for shard, sequences in plan[key].items():
                gone.setdefault(shard, set()).update(sequences)
        for shard, sequences in gone.items():
            for table in tables:
                _filter_file(store, partition, table, shard, sequences)


def _filter_file(store: Store, partition: Partition, table: str, shard: str, gone: set[str]) -> None:
    path = f"{partition.folder(table)}/{shard}.parquet"
    if not store.exists(path):
        return
    with store.fs.open(store.path(path), "rb") as handle:
        file = pq.ParquetFile(handle)
        metadata = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
        value_set = pa.array(sorted(gone))
        with TableWriter(store, path, table, metadata) as writer:
            for batch in file.iter_batches(batch_size=1024):
                rows = pa.Table.from_batches([batch])
                writer.write(rows.filter(pc.invert(pc.is_in(rows["sequence_id"], value_set=value_set))))


def sweep_stage(ledger: Ledger) -> None:
    """Remove the stage files of units whose shard is published (a killed run may have left them)."""
    staged = set(ledger.store.names(STAGE))
    for name, plan in ledger.plans.items():
        if name in ledger.shards:
            for unit in plan["units"]:
                if unit["unit_id"] in staged and _published(ledger, unit):
                    ledger.store.delete(f"{STAGE}/{unit['unit_id']}")


def _published(ledger: Ledger, unit: dict[str, Any]) -> bool:
    """Whether the newest attempt of a unit is the one that is published."""
    if unit["unit_id"] not in ledger.committed:
        return False  # a retry is under way
    commit = ledger.commits([unit["unit_id"]])[unit["unit_id"]]
    return commit["attempt"] == unit["attempt"]


def commit_path(unit_id: str) -> str:
    """Path of a unit's commit marker."""
    return f"{COMMITS}/{unit_id}.json"
