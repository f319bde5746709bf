"""What a second loss costs: an epoch with section `align` over one without, by turns in one process.

python benchmarks/alignment_cost.py [--network resnet18] [--width 1] [--size 112] [--rounds 5] [--ways attention]

Two trainings of the very class that a job trains with (`FoldTraining`) on the same crops, landmarks and order: one
without, one for each way of aligning. They take turns epoch by epoch, so that the machine's other work weighs on all
alike; the ratio is that of the CPU seconds of all rounds, wall seconds stand beside it. The first epoch, in which maps
are made and kernels chosen, is stated by itself. Targets: methods 16.3, at most 1.25 for `attention`; Belharbi et al.
(2024) measured 1.35 on RAF-DB and 1.16 on AffectNet.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np
import torch
from numpy.typing import NDArray

from fer_batch.facs import EXPRESSIONS
from fer_batch.models.backbone import build
from fer_batch.models.card import Preprocessing
from fer_batch.regions import expression_maps, standard_face
from fer_batch.training.data import FaceSet, MadeMaps
from fer_batch.training.fold import FoldTraining
from fer_batch.training.reasons import auxiliary_of
from fer_batch.training.recipe import Recipe
from fer_batch.training.settings import AlignSettings
from fer_batch.training.splits import Fold

WAYS = ("attention", "grad_cam", "attribution", "gradient")


def crops(n: int, size: int) -> FaceSet:
    """Noise with landmarks about those of the standard face, a seventh of them neutral and without a map."""
    rng = np.random.default_rng(0)
    names = rng.integers(0, len(EXPRESSIONS), n)
    points = standard_face()[0] * [size / 224, size / 275] + rng.normal(0, 0.01 * size, (n, 68, 2))

    def make(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return expression_maps(points[rows], [EXPRESSIONS[names[row]] for row in rows.tolist()], (size, size))

    return FaceSet(
        rng.integers(0, 256, (n, size, size, 3), np.uint8),
        np.eye(len(EXPRESSIONS), dtype=np.float32)[names],
        EXPRESSIONS,
        np.array([f"d:{i % 8}" for i in range(n)]),
        np.full(n, "d"),
        "softmax",
        MadeMaps(make, (n, size, size)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet18", help="architecture (default %(default)s)")
    parser.add_argument("--width", type=float, help="of ResNet-18 (default 1)")
    parser.add_argument("--layers", default="layer4", help="aligned, with commas (default %(default)s)")
    parser.add_argument("--size", type=int, default=112, help="of the crops in pixels (default %(default)s)")
    parser.add_argument("--crops", type=int, default=256, help="of an epoch (default %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="(default %(default)s)")
    parser.add_argument("--augment", default="flip", help="(default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default %(default)s)")
    parser.add_argument("--ways", default="attention", help=f"of {', '.join(WAYS)} (default %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faces = crops(options.crops, options.size)
    rows = np.arange(len(faces))
    fold = Fold(0, rows, rows[:0], rows[:32])
    recipe = Recipe(epochs=options.rounds + 1, batch_size=options.batch, learning_rate=1e-3, augment=options.augment)
    architecture = {} if options.width is None else {"width": options.width}

    def training(way: str) -> FoldTraining:
        align = AlignSettings(to=way, layers=tuple(options.layers.split(",")), weight=1e-3) if way else None  # type: ignore[arg-type]
        network = lambda: build(options.network, len(EXPRESSIONS), architecture)  # noqa: E731
        how = Preprocessing(size=options.size, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        return FoldTraining(faces, fold, network, recipe, how, "cpu", auxiliary_of(align, "softmax") if align else None)

    trainings = {way: training(way) for way in ("", *options.ways.split(","))}
    seconds = {way: [] for way in trainings}
    for _ in range(options.rounds + 1):
        for way, one in trainings.items():
            wall, cpu = time.perf_counter(), time.process_time()
            one.run_epoch()
            seconds[way].append((time.process_time() - cpu, time.perf_counter() - wall))
    width = "" if options.width is None else f", width {options.width:g}"
    print(
        f"{options.network}{width}, {options.size} px, batches of {options.batch}, {options.crops} crops, "
        f"{options.augment}, {options.threads} threads, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}"
    )
    print("             CPU s/epoch   ratio of CPU   ratio of wall   of the first epoch, CPU")
    bare = np.array(seconds[""])
    for way, found in seconds.items():
        own = np.array(found)
        ratio = own[1:].sum(0) / bare[1:].sum(0)
        print(
            f"{way or 'without':11}  {np.median(own[1:, 0]):11.2f}   {ratio[0]:12.3f}   {ratio[1]:13.3f}   "
            f"{own[0, 0] / bare[0, 0]:12.3f}"
        )


if __name__ == "__main__":
    main()
