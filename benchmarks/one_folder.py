"""One folder with 50,000 pictures: seconds and memory of planning, of an output that has them all, and of its report.

    python -m benchmarks.one_folder                # or --pictures N, --folder DIR

The pictures are links to one file. Explaining 50,000 of them would take hours and says nothing about folders: their
tables are written as a run would leave them, each with a face, seven probabilities and an active class, without maps.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.listing import measured
from fer_batch.config import RunConfig, read_jobs
from fer_batch.pipeline.analysis.plans import plan_shards, unplanned
from fer_batch.pipeline.explaining.units import Unit
from fer_batch.pipeline.plan import Plan, make_plans
from fer_batch.posed.clips import write_stills
from fer_batch.storage.manifest import COMMITS, SHARD_TABLES, Ledger
from fer_batch.storage.markers import Commit, ShardMarker, ShardPlan
from fer_batch.storage.parquet import rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import TableWriter

JOB = Path(__file__).parents[1] / "jobs" / "stills.yaml"


def fill(folder: Path, n: int) -> None:
    """Names for one picture, all in one folder."""
    folder.mkdir()
    (picture,) = write_stills(folder.with_name("one"), n=1, seed=0, size=112)
    for i in range(n):
        os.link(picture, folder / f"picture {i:06d}.jpg")


def commit(store: Store, plan: Plan, unit: Unit) -> None:
    """Write the commit of a pack, as phase 1 does."""
    rows = tuple(
        {"sequence_id": ref.sequence_id, "identity": own, "input": ref.sequence_id, "kind": "still", "uri": ref.uri,
         "status": "done", "n_frames": 1, "n_decoded": 1, "unit_id": unit.unit_id, "run_id": "r"}
        for ref, own in zip(unit.members, unit.identities, strict=True)
    )  # fmt: skip
    done = Commit(unit_id=unit.unit_id, partition=plan.partition, n_files=0, sequences=rows)
    store.put(f"{COMMITS}/{unit.unit_id}.json", done.to_json())


def publish(store: Store, plan: Plan, shard: ShardPlan, rng: np.random.Generator) -> None:
    """Write tables and marker of a shard, as phase 2 does."""
    names = shard.sequences
    first = {"run_id": "r", "kind": "still", "status": "done", "n_frames": 1, "n_decoded": 1}
    tables = {name: [] for name in SHARD_TABLES}
    tables["sequences"] = [{"sequence_id": name, **first} for name in names]
    tables["frames"] = [
        {"sequence_id": name, "frame_index": 0, "status": "ok", "face_box": [0.0, 0.0, 111.0, 111.0]} for name in names
    ]
    for name, active in zip(names, rng.integers(0, len(plan.model.targets), len(names)).tolist(), strict=True):
        tables["detections"] += [
            {"sequence_id": name, "frame_index": 0, "target": target, "logit": 2.0 * (k == active),
             "probability": 0.5 if k == active else 0.08, "active": k == active}
            for k, target in enumerate(plan.model.targets)
        ]  # fmt: skip
    files = {}
    for table, rows in tables.items():
        path = f"{plan.partition.folder(table)}/{shard.shard}.parquet"
        with TableWriter(store, path, table, {"model_digest": plan.model.digest}) as writer:
            writer.write(rows_of(table, rows))
        files[table] = writer.state
    marker = ShardMarker(
        shard=shard.shard, partition=plan.partition, analysis_id="invented", files=files,
        units=tuple(unit.unit_id for unit in shard.units), counts={"done": len(names)},
    )  # fmt: skip
    store.put(marker.path, marker.to_json())


def write_output(config: RunConfig) -> None:
    """All pictures, explained and published."""
    store, rng = Store(config.output), np.random.default_rng(0)
    (plan,) = make_plans([config], store)
    for unit in plan.units:
        commit(store, plan, unit)
    ledger = Ledger(store)
    names = plan_shards(ledger, plan.partition, unplanned(ledger, plan.partition, plan.listed), 16)
    for name in names:
        publish(store, plan, ledger.plans[name], rng)


def main() -> None:
    """Make folder and output, time the commands, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--folder", help="where all of it lies; a temporary folder where not given")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as made:
        source, output = Path(made) / "pictures", Path(made) / "out"
        fill(source, asked.pictures)
        overrides = (f"source.uri={source}", "faces.detector=none", "phases=[explain]")
        run = ["run", str(JOB), "--output", str(output)]
        run += [word for one in overrides for word in ("--set", one)]
        (config,) = read_jobs(str(JOB), overrides, str(output))
        print("| | seconds | of CPU | peak MiB |\n|---|---:|---:|---:|")
        for name, command in {
            "`inspect` of the folder": ["inspect", str(source)],
            "`run --dry-run`, nothing done yet": [*run, "--dry-run"],
            "": [],
            "`run`, all done": run,
            "`status`": ["status", str(output)],
            "`verify`": ["verify", str(output)],
            "`report`": ["report", str(output)],
        }.items():
            if not command:
                write_output(config)
                continue
            seconds, cpu, peak = measured([sys.executable, "-m", "fer_batch.cli", *command])
            print(f"| {name} | {seconds:.1f} | {cpu:.1f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
