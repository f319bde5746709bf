"""Seconds and memory for the clusters of n relevance maps: fer_batch beside CoRelAy.

python benchmarks/spray_vs_corelay.py [--maps 18 130 1000] [--side 112] [--repeat 3]

Both get the same maps and k. CoRelAy is told the number of clusters, which fer_batch has to find.
Without CoRelAy (pip install corelay) only fer_batch is timed. Every measurement runs in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray

GROUPS = 4


def synthetic_maps(n: int, side: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Noisy blobs in a few places, changing every tenth of the sequence, and the place of each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    place = np.arange(n) * 10 // n % GROUPS
    centres = np.array([[0.3, 0.3], [0.3, 0.7], [0.7, 0.3], [0.7, 0.7]])
    blobs = np.stack([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 0.01) for a, b in centres])
    maps = rng.standard_normal((n, side, side), dtype=np.float32)
    maps *= 0.1
    maps += blobs[place].astype(np.float32)
    return maps, place


def ours(maps: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    from fer_batch.spray import cluster

    return cluster(maps, n_neighbors=k).labels


def corelays(maps: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    from corelay.pipeline.spectral import SpectralClustering
    from corelay.processor.affinity import SparseKNN
    from corelay.processor.clustering import KMeans
    from corelay.processor.embedding import EigenDecomposition

    rows = maps.reshape(len(maps), -1)
    rows = rows / np.abs(rows).sum(1, keepdims=True)
    pipeline = SpectralClustering(
        affinity=SparseKNN(n_neighbors=k, symmetric=True),
        embedding=EigenDecomposition(n_eigval=min(GROUPS, len(maps) - 1)),
        clustering=KMeans(n_clusters=GROUPS),
    )
    output = pipeline(rows)
    return output[-1] if isinstance(output, tuple) else output


def measured(method: Callable[..., NDArray[np.int64]], n: int, side: int, repeat: int) -> tuple[float, float, bool]:
    """Best seconds, MiB above the maps themselves, and whether the groups were found."""
    from sklearn.metrics import adjusted_rand_score

    from fer_batch.spray.affinity import default_neighbours

    maps, place = synthetic_maps(n, side)
    method(maps[:18], 3)  # imports and thread pools
    before, best = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, float("inf")
    for _ in range(repeat):
        started = time.perf_counter()
        labels = method(maps, default_neighbours(n))
        best = min(best, time.perf_counter() - started)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return best, peak, bool(adjusted_rand_score(place, labels) > 0.99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, nargs="+", default=[18, 64, 130, 500, 2000])
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    methods = {"fer_batch": ours}
    try:
        import corelay  # noqa: F401

        methods["corelay"] = corelays
    except ImportError:
        print("corelay is not installed; timing fer_batch alone")
    print(f"{'maps':>6} {'method':>10} {'seconds':>9} {'extra MiB':>10}  groups found")
    for n in options.maps:
        for name, method in methods.items():
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                seconds, extra, right = pool.submit(measured, method, n, options.side, options.repeat).result()
            print(f"{n:>6} {name:>10} {seconds:>9.3f} {extra:>10.0f}  {'yes' if right else 'no'}", flush=True)


if __name__ == "__main__":
    main()
