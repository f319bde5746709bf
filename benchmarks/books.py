"""What a million inputs cost the markers: planning, committing, publishing, and finding nothing to do.

    python -m benchmarks.books                      # a million inputs, a local folder
    python -m benchmarks.books --entries 20000 --remote   # the same against a store in memory that counts requests

Inputs are names, and shards are published without rows: what is measured is what is kept about them. Each step runs in
a process of its own, and files are not forced to the disk; requests are the calls to the filesystem, listings by the
thousand names that an answer holds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from fer_batch.output.verify import check_present
from fer_batch.pipeline.analysis.plans import plan_shards, superseded, unplanned
from fer_batch.pipeline.explaining.units import identity, units_to_do
from fer_batch.storage.manifest import COMMITS, STAGE, Ledger, stage_file
from fer_batch.storage.markers import Commit, ShardMarker
from fer_batch.storage.parquet import Partition
from fer_batch.storage.published import FileState
from fer_batch.storage.store import Store
from fer_batch.types import SequenceRef

PARTITION = Partition("books", "demo-00000000", "lrp-00000000")
PAGE = 1000  # names of an answer to a listing
TABLES = ("sequences", "frames", "detections", "relevance", "prototypes", "stages", "temporal_prototypes")


class CountingFileSystem(MemoryFileSystem):
    """Files in memory, and how often each kind of request was made."""

    protocol = "counting"
    requests: ClassVar[Counter[str]] = Counter()

    def ls(self, path, detail=True, **kwargs):  # noqa: D102
        found = super().ls(path, detail=detail, **kwargs)
        self.requests["LIST"] += max(1, -(-len(found) // PAGE))
        return found

    def cat_file(self, path, *args, **kwargs):  # noqa: D102
        self.requests["GET"] += 1
        return super().cat_file(path, *args, **kwargs)

    def pipe_file(self, path, value, **kwargs):  # noqa: D102
        self.requests["PUT"] += 1
        return super().pipe_file(path, value, **kwargs)

    def exists(self, path, **kwargs):  # noqa: D102
        self.requests["HEAD"] += 1
        return super().exists(path, **kwargs)


@dataclass
class World:
    """An output and its inputs."""

    store: Store
    refs: list[SequenceRef]
    shard_units: int

    def commit(self) -> None:
        """Write the commit marker of every input, as phase 1 does."""
        for ref in self.refs:
            own = identity(ref, PARTITION)
            row = {"sequence_id": ref.sequence_id, "identity": own, "input": ref.sequence_id, "status": "done"}
            row |= {"kind": "video", "uri": ref.uri, "n_frames": 250, "unit_id": own, "run_id": "r", "fps": 25.0}
            commit = Commit(unit_id=own, partition=PARTITION, n_files=1, sequences=(row,))
            self.store.put(stage_file(own, 0), b"x")
            self.store.put(f"{COMMITS}/{own}.json", commit.to_json())

    def plan(self) -> None:
        """Plan shards of all commits."""
        ledger = Ledger(self.store)
        listed = {identity(ref, PARTITION) for ref in self.refs}
        plan_shards(ledger, PARTITION, unplanned(ledger, PARTITION, listed), self.shard_units)

    def publish(self) -> None:
        """Write the marker of every shard, and a file of a byte for each of its tables."""
        for name, plan in Ledger(self.store).plans.items():
            states = dict.fromkeys(TABLES, FileState.of(b"x", 1))
            units = tuple(unit.unit_id for unit in plan.units)
            marker = ShardMarker(
                shard=name, partition=PARTITION, analysis_id="a", units=units, counts={"done": len(units)}, files=states
            )
            for table in TABLES:
                self.store.put(marker.file(table), b"x")
            self.store.put(marker.path, marker.to_json())
            for unit in units:
                self.store.delete(f"{STAGE}/{unit}")

    def nothing_to_do(self) -> None:
        """What a run does before it says that there is nothing to do."""
        ledger = Ledger(self.store)
        gone = set().union(*superseded(ledger, PARTITION).values())
        identities = [identity(ref, PARTITION) for ref in self.refs]
        members = ledger.pack_members() - gone
        left = units_to_do(self.refs, PARTITION, ledger.committed - gone, members, identities)
        if left or unplanned(ledger, PARTITION, set(identities)):
            raise RuntimeError(f"{len(left)} units are to do")
        check_present(self.store, ledger, [PARTITION])


def refs_of(n: int) -> list[SequenceRef]:
    """Inputs that are names."""
    return [
        SequenceRef(
            sequence_id=f"{i // 1000:04d}/{i:07d}.mp4",
            kind="video",
            uri=f"in/{i // 1000:04d}/{i:07d}.mp4",
            size=1000,
            version=str(i),
        )
        for i in range(n)
    ]


@contextmanager
def measured(step: str, n: int) -> Iterator[None]:
    """Print seconds, memory and requests of a block."""
    CountingFileSystem.requests.clear()
    start, cpu = time.monotonic(), time.process_time()
    yield
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    requests = dict(CountingFileSystem.requests)
    took = time.monotonic() - start, time.process_time() - cpu
    print(f"| {step} | {n:,} | {took[0]:.1f} | {took[1]:.1f} | {memory:.0f} | {json.dumps(requests)} |", flush=True)


def step_of(name: str, uri: str, n: int, shard_units: int) -> None:
    """One step, in a process of its own."""
    os.fsync = lambda _: None  # what a disk takes for it is not what is measured
    world = World(Store(uri), refs_of(n), shard_units)
    action: Callable[[], None] = getattr(world, name)
    with measured(name, n):
        action()


def main() -> int:
    """Every step of one output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--shard-units", type=int, default=16)
    parser.add_argument("--remote", action="store_true", help="a store in memory, whose requests are counted")
    parser.add_argument("--folder", help="where the output lies; a temporary folder where not given")
    asked = parser.parse_args()
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    print("| step | inputs | s | CPU s | MB | requests |\n|---|---|---|---|---|---|")
    steps = ("commit", "plan", "publish", "nothing_to_do")
    if asked.remote:
        for name in steps:
            step_of(name, "counting://books", asked.entries, asked.shard_units)
        return 0
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for name in steps:
            process = get_context("spawn").Process(
                target=step_of, args=(name, str(Path(folder) / "out"), asked.entries, asked.shard_units)
            )
            process.start()
            process.join()
            if process.exitcode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
