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

from fer_batch.pipeline.shard_sums import drop_sequences
from fer_batch.storage.manifest import PLANS, STAGE, Ledger, digest, dump
from fer_batch.storage.parquet import Partition, TableWriter, table_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError

SHARD_TABLES = (
    "sequences",
    "frames",
    "detections",
    "relevance",
    "prototypes",
    "stages",
    "temporal_prototypes",
)


def unplanned(ledger: Ledger, partition: Partition, listed: set[str]) -> list[dict[str, Any]]:
    """Commits of this partition that no plan holds yet, in the order of their inputs.

    Parameters
    ----------
    listed
        Identities of the inputs of the present listing; an input that changed after it was committed is left out.
    """
    mine = asdict(partition)
    found = []
    for commit in ledger.commits(ledger.committed - ledger.planned_units()).values():
        current = [row for row in commit["sequences"] if row["identity"] in listed]
        if commit["partition"] == mine and current:
            found.append({**commit, "sequences": current})
    return sorted(found, key=lambda commit: commit["sequences"][0]["sequence_id"])


def plan_shards(ledger: Ledger, partition: Partition, commits: Sequence[dict[str, Any]], size: int) -> list[str]:
    """Write plans for commits of `unplanned`; names of the new shards.

    Parameters
    ----------
    ledger
        Its plans are extended.
    size
        Units of a shard.
    """
    key = digest(asdict(partition), 8)
    number = len(ledger.plans)  # numbers rise over all partitions, so that they tell which plan is newer
    owner = _owners(ledger, partition, SHARD_TABLES[0])
    annotation_owner = _owners(ledger, partition, "annotations")
    names = []
    for start in range(0, len(commits), size):
        name = f"{key}-{number:05d}"
        number += 1
        chosen = commits[start : start + size]
        sequences = [row["sequence_id"] for commit in chosen for row in commit["sequences"]]
        current = set(sequences)
        truth = {
            source["sequence_id"]: _truth_version(source)
            for commit in chosen
            for source in commit["sources"]
            if source["sequence_id"] in current
        }
        annotated = {
            sequence: version
            for sequence, version in truth.items()
            if version and not _has_truth(ledger, partition, annotation_owner.get(sequence), version)
        }
        plan = {
            "shard": name,
            "partition": asdict(partition),
            "units": [
                {
                    "unit_id": commit["unit_id"],
                    "members": {row["identity"]: _input(row) for row in commit["sequences"]},
                }
                for commit in chosen
            ],
            "sequences": sequences,
            "faces": {
                row["sequence_id"]: _input(row)
                for commit in chosen
                for row in commit["sequences"]
                if row["sequence_id"] != _input(row)
            },
            "annotations": annotated,
            "replaces": _with_faces(ledger, _replaced(sequences, owner)),
            "replaces_annotations": _replaced(annotated, annotation_owner),
        }
        if not ledger.store.put_once(f"{PLANS}/{name}.json", dump(plan)):
            raise InputError(
                f"another run is planning shards in {ledger.store.uri!r} at this moment; let it end, then run again"
            )
        ledger.plans[name] = plan
        owner.update(dict.fromkeys(sequences, (name, "")))
        annotation_owner.update({sequence: (name, version) for sequence, version in annotated.items()})
        names.append(name)
    return names


def _input(row: dict[str, Any]) -> str:
    """The input of a row of table `sequences`: itself, but for the second and further people of an input."""
    return row.get("input", row["sequence_id"])


def _truth_version(source: dict[str, Any]) -> str:
    """Whether an input has ground truth, and which."""
    if not source["annotation_uris"] and not source["labels"]:
        return ""
    return digest([source["labels"], source["truth_version"]])


def _has_truth(ledger: Ledger, partition: Partition, owner: tuple[str, str] | None, version: str) -> bool:
    """Whether another shard publishes this ground truth; that of another model may never have been finished."""
    if owner is None or owner[1] != version:
        return False
    return owner[0] in ledger.shards or ledger.plans[owner[0]]["partition"] == asdict(partition)


def _by_age(ledger: Ledger) -> list[str]:
    return sorted(ledger.plans, key=lambda name: int(name.rpartition("-")[2]))


def _owners(ledger: Ledger, partition: Partition, table: str) -> dict[str, tuple[str, str]]:
    """The shard that holds the rows of each sequence now, and for annotations their version."""
    owners: dict[str, tuple[str, str]] = {}
    for name in _by_age(ledger):
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


def _with_faces(ledger: Ledger, replaced: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same with all people of a replaced input: the new one may show fewer."""
    found = {}
    for shard, inputs in replaced.items():
        faces = ledger.plans[shard].get("faces", {})
        found[shard] = [*inputs, *(face for face, of in faces.items() if of in inputs and face not in inputs)]
    return found


def superseded(ledger: Ledger, partition: Partition) -> dict[str, set[str]]:
    """Planned inputs whose rows a newer plan replaced: identities by unit.

    Such an input is not done: where it comes back as it was then, it is new.
    """
    owners = _owners(ledger, partition, SHARD_TABLES[0])
    old: dict[str, set[str]] = {}
    for name, plan in ledger.plans.items():
        for unit in plan["units"] if plan["partition"] == asdict(partition) else ():
            gone = {identity for identity, sequence in unit["members"].items() if owners[sequence][0] != name}
            if gone:
                old[unit["unit_id"]] = gone
    return old


def without_replaced(ledger: Ledger, plans: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """These plans less what newer plans replace: an old plan may be published after a newer one was made."""
    gone: dict[str, set[str]] = {}
    unowned: dict[str, set[str]] = {}
    for plan in ledger.plans.values():
        for key, found in (("replaces", gone), ("replaces_annotations", unowned)):
            for shard, sequences in plan[key].items():
                found.setdefault(shard, set()).update(sequences)
    left = []
    for plan in plans:
        old = gone.get(plan["shard"], set())
        units = [
            {**unit, "members": {k: v for k, v in unit["members"].items() if v not in old}} for unit in plan["units"]
        ]
        truth = {k: v for k, v in plan["annotations"].items() if k not in unowned.get(plan["shard"], set())}
        left.append({**plan, "units": units, "annotations": truth})
    return left


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
            if key == "replaces":
                drop_sequences(store, shard, sequences)


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
                # A file of an older version may lack a column.
                rows = table_of(table, dict(zip(batch.schema.names, batch.columns, strict=True)))
                writer.write(rows.filter(pc.invert(pc.is_in(rows["sequence_id"], value_set=value_set))))


def sweep_stage(ledger: Ledger) -> None:
    """Remove the stage files of units whose shard is published (a killed run may have left them)."""
    staged = set(ledger.store.names(STAGE))
    for name in ledger.shards:
        for unit in ledger.plans[name]["units"]:
            if unit["unit_id"] in staged:
                ledger.store.delete(f"{STAGE}/{unit['unit_id']}")
