"""Cost of clustering all stills of one class: seconds, CPU seconds and memory for 1,000 to 50,000 maps of 28x28.

python benchmarks/spray_stills.py [--maps 1000 50000] [--processes 2] [--picture docs/pictures/spray_cost.png]

The maps are blobs at random scale near a few known places, under noise; every size runs in a process of its own, whose
peak resident memory (all of it, with Python and libraries) is given. CPU seconds tell more than wall seconds where
others use the machine. The last lines say what a million maps would take, from the two largest sizes.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUPS = 6
SIDE = 28


def synthetic_stills(n: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Maps (n, 28, 28), each a blob near one of `GROUPS` places, of any size and scale, and the place of each."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, GROUPS, n)
    angle = 2 * np.pi * place / GROUPS
    y = 0.5 + 0.3 * np.sin(angle) + 0.01 * rng.standard_normal(n)
    x = 0.5 + 0.3 * np.cos(angle) + 0.01 * rng.standard_normal(n)
    width = 0.08 * rng.uniform(0.95, 1.05, n)
    grid = (np.arange(SIDE) + 0.5) / SIDE
    rows = np.exp(-((grid - y[:, None]) ** 2) / (2 * width[:, None] ** 2))
    columns = np.exp(-((grid - x[:, None]) ** 2) / (2 * width[:, None] ** 2))
    maps = np.empty((n, SIDE, SIDE), np.float32)
    np.multiply(rows[:, :, None], columns[:, None, :], out=maps, casting="same_kind")
    maps += 0.15 * rng.standard_normal(maps.shape, dtype=np.float32)
    maps *= rng.uniform(0.5, 2, (n, 1, 1)).astype(np.float32)
    return maps, place


class Processes:
    """Pieces of work on other processes, which get the features once each."""

    def __init__(self, n_processes: int) -> None:
        self.n_processes = n_processes

    def __call__(self, function: Callable[[Any, Any], Any], shared: Any, pieces: Sequence[Any]) -> Iterable[Any]:
        """Results of `function(shared, piece)` in the order of the pieces."""
        context = multiprocessing.get_context("fork")  # the features are not copied
        with ProcessPoolExecutor(self.n_processes, context, _keep, (function, shared)) as pool:
            yield from pool.map(_piece, pieces)


_kept: list[Any] = []


def _keep(*values: Any) -> None:
    _kept[:] = values


def _piece(piece: Any) -> Any:
    function, shared = _kept
    return function(shared, piece)


def measured(n: int, n_processes: int) -> dict[str, float]:
    """One clustering of n maps."""
    from sklearn.metrics import adjusted_rand_score

    from fer_batch import spray
    from fer_batch.spray.affinity import serial_map

    maps, place = synthetic_stills(n)
    started, cpu = time.perf_counter(), _cpu()
    found = spray.cluster(maps, map_pieces=Processes(n_processes) if n_processes > 1 else serial_map)
    usage = [resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "maps": n,
        "wall_s": time.perf_counter() - started,
        "cpu_s": _cpu() - cpu,
        "peak_gib": usage[0],
        "child_gib": usage[1],
        "clusters": found.n_clusters,
        "agreement": adjusted_rand_score(place, found.labels),
    }


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def picture(rows: list[dict[str, float]], path: Path) -> None:
    """Seconds against maps, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.2), dpi=110, layout="constrained")
    n = [row["maps"] for row in rows]
    axes.loglog(n, [row["cpu_s"] for row in rows], "o-", color="#0b5394", label="CPU")
    axes.loglog(n, [row["wall_s"] for row in rows], "s--", color="#b45f06", label="wall")
    axes.set(xlabel="maps of 28x28", ylabel="seconds", title="Clusters of one class of stills")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, nargs="+", default=[1000, 2000, 5000, 10000, 20000, 50000])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.processes} processes")
    print("| maps | wall s | CPU s | peak GiB | of a worker | clusters (6 are there) | Rand index |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    rows = []
    for n in options.maps:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            row = pool.submit(measured, n, options.processes).result()
        rows.append(row)
        print(
            f"| {n:,} | {row['wall_s']:.1f} | {row['cpu_s']:.1f} | {row['peak_gib']:.2f} | {row['child_gib']:.2f} "
            f"| {row['clusters']:.0f} | {row['agreement']:.3f} |",
            flush=True,
        )
    if len(rows) > 1:
        last, before = rows[-1], rows[-2]
        power = math.log(last["cpu_s"] / before["cpu_s"]) / math.log(last["maps"] / before["maps"])
        million = last["cpu_s"] * (1e6 / last["maps"]) ** 2
        print(
            f"CPU seconds grow as n^{power:.2f} at the end; as n^2, 1,000,000 maps take {million / 3600:.1f} core hours"
        )
    if options.picture:
        picture(rows, options.picture)


if __name__ == "__main__":
    main()
