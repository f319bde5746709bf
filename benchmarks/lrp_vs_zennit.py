"""How much one shared forward pass saves over plain zennit: `python benchmarks/lrp_vs_zennit.py`.

ResNet-18 (methods MD-1), 16 outputs, 112x112, preset A flat. Every round runs all ways once, in turn, so that the
machine's other work weighs on all of them alike; ratios are those of the medians and of the minima. The plain ways are
zennit's own composite, canonizer and hooks, once per output over the frames that need it, and once over the frames
repeated per pair.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from zennit.composites import EpsilonPlusFlat
from zennit.torchvision import ResNetCanonizer

from fer_batch import explain
from fer_batch.models.backbone import build

Way = Callable[[], np.ndarray]


def cases(n_frames: int, n_outputs: int) -> dict[str, np.ndarray]:
    """Pairs by name: every frame with K outputs, and what active AUs look like (0 to 7 a frame, 3.2 on average)."""
    dense = {
        f"K={k}": np.array([(frame, output) for frame in range(n_frames) for output in range(k)]) for k in (1, 4, 8)
    }
    counts = [3, 4, 2, 5, 0, 3, 7, 1, 4, 3, 2, 6, 3, 4, 1, 3]
    rng = np.random.default_rng(0)
    sparse = [
        (frame, output)
        for frame in range(n_frames)
        for output in sorted(rng.choice(n_outputs, counts[frame % len(counts)], replace=False))
    ]
    return {**dense, f"{len(sparse)} active pairs": np.array(sparse)}


def trained_looking(device: str) -> torch.nn.Module:
    """ResNet-18 with BatchNorm statistics as training leaves them."""
    torch.manual_seed(0)
    model = build("resnet18", 16)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return model.eval().to(device)


def zennit_by_output(model: torch.nn.Module, images: torch.Tensor, pairs: np.ndarray) -> np.ndarray:
    maps = np.empty((len(pairs), *images.shape[2:]), np.float32)
    with EpsilonPlusFlat(epsilon=0.1, canonizers=[ResNetCanonizer()]).context(model) as modified:
        for output in np.unique(pairs[:, 1]):
            rows = np.flatnonzero(pairs[:, 1] == output)
            x = images[pairs[rows, 0]].clone().requires_grad_()
            logit = modified(x)[:, output]
            (r,) = torch.autograd.grad(logit, x, logit.detach())
            maps[rows] = r.sum(1).cpu().numpy()
    return maps


def zennit_repeated(model: torch.nn.Module, images: torch.Tensor, pairs: np.ndarray) -> np.ndarray:
    with EpsilonPlusFlat(epsilon=0.1, canonizers=[ResNetCanonizer()]).context(model) as modified:
        x = images[pairs[:, 0]].clone().requires_grad_()
        logit = modified(x).gather(1, torch.from_numpy(pairs[:, 1:]).to(x.device))[:, 0]
        (r,) = torch.autograd.grad(logit, x, logit.detach())
    return r.sum(1).cpu().numpy()


def ways(device: str, n_frames: int) -> tuple[dict[str, Callable[[np.ndarray], np.ndarray]], dict[str, np.ndarray]]:
    model, fast = trained_looking(device), explain.method("preset_a_flat")
    images = torch.rand(n_frames, 3, 112, 112, generator=torch.Generator().manual_seed(1)).to(device)
    return {
        "zennit by output": lambda pairs: zennit_by_output(model, images, pairs),
        "zennit repeated": lambda pairs: zennit_repeated(model, images, pairs),
        "fer_batch": lambda pairs: fast(model, images, pairs).values,
    }, cases(n_frames, 16)


def peak_mib(way: str, case: str, arguments: argparse.Namespace) -> float:
    """Memory one way takes over what it started with, in a process of its own."""
    command = [sys.executable, __file__, "--probe", way, case, "--frames", str(arguments.frames)]
    command += ["--threads", str(arguments.threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def probe(way: str, case: str, n_frames: int) -> None:
    known, pairs = ways("cpu", n_frames)
    known[way](pairs["K=1"][:1])
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = status_mib("VmRSS")
    known[way](pairs[case])
    print(status_mib("VmHWM") - before)


def status_mib(key: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", action="store_true", help="also measure peak memory on the CPU (Linux)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--probe", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.probe:
        probe(*arguments.probe, arguments.frames)
        return
    known, pairs = ways(arguments.device, arguments.frames)
    print(f"torch {torch.__version__}, zennit {version('zennit')}, {platform.machine()}, {arguments.device}, ", end="")
    print(f"{arguments.threads} threads of {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the start")
    print(f"ResNet-18, 16 outputs, 112x112, {arguments.frames} frames, float32, {arguments.rounds} rounds")
    print("| pairs | way | median ms | min ms | over fer_batch: median | min | peak MiB | relative L2 |")
    print("|---|---|---|---|---|---|---|---|")
    for case, rows in pairs.items():
        times: dict[str, list[float]] = {name: [] for name in known}
        maps = {}
        for round_ in range(arguments.rounds + 1):
            for name, way in known.items():
                start = time.perf_counter()
                maps[name] = way(rows)
                if round_:  # the first round warms up
                    times[name].append(1000 * (time.perf_counter() - start))
        ours = times["fer_batch"]
        for name, taken in times.items():
            memory = f"{peak_mib(name, case, arguments):.0f}" if arguments.memory else ""
            far = np.linalg.norm(maps[name] - maps["fer_batch"]) / np.linalg.norm(maps["fer_batch"])
            ratio = statistics.median(taken) / statistics.median(ours), min(taken) / min(ours)
            print(
                f"| {case} | {name} | {statistics.median(taken):.0f} | {min(taken):.0f} | {ratio[0]:.1f} | "
                f"{ratio[1]:.1f} | {memory} | {far:.0e} |",
                flush=True,
            )
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
