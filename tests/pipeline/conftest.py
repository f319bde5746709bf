"""A small world for phase 2 without Ray: staged units with known maps, and the tables they become."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from fer_batch.config import build
from fer_batch.pipeline.analysis.accumulators import ACCUMULATORS
from fer_batch.pipeline.analysis.plans import drop_replaced, plan_shards, unplanned, without_replaced
from fer_batch.pipeline.analysis.sequence_tables import AnalysisOptions
from fer_batch.pipeline.analysis.shard import ShardOptions, shard_task
from fer_batch.pipeline.analysis.staged_data import staged_unit
from fer_batch.pipeline.analysis.sums import kept_sums
from fer_batch.pipeline.partition.stage import PublishedStages, StageWork
from fer_batch.pipeline.prune import end_begun, is_begun
from fer_batch.storage.manifest import COMMITS, SHARD_TABLES, Ledger, dump, stage_file
from fer_batch.storage.markers import Commit
from fer_batch.storage.parquet import Partition, read
from fer_batch.storage.stage import stage_bytes
from fer_batch.storage.store import Store
from fer_batch.types import READ

TARGETS = ("AU01", "AU02", "AU04")
STORY = (
    "(NONE) -> (AU02_A) -> (AU01_A, AU02_A, AU04_A) -> (AU01_A, AU02_B, AU04_A) -> (AU01_A, AU02_B) "
    "-> (AU01_A, AU02_A) -> (AU02_A) -> (NONE)"
)
SIDE = 28
PARTITION = Partition("d", "m-1", "e-1")
SORT = ("group", "sequence_id", "frame_index", "target", "cluster", "stage_index")
COST = {"seconds": 0.5, "n_images": 1, "n_maps": 1}
SPRAY = {"rule": "near_zero_gap", "tau": 0.1}


def blob(x, y):
    """A Gaussian blob, shape (SIDE, SIDE)."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18.0)


BLOBS = {"AU01": blob(14, 6), "AU04": blob(14, 12), "left": blob(6, 20), "right": blob(22, 20)}


def g22(rng, scale=1):
    """Activity, shape (18 * scale, 3), and maps by (frame, output) of golden example G-22."""
    n = 18 * scale
    frame = np.arange(n) // scale
    active = np.zeros((n, 3), bool)
    active[:, 0] = (frame >= 3) & (frame <= 13)
    active[:, 1] = (frame >= 1) & (frame <= 15)
    active[:, 2] = (frame >= 3) & (frame <= 8)
    maps = {}
    for i, a in np.argwhere(active).tolist():
        side = "right" if 5 <= frame[i] <= 11 else "left"
        clean = BLOBS[{0: "AU01", 1: side, 2: "AU04"}[a]]
        maps[i, a] = (clean + 0.02 * rng.standard_normal((SIDE, SIDE))).astype(np.float32)
    return active, maps


@dataclass
class World:
    """An output, and functions that put staged units into it and publish them."""

    store: Store
    partition: Partition = PARTITION
    spray: dict = field(default_factory=lambda: dict(SPRAY))
    analysis_id: str = "analysis"
    keep_relevance: str = "all"
    max_frames: int = 1000
    metadata: dict = field(default_factory=lambda: {"seed": "0"})

    def options(self) -> ShardOptions:
        """Of the shard tasks."""
        analysis = AnalysisOptions(
            TARGETS, "multilabel", 0.5, self.spray, self.max_frames, "default", SIDE, self.analysis_id
        )
        return ShardOptions(self.store.uri, self.partition, analysis, self.keep_relevance, self.metadata)

    def stage(
        self,
        sequence_id,
        active,
        maps,
        *,
        identity=None,
        unit_id=None,
        missing=(),
        landmarks=None,
        kind="video",
        status="done",
        annotations="",
        cost=COST,
    ):
        """Write what phase 1 leaves of one input: stage files of up to 8 frames, then the commit."""
        identity = identity or f"id-{sequence_id}"
        unit_id = unit_id or identity
        n, n_files = len(active), 0
        for start in range(0, n, 8) if status in READ else ():
            rows = range(start, min(start + 8, n))
            frames = [
                {
                    "sequence_id": sequence_id,
                    "frame_index": i,
                    "status": "no_face" if i in missing else "ok",
                    "landmarks": None
                    if landmarks is None or i in missing
                    else landmarks(i)
                    if callable(landmarks)
                    else landmarks,
                }
                for i in rows
            ]
            ok = [i for i in rows if i not in missing]
            pairs = np.argwhere(active[ok])
            chosen = [maps[ok[row], a] for row, a in pairs.tolist()]
            data = stage_bytes(
                frames,
                np.array([i - start for i in ok], np.int64),
                [b"\xff\xd8" + bytes([i % 256]) for i in ok],
                np.where(active[ok], 1.0, -1.0).astype(np.float32),
                np.where(active[ok], 0.75, 0.25).astype(np.float32),
                pairs,
                np.stack(chosen) if chosen else np.zeros((0, SIDE, SIDE), np.float32),
                np.ones(len(pairs), np.float32),
                {},
            )
            self.store.put(stage_file(unit_id, n_files), data)
            n_files += 1
        row = {"sequence_id": sequence_id, "identity": identity, "kind": kind, "status": status, "run_id": "r"}
        row |= {"unit_id": unit_id, "n_frames": n, "reason": "broken" if status in ("failed", "partial") else None}
        source = {"sequence_id": sequence_id, "annotation_uris": [], "labels": [], "truth_version": annotations}
        if annotations:
            source["labels"] = [["AU01", float(len(annotations))]]
        commit = {"unit_id": unit_id, "partition": vars(self.partition), "n_files": n_files}
        commit |= {"sequences": [row], "sources": [source], "explain_cost": cost}
        self.store.put(f"{COMMITS}/{unit_id}.json", dump(commit))
        return commit

    def staged(self, commit):
        """Rows and data of the inputs of a commit that `stage` gave."""
        found = Commit.from_json(dump(commit), "commit")
        return list(staged_unit(self.store, found, len(self.options().analysis.targets)))

    def publish(self, listed=None, size=2):
        """What a run does after phase 1, without Ray and Dask."""
        if is_begun(self.store):
            end_begun(self.store)
        ledger = Ledger(self.store)
        everything = {row["identity"] for c in ledger.commits(ledger.waiting).values() for row in c.sequences}
        pending = [
            name
            for name, plan in ledger.plans.items()
            if plan.partition == self.partition
            and not plan.pruned
            and (name not in ledger.shards or ledger.shards[name].analysis_id != self.analysis_id)
        ]
        commits = unplanned(ledger, self.partition, everything if listed is None else listed)
        pending += plan_shards(ledger, self.partition, commits, size)
        plans = without_replaced(ledger, [ledger.plans[name] for name in pending])
        drop_replaced(self.store, self.partition, plans)
        return [shard_task(plan, self.options()) for plan in plans]

    def work(self, compute=None, **job):
        """What the stages over the partition are published with."""
        config = {"name": "d", "source": {"uri": "in"}, "output": self.store.uri, "model": {"checkpoint": "demo"}}
        shards = tuple(PublishedStages(self.store, self.partition).shards)
        return StageWork(
            self.store, self.partition, build({**config, **job}, "job"), shards, TARGETS, self.metadata, 0, compute
        )

    def sums(self):
        """What the shards keep of all maps that passed, in a form that can be compared."""
        shards = PublishedStages(self.store, self.partition).shards
        found = {
            (shard, one.name): kept_sums(self.store.uri, shard, self.partition, TARGETS, one.name)
            for shard in shards
            for one in ACCUMULATORS
        }
        return [
            (*where, *key, own.n, own.total.tobytes()) for where, sums in found.items() for key, own in sums.items()
        ]

    def rows(self, table):
        """Rows of a table of the partition in a fixed order."""
        where = {"dataset": "d"} if table == "annotations" else vars(self.partition)
        found = read(self.store, table, **where)
        keys = [(name, "ascending") for name in SORT if name in found.column_names]
        return found.sort_by(keys).to_pylist()

    def tables(self):
        """Every table that phase 2 writes, and the sums."""
        return {name: self.rows(name) for name in (*SHARD_TABLES, "annotations")} | {"sums": self.sums()}


@pytest.fixture
def world(tmp_path):
    """An empty output."""
    return World(Store(str(tmp_path / "out")))


@pytest.fixture(scope="session")
def golden():
    """Golden example G-22 and what is expected of it."""
    return SimpleNamespace(make=g22, story=STORY, targets=TARGETS, blobs=BLOBS, world=World, store=Store)
