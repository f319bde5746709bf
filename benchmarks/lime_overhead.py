"""What LIME costs beside the forward passes it needs: `python benchmarks/lime_overhead.py`.

ResNet-18 (methods MD-1), 1,000 samples of one 112x112 face, SLIC. Every part is timed alone, in turn, so that the
machine's other work weighs on all of them alike; shares are those of the medians over the forward passes.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from skimage.data import astronaut
from skimage.transform import resize

from fer_batch import explain
from fer_batch.explain.lime import composed, drawn_samples
from fer_batch.explain.segments import slic_segments
from fer_batch.explain.surrogate import cosine_distance, proximity, ridge
from fer_batch.models.backbone import build


def parts(device: str, n_samples: int, batch_size: int, size: int) -> dict[str, Callable[[], object]]:
    """What one explanation consists of, and the whole of it."""
    torch.manual_seed(0)
    model = build("resnet18", 16).eval().to(device)
    picture = resize(astronaut()[:200, 130:330], (size, size), anti_aliasing=True)
    image = torch.from_numpy(picture).permute(2, 0, 1).float().to(device)
    labels = slic_segments(picture)
    samples = drawn_samples(n_samples, labels.max() + 1, np.random.default_rng(0))
    hidden, at = torch.zeros_like(image), torch.from_numpy(labels).to(device)
    on = torch.from_numpy(samples.astype(bool)).to(device)
    batch = composed(image, hidden, at, on[:batch_size])
    answers = np.random.default_rng(0).normal(size=(n_samples, 16))
    explainer = explain.method("lime", n_samples=n_samples, batch_size=batch_size)
    starts = range(0, n_samples, batch_size)

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    @torch.no_grad()
    def forward() -> None:
        for start in starts:
            model(batch[: n_samples - start])
        wait()

    def compose() -> None:
        for start in starts:
            composed(image, hidden, at, on[start : start + batch_size])
        wait()

    return {
        "forward passes": forward,
        "composing the samples": compose,
        "superpixels": lambda: slic_segments(picture),
        "regression, 16 targets": lambda: ridge(samples.astype(float), answers, proximity(cosine_distance(samples))),
        "whole explanation, 16 targets": lambda: explainer(model, image[None], [(0, k) for k in range(16)]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    known = parts(arguments.device, arguments.samples, arguments.batch_size, arguments.size)
    times: dict[str, list[float]] = {name: [] for name in known}
    for round_ in range(arguments.rounds + 1):
        for name, part in known.items():
            start = time.perf_counter()
            part()
            if round_:  # the first round warms up
                times[name].append(1000 * (time.perf_counter() - start))
    median = {name: statistics.median(taken) for name, taken in times.items()}
    print(f"torch {torch.__version__}, {platform.machine()}, {arguments.device}, {arguments.threads} threads ", end="")
    print(f"of {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; {arguments.samples} samples of ", end="")
    print(f"{arguments.size}x{arguments.size} in batches of {arguments.batch_size}, {arguments.rounds} rounds")
    print("| part | median ms | of the forward passes |\n|---|---|---|")
    for name, taken in median.items():
        print(f"| {name} | {taken:.1f} | {taken / median['forward passes']:.1%} |")


if __name__ == "__main__":
    main()
