"""What looks of very many clusters cost: seconds of one core and memory.

python benchmarks/looks_scale.py [--clusters 10000 100000 1000000] [--table 20000] [--work DIR]

Clusters of one target, invented: ten places of falling frequency and a share that is anywhere on the face. First what
is computed of them, as a run does it, piece by piece: directions, joins, the sample that is kept, the looks. Then a
whole table `prototypes` of --table clusters through the stage, with reading and writing. Each in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PIECE, PEOPLE, ANYWHERE, SHARD = 1024, 5000, 0.001, 2000
ROWS, COLUMNS = np.mgrid[:35, :28]


def bank(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Maps of ten places as people differ, and where each is; some anywhere."""
    rng = np.random.default_rng(seed)
    places = rng.uniform((4, 4), (31, 24), (10, 2))
    share = 0.7 ** np.arange(10)
    which = rng.choice(10, 4000, p=share / share.sum())
    which[rng.random(4000) < ANYWHERE] = -1
    centres = np.where(which[:, None] < 0, rng.uniform((2, 2), (33, 26), (4000, 2)), places[which])
    centres = centres + 0.3 * rng.standard_normal(centres.shape)
    width = rng.uniform(2.5, 3.5, 4000)[:, None, None] ** 2
    y, x = centres[:, 0, None, None], centres[:, 1, None, None]
    return np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / (2 * width)).astype(np.float32), which


def pieces(n: int, maps: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    rng = np.random.default_rng(1)
    for start in range(0, n, PIECE):
        chosen = rng.integers(len(maps), size=min(PIECE, n - start))
        yield start, maps[chosen] * rng.uniform(0.9, 1.1, (len(chosen), 1, 1)).astype(np.float32)


def core(n: int) -> dict[str, float]:
    """Find the looks of n clusters and join all of them."""
    from fer_batch.pipeline.partition.look_clusters import Unjoined
    from fer_batch.pipeline.partition.looks import ROUNDS, SAMPLE
    from fer_batch.spray.looks import Looks, directions, open_looks
    from fer_batch.storage.manifest import digest

    maps, _ = bank()
    looks, waiting, cpu, began = Looks.none(), n, time.process_time(), memory()
    for _ in range(ROUNDS):
        found = Unjoined(SAMPLE)
        for start, piece in pieces(n, maps):
            rows, _ = directions(piece)
            look, _ = looks.join(rows)
            for i in np.flatnonzero(look < 0).tolist():
                found.add(digest(["AU01", str(start + i), "A"]), f"p{(start + i) % PEOPLE}", rows[i])
        waiting = found.n
        if not waiting:
            break
        opened = open_looks(*found.sample())
        looks = looks.and_then(opened.centres[: 200 - len(looks)], opened.radius[: 200 - len(looks)])
    seconds = time.process_time() - cpu
    return {"clusters": n, "cpu_s": seconds, "mb": memory() - began, "looks": len(looks), "without": waiting}


def table(n: int, work: str) -> dict[str, float]:
    """The same of published shards, through the stage, with all files read and written."""
    from fer_batch.config import build
    from fer_batch.pipeline.partition.looks import publish_looks
    from fer_batch.pipeline.partition.stage import StageWork
    from fer_batch.storage.parquet import Partition, encode, pack_maps, rows_of
    from fer_batch.storage.store import Store

    maps, _ = bank()
    store, where = Store(work), Partition("d", "m-1", "e-1")
    shards = []
    for start, piece in pieces(n, maps):
        values, scale = pack_maps(piece)
        names = [f"s{start + i:07d}" for i in range(len(piece))]
        rows = [
            {"sequence_id": name, "target": "AU01", "cluster": "A", "n_frames": 9, "exemplar_frame": 0,
             "standard_height": 35, "standard_width": 28, "standard_scale": s, "standard_relevance": v.ravel()}
            for name, v, s in zip(names, values, scale, strict=True)
        ]  # fmt: skip
        people = [
            {"sequence_id": k, "status": "done", "run_id": "r", "subject_id": f"p{i % 99}"} for i, k in enumerate(names)
        ]
        texts = [{"sequence_id": name, "text": "(NONE) -> (AU01_A)", "n_frames": 9} for name in names]
        shards.append(f"shard{len(shards):05d}")
        for kind, own in (("prototypes", rows), ("sequences", people), ("temporal_prototypes", texts)):
            store.put(f"{where.folder(kind)}/{shards[-1]}.parquet", encode(rows_of(kind, own)))
    job = {"name": "d", "source": {"uri": "in"}, "output": work, "model": {"checkpoint": "demo"}}
    stage = StageWork(store, where, build(job, "job"), tuple(shards), ("AU01",), {}, n, None)
    cpu, began = time.process_time(), memory()
    publish_looks(stage)
    first = time.process_time() - cpu
    publish_looks(stage)
    again = time.process_time() - cpu - first
    size = sum(entry.size for entry in store.walk("tables/prototypes")) / 1e6
    return {"clusters": n, "cpu_s": first, "again_s": again, "mb": memory() - began, "disk_mb": size}


def memory() -> float:
    """Most megabytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alone(function: Any, *arguments: Any) -> dict[str, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--table", type=int, default=20_000)
    parser.add_argument("--work", type=Path, help="folder for the table; a temporary one where not given")
    options = parser.parse_args()
    for n in options.clusters:
        print(" ".join(f"{k} {v:.4g}" for k, v in alone(core, n).items()), flush=True)
    if options.table:
        with tempfile.TemporaryDirectory() as scratch:
            found = alone(table, options.table, str(options.work or scratch))
        print("table: " + " ".join(f"{k} {v:.4g}" for k, v in found.items()), flush=True)


if __name__ == "__main__":
    main()
