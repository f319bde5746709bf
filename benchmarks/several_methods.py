"""What ten explanations in one run cost beside their explainers: `python benchmarks/several_methods.py`.

The methods of the pain, disgust and happiness study (Weitz 2018) over posed stills. Three things are timed on the same
machine, with the same number of threads:

- decode: one pass of the decode stage over the stills, in this process;
- bare: every explainer by itself in a plain loop over the crops, with the predicted class as its target;
- run: phase 1 of one job that lists the ten methods, on a Ray that is started already. It decodes, loads and predicts
  once, explains, and writes and commits the maps of every method.

The target is run <= 1.1 bare + decode. An actor's start (imports, the network's file) does not grow with the stills, so
its time is that of a job over one still with one method, and the ratio is given with and without it. Seconds are those
of the clock and of the processors: on a machine that does other work too, the latter are the ones to look at.
"""

from __future__ import annotations

import argparse
import os
import pickle
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from fer_batch import explain
from fer_batch.config import RunConfig, build_all
from fer_batch.facs import EXPRESSIONS
from fer_batch.models.backbone import build
from fer_batch.models.card import Preprocessing, resolve
from fer_batch.models.checkpoint import load, save
from fer_batch.models.preprocess import preprocess
from fer_batch.models.spec import Card
from fer_batch.output.explain_cost import explain_cost
from fer_batch.pipeline.engine import ray_engine
from fer_batch.pipeline.explaining.chunk import Chunk
from fer_batch.pipeline.explaining.decode import decode_unit
from fer_batch.pipeline.explaining.explain import Explanation
from fer_batch.pipeline.phases import Job, decode_options, explain_options
from fer_batch.pipeline.plan import Plan, make_plans
from fer_batch.pipeline.run import run_all
from fer_batch.posed.clips import write_stills
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.markers import ExplainCost
from fer_batch.storage.store import Store

METHODS = (
    *("deconvnet", "gradient", "guided_backprop", "grad_cam", "guided_grad_cam"),
    *("z", "preset_a_flat", "preset_b_flat", "epsilon", "lime"),
)


class Seconds(NamedTuple):
    """Of the clock, and of the processors over this process and all that it started."""

    clock: float
    cpu: float


class Stopwatch:
    """Seconds of a block; processes that end within it count up to when they were last seen."""

    def __enter__(self) -> Stopwatch:
        self._cpu: dict[tuple[int, float], float] = {}
        self._look()
        self._before, self._begin = dict(self._cpu), time.perf_counter()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        clock = time.perf_counter() - self._begin
        self._done.set()
        self._thread.join()
        self._look()
        self.seconds = Seconds(clock, sum(self._cpu.values()) - sum(self._before.values()))

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            self._look()

    def _look(self) -> None:
        me = psutil.Process()
        for process in (me, *me.children(recursive=True)):
            try:
                times = process.cpu_times()
                self._cpu[process.pid, process.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                continue


def job(folder: Path, arguments: argparse.Namespace, output: str, methods: Sequence[str]) -> tuple[RunConfig, ...]:
    """The job with each of its explanations."""
    options = {"lime": {"n_samples": arguments.lime_samples}}
    values = {
        "name": "stills",
        "source": {"format": "manifest", "uri": str(folder / output / "manifest.csv")},
        "output": str(folder / f"{output}_out"),
        "model": {"checkpoint": str(folder / "net.safetensors")},
        "faces": {"detector": "dataset"},
        "explain": [{"method": name, "options": options.get(name, {})} for name in methods],
        "phases": ["explain"],
        "resources": {"num_cpus": arguments.threads, "object_store_mb": 1024},
    }
    return build_all(values, "benchmark")


def network(folder: Path, arguments: argparse.Namespace) -> None:
    """A network with random weights: what explanations cost does not depend on them."""
    torch.manual_seed(0)
    made = build(arguments.network, len(EXPRESSIONS))
    preprocessing = Preprocessing(size=arguments.size)
    card = Card(
        name="net", architecture=arguments.network, targets=EXPRESSIONS, head="softmax", preprocessing=preprocessing
    )
    save(made, folder / "net.safetensors", card)


def decoded(config: RunConfig, plan: Plan) -> tuple[Seconds, NDArray[np.uint8]]:
    """One pass of the decode stage, and its crops [n, size, size, 3]."""
    options, crops = decode_options([Job(config, Store(config.output), plan)]), []
    with Stopwatch() as watch:
        for unit in plan.units:
            for row in decode_unit({"unit": pickle.dumps(unit)}, options):
                crops.append(Chunk.from_batch({"payload": np.array([row["payload"]], object)}).images)
    return watch.seconds, np.concatenate(crops)


def bare(configs: Sequence[RunConfig], plan: Plan, crops: NDArray[np.uint8], threads: int) -> list[Seconds]:
    """What each explainer takes in a plain loop over batches of its size."""
    model = load(resolve(configs[0].model)).eval()
    costs = []
    for config in configs:
        options = explain_options(Job(config, Store(config.output), plan), threads)
        own = Explanation(options, torch.device("cpu"))
        batches = []
        for start in range(0, len(crops), options.batch_size):
            images = preprocess(crops[start : start + options.batch_size], options.model.preprocessing)
            with torch.inference_mode():
                predicted = model(images).argmax(1).numpy()
            batches.append((images, np.stack([np.arange(len(predicted)), predicted], 1)))
        with Stopwatch() as watch:
            for images, pairs in batches:
                own.maps(model, images, pairs)
        costs.append(watch.seconds)
    return costs


def total(cost: ExplainCost) -> float:
    """Seconds with those of first calls."""
    return cost.seconds + cost.first_seconds


def timed_run(configs: Sequence[RunConfig]) -> Seconds:
    """Seconds of a run."""
    with Stopwatch() as watch:
        run_all(configs)
    return watch.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stills", type=int, default=200)
    parser.add_argument("--size", type=int, default=112, help="pixels of the network's input")
    parser.add_argument("--network", default="vgg16", help="such as vgg16 or resnet18")
    parser.add_argument("--lime-samples", type=int, default=100)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=sorted(explain.METHODS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network(folder, arguments)
        for part, n in (("one", 1), ("many", arguments.stills)):
            write_stills(folder / part, n=n, seed=5)
        configs = job(folder, arguments, "many", arguments.methods)
        plans = make_plans(configs, Store(configs[0].output))
        decode, crops = decoded(configs[0], plans[0])
        alone = bare(configs, plans[0], crops, arguments.threads)
        with ray_engine(arguments.threads, 1024):
            start = timed_run(job(folder, arguments, "one", ["gradient"]))
            run = timed_run(configs)
        ledger = Ledger(Store(configs[0].output))
        within = [explain_cost(ledger, plan.partition) or ExplainCost() for plan in plans]
    print(f"{arguments.network}, {arguments.stills} stills of {arguments.size} px, {arguments.threads} threads")
    print(f"load of the machine {load_before:.1f} before, {os.getloadavg()[0]:.1f} after")
    print(f"{'method':<18}{'bare: clock s':>15}{'cpu s':>8}{'in the run: clock s':>21}{'s per image':>13}")
    for method, one, other in zip(arguments.methods, alone, within, strict=True):
        each = other.seconds_per_image or np.nan
        print(f"{method:<18}{one.clock:>15.2f}{one.cpu:>8.2f}{total(other):>21.2f}{each:>13.4f}")
    for k, name in enumerate(Seconds._fields):
        bare_s = sum(one[k] for one in alone)
        allowed = 1.1 * bare_s + decode[k]
        print(f"{name}: bare {bare_s:.2f} s, decode {decode[k]:.2f} s, run {run[k]:.2f} s, start {start[k]:.2f} s")
        print(
            f"  run / (1.1 bare + decode) = {run[k] / allowed:.3f}; less the start {(run[k] - start[k]) / allowed:.3f}"
        )
    print(f"run / (1.1 of the explainers within it + decode) = {run.clock / inside(within, decode):.3f}")


def inside(costs: Sequence[ExplainCost], decode: Seconds) -> float:
    """What a run may take, going by what its own explainers took."""
    return 1.1 * sum(map(total, costs)) + decode.clock


if __name__ == "__main__":
    main()
