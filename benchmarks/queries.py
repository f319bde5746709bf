"""How long the named queries take over ten million rows of `detections`, and that DuckDB skips other partitions.

    python benchmarks/queries.py            # about 1 GB of memory, two threads
    python benchmarks/queries.py --rows 1000000 --seed 3

Writes an output of four partitions (two datasets, two models) with random rows, then asks every query of
`fer-batch query` over the whole output. Of one partition, named by a WHERE on the keys, EXPLAIN says how many files
DuckDB reads.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time

import numpy as np
import pyarrow as pa

from fer_batch.output.named_queries import QUERIES
from fer_batch.output.query import connect
from fer_batch.storage.parquet import Partition, encode
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

TARGETS = [f"AU{n:02d}" for n in (1, 2, 4, 6, 7, 9, 10, 12, 15, 17, 23, 25)]
N_FRAMES = 500  # of a sequence
STAGE = 10  # frames
SHARD = 16  # sequences
PARTITIONS = [Partition(dataset, model, "e-1") for dataset in ("day", "night") for model in ("m-1", "m-2")]


def table(name: str, **columns: object) -> pa.Table:
    """Rows with the columns that matter, the others NULL."""
    n = len(next(iter(columns.values())))
    schema = SCHEMAS[name]
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(n, f.type) for f in schema]
    return pa.table(arrays, schema=schema)


def shard(rng: np.random.Generator, ids: list[str]) -> dict[str, pa.Table]:
    """Sequences with their frames, detections, stages and temporal prototypes; a target is active in runs."""
    n = len(ids)
    per = N_FRAMES * len(TARGETS)
    sequence = np.repeat(ids, per)
    runs = rng.random((n, N_FRAMES // STAGE, len(TARGETS))) < 0.2
    active = np.repeat(runs, STAGE, axis=1).reshape(-1)
    frame = np.tile(np.repeat(np.arange(N_FRAMES), len(TARGETS)), n)
    mu = pa.array(rng.random(n * per, np.float32), mask=~active)
    detections = table("detections", sequence_id=sequence, frame_index=frame, target=np.tile(TARGETS, n * N_FRAMES),
                       active=active, probability=rng.random(n * per, np.float32), mu=mu,
                       region_share=np.full(n * per, 0.2, np.float32))  # fmt: skip
    # fmt: off
    frames = table("frames", sequence_id=np.repeat(ids, N_FRAMES), frame_index=np.tile(np.arange(N_FRAMES), n),
                   timestamp_ns=np.tile(np.arange(N_FRAMES) * 40_000_000, n), status=["ok"] * (n * N_FRAMES))
    # fmt: on
    stages = n * (N_FRAMES // STAGE)
    first = np.tile(np.arange(0, N_FRAMES, STAGE), n)
    labels = [[name for name, on in zip(TARGETS, row, strict=True) if on] for row in runs.reshape(stages, -1)]
    texts = [f"({', '.join(own) or 'NONE'})" for own in labels]
    emotion = rng.choice(["anger", "fear", "joy", "surprise"], n)
    subject = [f"S{k}" for k in rng.integers(0, 200, n)]
    return {
        "detections": detections,
        "frames": frames,
        "stages": table("stages", sequence_id=np.repeat(ids, N_FRAMES // STAGE), text=texts, first_frame=first,
                        stage_index=first // STAGE, last_frame=first + STAGE - 1, n_frames=[STAGE] * stages),
        "sequences": table("sequences", sequence_id=ids, subject_id=subject, emotion=emotion, status=["done"] * n,
                           run_id=[f"r{k}" for k in rng.integers(0, 30, n)]),
        "temporal_prototypes": table("temporal_prototypes", sequence_id=ids, emotion=emotion, subject_id=subject,
                                     text=texts[:n], cooccurrence_text=texts[:n], n_frames=[N_FRAMES] * n),
    }  # fmt: skip


def write(store: Store, rows: int, seed: int) -> None:
    """An output with so many rows of `detections`."""
    rng = np.random.default_rng(seed)
    n = max(1, rows // (len(PARTITIONS) * N_FRAMES * len(TARGETS)))
    for partition in PARTITIONS:
        for start in range(0, n, SHARD):
            ids = [f"{k:06d}.mp4" for k in range(start, min(start + SHARD, n))]
            for name, found in shard(rng, ids).items():
                store.put(f"{partition.folder(name)}/{start:06d}.parquet", encode(found))
        started = np.datetime64("2026-01-01") + np.arange(30)
        runs = table("runs", run_id=[f"r{k}" for k in range(30)], started_at=started.astype("datetime64[us]"))
        store.put(f"{partition.folder('runs')}/runs.parquet", encode(runs))


def main() -> None:
    """Print seconds of each query, and the files that one partition takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Store(folder), options.rows, options.seed)
        connection = connect(Store(folder))
        connection.execute("SET threads = 2")
        ((n,),) = connection.execute("SELECT count(*) FROM detections").fetchall()
        print(f"{n} rows of detections in {len(PARTITIONS)} partitions\n\n| query | seconds | rows |\n|---|---|---|")
        for name, query in QUERIES.items():
            began, cpu = time.perf_counter(), time.process_time()
            found = connection.sql(query.sql).to_arrow_table()
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
            print(f"| {name} | {wall:.2f} (processor {cpu:.2f}) | {found.num_rows} |", flush=True)
        where = "dataset = 'day' AND model = 'm-1'"
        for sql in ("SELECT count(*) FROM detections", f"SELECT avg(mu) FROM detections WHERE {where}"):
            plan = connection.execute(f"EXPLAIN ANALYZE {sql}").fetchall()[0][1]
            read = re.findall(r"((?:Total Files Read|Scanning Files): *[\d/]+)", plan)
            print("\n".join([f"\n{sql}", *read]))


if __name__ == "__main__":
    main()
