"""A thousand sequences of 18 to 130 maps of 112x112: fer_batch on one and on two processes beside CoRelAy.

python benchmarks/spray_collection.py [--sequences 1000] [--corelay-python VENV/bin/python] [--processes 2] \
    [--against TREE]

`--against` names another checkout of fer_batch (`git worktree add`), which then is the first contender: what a change
costs, within one run. Each does what phase 2 does by default: the maps are brought to the standard face by landmarks
that jitter, and clustered by steps, with stabilities; a checkout that cannot yet clusters them in the crop, by the
graph. `--rule paper` has both cluster by the graph.

CoRelAy (GPL, no dependency of ours) is run only where the Python of a separate environment that has it is named
(`python -m venv VENV; VENV/bin/pip install corelay`); it needs no fer_batch there. Both get the same maps and the same
k; CoRelAy is told how many clusters there are, which fer_batch has to find. Every library runs on one thread.

Sequences are done in rounds, one contender after the other within a round, so that whatever else the machine does
falls on all of them; making the maps is not counted. CPU seconds of a contender are those of all its processes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 112
FEWEST, MOST = 18, 130
ROUND = 100  # sequences: some tenths of a second, beside which waking up on a busy machine is short
WARM_UP = 40
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def sequence(index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Maps of one sequence, whose blob stays in 1 to 4 places for a while each, and the place of each map."""
    rng = np.random.default_rng(index)
    n = int(rng.integers(FEWEST, MOST + 1))
    n_groups = int(rng.integers(1, min(4, n // 6) + 1))
    place = np.arange(n) * n_groups // n
    grid = (np.arange(SIDE) + 0.5) / SIDE
    centres = rng.permutation([(0.3, 0.3), (0.3, 0.7), (0.7, 0.3), (0.7, 0.7)])[place] + 0.01 * rng.standard_normal(
        (n, 2)
    )
    rows, columns = (np.exp(-((grid - centres[:, [i]]) ** 2) / 0.01) for i in (0, 1))
    maps = 0.1 * rng.standard_normal((n, SIDE, SIDE), dtype=np.float32)
    maps += (rows[:, :, None] * columns[:, None, :]).astype(np.float32)
    return maps, place


def landmarks(n: int) -> NDArray[np.float64]:
    """Landmarks of n frames of a face that fills the crop, with the jitter of a detector."""
    from fer_batch.regions import standard_face

    points, (height, width) = standard_face()
    rng = np.random.default_rng(n)
    return points * [0.7 * SIDE / width, 0.8 * SIDE / height] + 0.15 * SIDE + 0.7 * rng.standard_normal((n, 68, 2))


def by_steps(maps: NDArray[np.float32], k: int, n_groups: int) -> NDArray[np.int64]:
    try:
        from fer_batch.regions import face_maps
        from fer_batch.spray import cluster_sequence
    except ImportError:
        return by_graph(maps, k, n_groups)
    return cluster_sequence(face_maps(maps, POINTS[len(maps)], (SIDE, SIDE))).labels


POINTS: dict[int, NDArray[np.float64]] = {}  # by the number of frames; finding faces is not clustering


def by_graph(maps: NDArray[np.float32], k: int, n_groups: int) -> NDArray[np.int64]:
    from fer_batch.spray import cluster

    return cluster(maps, n_neighbors=k).labels


def corelays(maps: NDArray[np.float32], k: int, n_groups: int) -> NDArray[np.int64]:
    from corelay.pipeline.spectral import SpectralClustering
    from corelay.processor.affinity import SparseKNN
    from corelay.processor.clustering import KMeans
    from corelay.processor.embedding import EigenDecomposition

    rows = maps.reshape(len(maps), -1)
    rows = rows / np.abs(rows).sum(1, keepdims=True)
    pipeline = SpectralClustering(
        affinity=SparseKNN(n_neighbors=k, symmetric=True),
        embedding=EigenDecomposition(n_eigval=n_groups),
        clustering=KMeans(n_clusters=n_groups),
    )
    output = pipeline(rows)
    return output[-1] if isinstance(output, tuple) else output


def same_partition(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def work(method: Callable[..., NDArray[np.int64]]) -> None:
    """Answer every line on stdin, a list of sequences, when told to start: seconds, CPU seconds, groups found."""
    if method is by_steps:
        POINTS.update({n: landmarks(n) for n in range(FEWEST, MOST + 1)})
    for index in range(WARM_UP):  # imports, also of what only some sequences need
        maps, place = sequence(index)
        method(maps, 3, int(place[-1]) + 1)
    for line in sys.stdin:
        chosen = [sequence(index) for index in json.loads(line)]
        print("ready", flush=True)
        sys.stdin.readline()
        right, started, cpu = 0, time.perf_counter(), time.process_time()
        for maps, place in chosen:
            labels = method(maps, max(3, round(math.log(len(maps)))), int(place[-1]) + 1)
            right += same_partition(labels, place)
        print(json.dumps([time.perf_counter() - started, time.process_time() - cpu, right]), flush=True)


METHODS: dict[str, Callable[..., NDArray[np.int64]]] = {"steps": by_steps, "paper": by_graph, "corelay": corelays}


class Contender:
    """Processes that share every round of sequences."""

    def __init__(self, name: str, python: str, method: str, n_processes: int, tree: str | None = None) -> None:
        self.name, self.walls, self.cpu, self.right = name, [], 0.0, 0
        environment = os.environ | dict.fromkeys(THREADS, "1")
        if method != "corelay":
            root = tree or str(Path(__file__).resolve().parents[1])
            environment["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
        command = [python, __file__, "--work", method]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(n_processes)]

    def round(self, indices: list[int]) -> None:
        """Have the sequences clustered, every process its share."""
        shares = [indices[first :: len(self.processes)] for first in range(len(self.processes))]
        for process, share in zip(self.processes, shares, strict=True):
            self._tell(process, json.dumps(share))
        for process in self.processes:
            self._answer(process)
        started = time.perf_counter()
        for process in self.processes:
            self._tell(process, "go")
        answers = [json.loads(self._answer(process)) for process in self.processes]
        self.walls.append(time.perf_counter() - started)
        self.cpu += sum(answer[1] for answer in answers)
        self.right += sum(answer[2] for answer in answers)

    def close(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.stdin.close()
            process.wait()

    def _tell(self, process: subprocess.Popen, line: str) -> None:
        process.stdin.write(line + "\n")
        process.stdin.flush()

    def _answer(self, process: subprocess.Popen) -> str:
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with exit code {process.wait()}")
        return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2, help="of fer_batch's second contender")
    parser.add_argument("--corelay-python", help="Python of an environment with CoRelAy")
    parser.add_argument("--against", metavar="TREE", help="another checkout of fer_batch")
    parser.add_argument("--rule", choices=("steps", "paper"), default="steps")
    parser.add_argument("--work", choices=tuple(METHODS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(METHODS[options.work])
        return
    contenders = [
        Contender("fer_batch, 1 process", sys.executable, options.rule, 1),
        Contender(f"fer_batch, {options.processes} processes", sys.executable, options.rule, options.processes),
    ]
    if options.corelay_python:
        contenders.insert(0, Contender("CoRelAy, 1 process", options.corelay_python, "corelay", 1))
    if options.against:
        contenders.insert(0, Contender("fer_batch of the other tree", sys.executable, options.rule, 1, options.against))
    loads = []
    for start in range(0, options.sequences, ROUND):
        indices = list(range(start, min(start + ROUND, options.sequences)))
        for contender in contenders:
            contender.round(indices)
        loads.append(os.getloadavg()[0])
    for contender in contenders:
        contender.close()
    n = options.sequences
    print(f"{n} sequences of {FEWEST} to {MOST} maps of {SIDE}x{SIDE}; {os.cpu_count()} cores, ", end="")
    print(f"load {min(loads):.1f} to {max(loads):.1f} (median {statistics.median(loads):.1f})")
    first = contenders[0]
    print(f"Times faster than {first.name}, by wall time (all, and the median of rounds) and by CPU time:\n")
    print("| | wall s | CPU s | CPU ms a sequence | by wall | median | by CPU | groups found |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for own in contenders:
        ratios = [a / b for a, b in zip(first.walls, own.walls, strict=True)]
        print(
            f"| {own.name} | {sum(own.walls):.2f} | {own.cpu:.2f} | {1e3 * own.cpu / n:.2f} "
            f"| {sum(first.walls) / sum(own.walls):.1f}x | {statistics.median(ratios):.1f}x "
            f"| {first.cpu / own.cpu:.1f}x | {own.right / n:.1%} |"
        )


if __name__ == "__main__":
    main()
