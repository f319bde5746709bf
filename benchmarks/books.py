"""What the markers of many inputs cost: committing, planning, publishing, finding nothing to do, `status`.

    python -m benchmarks.books                                  # 10,000 inputs on a store that counts requests
    python -m benchmarks.books --entries 1000000 --published    # a million, published: what a start costs
    python -m benchmarks.books --entries 1000 --s3              # the requests that arrive at an S3 server (moto)
    python -m benchmarks.books --local                          # files of a local folder

Inputs are names, and tables have a byte: what is measured is what is kept about them. Each step runs in a process of
its own; files are not forced to the disk. Memory is the peak of the process, with the listing of the inputs in it.
`--published` leaves committing out and writes the plans directly; what is then in the output is the same.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import fsspec

from benchmarks.counted_store import CountedFileSystem
from fer_batch.output.verify import SUMS, check_present
from fer_batch.pipeline.analysis.explained import delete_explained
from fer_batch.pipeline.analysis.plans import WaitingUnit, plan_shards, superseded, unplanned
from fer_batch.pipeline.explaining.units import identity, units_to_do
from fer_batch.pipeline.outcome import Outcome, count
from fer_batch.pipeline.plan import Plan
from fer_batch.storage.manifest import COMMITS, Ledger, pack_markers, stage_file
from fer_batch.storage.markers import Commit, ExplainCost, ShardMarker
from fer_batch.storage.packed import Written
from fer_batch.storage.parquet import Partition
from fer_batch.storage.published import RECORDS, FileState
from fer_batch.storage.store import Store
from fer_batch.types import SequenceRef

PARTITION = Partition("books", "demo-00000000", "lrp-00000000")
TABLES = ("sequences", "frames", "detections", "relevance", "prototypes", "stages", "temporal_prototypes")
RECORDED = ("episodes", "cluster_looks", "look_prototypes")  # files of shards that have a record
BYTE = FileState.of(b"x", 1)
REQUESTS = ("LIST", "HEAD", "GET", "PUT", "DELETE")


@dataclass
class World:
    """An output and its inputs."""

    store: Store
    refs: list[SequenceRef]
    shard_units: int
    _folders: set[str] = field(default_factory=set)

    def commit(self) -> None:
        """Write stage file and commit of every input, as phase 1 does; stage files are not counted as books."""
        written = Written(self.store, COMMITS)
        for ref in self.refs:
            own = identity(ref, PARTITION)
            row = {"sequence_id": ref.sequence_id, "identity": own, "input": ref.sequence_id, "status": "done"}
            row |= {"kind": "video", "uri": ref.uri, "n_frames": 250, "unit_id": own, "run_id": "r", "fps": 25.0}
            commit = Commit(
                unit_id=own, partition=PARTITION, n_files=1, sequences=(row,), explain_cost=ExplainCost(seconds=1.0)
            )
            text = commit.to_json()
            self.store.put(stage_file(own, 0), b"x")
            self.store.put(f"{COMMITS}/{own}.json", text)
            for path, data in written.add(own, text):
                self.store.put(path, data)

    def plan(self) -> None:
        """Plan shards of all commits, as a run does after phase 1."""
        ledger = Ledger(self.store)
        listed = {identity(ref, PARTITION) for ref in self.refs}
        plan_shards(ledger, PARTITION, unplanned(ledger, PARTITION, listed), self.shard_units)

    def plan_directly(self) -> None:
        """The same plans without commits."""
        waiting = [
            WaitingUnit(own, ((ref.sequence_id, own, ref.sequence_id),), {})
            for ref in self.refs
            for own in (identity(ref, PARTITION),)
        ]
        plan_shards(Ledger(self.store), PARTITION, waiting, self.shard_units)

    def publish(self) -> None:
        """Files of a byte for each table of every shard, their records, and the marker; commits and stage files go."""
        ledger = Ledger(self.store)
        for name, plan in ledger.plans.items():
            units = tuple(unit.unit_id for unit in plan.units)
            marker = ShardMarker(
                shard=name,
                partition=PARTITION,
                analysis_id="a",
                units=units,
                counts={"done": len(units)},
                files=dict.fromkeys(TABLES, BYTE),
                explain_cost=ExplainCost(seconds=1.0),
                notable={},
            )
            for table in TABLES:
                self._byte(marker.file(table))
            for path in (f"{SUMS}/{name}.parquet", *map(marker.file, RECORDED)):
                self._byte(path)
                self.store.put(f"{RECORDS}/{path}/{BYTE.name}", b"")
            self.store.put(marker.path, marker.to_json())
            delete_explained(self.store, plan, marker, ledger.waiting, ledger.waiting)

    def _byte(self, path: str) -> None:
        """A file of a table, which is not counted where it can be made without the store."""
        full = self.store.path(path)
        if full.startswith("books/"):
            self.store.put(path, b"x")
            return
        if os.path.dirname(full) not in self._folders:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            self._folders.add(os.path.dirname(full))
        with open(full, "wb") as handle:
            handle.write(b"x")

    def pack(self) -> None:
        """What a run does at its end, or the next at its start."""
        pack_markers(self.store)

    def nothing_to_do(self) -> None:
        """What a run does before it says that there is nothing to do, beside the listing of the source."""
        ledger = Ledger(self.store)
        gone = set().union(*superseded(ledger, PARTITION).values())
        identities = [identity(ref, PARTITION) for ref in self.refs]
        members = ledger.pack_members() - gone
        units = units_to_do(self.refs, PARTITION, ledger.committed - gone, members, identities)
        plan = Plan(None, PARTITION, self.refs, units, set(identities), {}, ledger)  # type: ignore[arg-type]
        check_present(self.store, ledger, [PARTITION])
        outcome = Outcome.of([plan])
        if units or unplanned(ledger, PARTITION, plan.listed):
            raise RuntimeError(f"{len(units)} units are to do")
        count(outcome, self.store, [plan], ledger)
        if outcome.done != len(self.refs):
            raise RuntimeError(f"{outcome.done} of {len(self.refs)} inputs are done")

    def books_of_status(self) -> None:
        """The markers as `status` reads them; the tables that it reads beside them have no rows here."""
        Ledger(self.store)


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


class CountedServer:
    """moto's S3 server in a process of its own, which counts the requests that arrive."""

    def __enter__(self) -> CountedServer:
        own, theirs = get_context("spawn").Pipe()
        self.process = get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        self.url = f"http://127.0.0.1:{own.recv()}"
        environment = {"AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        os.environ.update(environment, AWS_DEFAULT_REGION="us-east-1")
        fsspec.filesystem("s3").mkdir("books")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()


def _serve(pipe: object) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application, counts = DomainDispatcherApplication(create_backend_app), Counter[str]()

    def counted(environ: dict[str, str], start: Callable[..., object]) -> object:
        method, query = environ["REQUEST_METHOD"], environ["QUERY_STRING"]
        if environ["PATH_INFO"] == "/counts":
            start("200 OK", [])
            return [" ".join(f"{name}={n}" for name, n in counts.items()).encode()]
        kind = "LIST" if method == "GET" and "list-type" in query else method
        counts["DELETE" if kind == "POST" else kind] += 1  # objects are deleted by the thousand with POST
        return application(environ, start)

    server = make_server("127.0.0.1", 0, counted, threaded=True)
    pipe.send(server.server_port)  # type: ignore[attr-defined]
    server.serve_forever()


def counts_now(server: str | None) -> Counter[str]:
    """Requests until now."""
    if server is None:
        return Counter(CountedFileSystem.requests)
    with urllib.request.urlopen(f"{server}/counts") as answer:
        return Counter({k: int(v) for k, v in (one.split("=") for one in answer.read().decode().split())})


@contextmanager
def measured(step: str, n: int, server: str | None) -> Iterator[None]:
    """Print seconds, memory and requests of a block."""
    before, start, cpu = counts_now(server), time.monotonic(), time.process_time()
    yield
    took = time.monotonic() - start, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    made = counts_now(server) - before
    requests = " | ".join(f"{made[name]:,}" for name in REQUESTS)
    print(f"| {step} | {n:,} | {took[0]:.1f} | {took[1]:.1f} | {memory:,.0f} | {requests} |", flush=True)


def step_of(name: str, uri: str, n: int, shard_units: int, server: str | None) -> None:
    """One step, in a process of its own."""
    os.fsync = lambda _: None  # what a disk takes for it is not what is measured
    threading.stack_size(256 * 1024)
    fsspec.register_implementation("counted", CountedFileSystem, clobber=True)
    world = World(Store(uri), refs_of(n), shard_units)
    action: Callable[[], None] = getattr(world, name)
    with measured(name, n, server):
        action()


def run_steps(steps: Sequence[str], uri: str, asked: argparse.Namespace, server: str | None = None) -> int:
    """Every step in a process of its own; 1 where one failed."""
    print("| step | inputs | s | CPU s | MiB | LIST | HEAD | GET | PUT | DELETE |\n|" + "---|" * 10, flush=True)
    for name in steps:
        process = get_context("spawn").Process(
            target=step_of, args=(name, uri, asked.entries, asked.shard_units, server)
        )
        process.start()
        process.join()
        if process.exitcode:
            return 1
    return 0


def main() -> int:
    """Every step of one output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--shard-units", type=int, default=16)
    parser.add_argument("--published", action="store_true", help="leave committing out")
    parser.add_argument("--steps", nargs="+", help="these alone, such as: commit plan")
    parser.add_argument("--local", action="store_true", help="a local folder, without counts")
    parser.add_argument("--s3", action="store_true", help="moto's S3 server")
    parser.add_argument("--folder", help="where the output lies; a temporary folder where not given")
    asked = parser.parse_args()
    first = ("plan_directly", "publish") if asked.published else ("commit", "plan", "publish", "nothing_to_do")
    steps = asked.steps or (*first, "pack", "nothing_to_do", "books_of_status")
    if asked.s3:
        with CountedServer() as server:
            return run_steps(steps, "s3://books/out", asked, server.url)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        place = str(Path(folder) / "out")
        return run_steps(steps, place if asked.local else f"counted://{place}", asked)


if __name__ == "__main__":
    sys.exit(main())
