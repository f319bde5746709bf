"""What reading and augmenting crops costs beside the network: steps a second with the input pipeline, over without.

python benchmarks/training_input.py [--width 1] [--threads 2] [--rounds 7] [--steps 4]

ResNet-18 at 112 pixels, batches of 32, by the very functions that train and test. "alone" is given batches that lie
ready in memory as the network takes them; "whole" reads crops from memory-mapped shards in random order, turns bytes
into numbers, augments (`faces`) and normalises. The two take turns, round after round, so that the machine's other work
weighs on both; the ratio is that of the CPU seconds of all rounds, the one of wall seconds stands beside it. Files are
in the page cache after the first round, as they are in every epoch but the first where they fit into memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fer_batch.models.backbone import build
from fer_batch.models.card import Preprocessing
from fer_batch.models.preprocess import normalised
from fer_batch.training.augment import AUGMENTATIONS
from fer_batch.training.batches import Batch, batches
from fer_batch.training.data import Shards
from fer_batch.training.loop import logits_of, train_epoch
from fer_batch.training.losses import weighted_bce
from fer_batch.training.recipe import Recipe, learning_rates, sgd

SIZE, BATCH, N, TARGETS = 112, 32, 2048, 8
HOW = Preprocessing(size=SIZE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a piece of work."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0, help="of ResNet-18 (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="(default %(default)s)")
    parser.add_argument("--steps", type=int, default=4, help="of each kind in a round (default %(default)s)")
    parser.add_argument("--autocast", action="store_true", help="compute the network in bfloat16")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 2, (N, TARGETS)).astype(np.float32))
    model = build("resnet18", TARGETS, {"width": options.width})
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = Recipe(batch_size=BATCH)
    optimizer = sgd(model, recipe)
    schedule = learning_rates(optimizer, recipe, options.steps)
    augment, generator = AUGMENTATIONS["faces"](), torch.Generator().manual_seed(0)

    with tempfile.TemporaryDirectory() as folder:
        for shard in range(4):
            part = rng.integers(0, 256, (N // 4, SIZE, SIZE, 3), dtype=np.uint8)
            np.save(Path(folder) / f"{shard}.npy", part)
        images = Shards([Path(folder) / f"{shard}.npy" for shard in range(4)])

        def rows() -> list[np.ndarray]:
            return [rng.integers(0, N, BATCH) for _ in range(options.steps)]

        ready = [
            Batch(normalised(batch.images, HOW), batch.labels)
            for batch in batches(images, labels, None, rows(), augment, generator)
        ]
        chosen = np.concatenate(rows())

        def train(found: object, preprocessing: Preprocessing | None) -> None:
            train_epoch(model, found, weighted_bce, optimizer, schedule, preprocessing=preprocessing,
                        autocast=options.autocast)  # fmt: skip

        def train_whole() -> None:
            train(batches(images, labels, None, rows(), augment, generator), HOW)

        @torch.no_grad()
        def test_alone() -> None:
            model.eval()
            for batch in ready:
                model(batch.images).float().cpu().numpy()

        def test_whole() -> None:
            logits_of(model, images, BATCH, chosen, HOW)

        kinds = {
            "train": (lambda: train(ready, None), train_whole),
            "test": (test_alone, test_whole),
        }
        print(
            f"ResNet-18, width {options.width:g}, {SIZE} px, batches of {BATCH}, {options.threads} threads, "
            f"{options.rounds} rounds of {options.steps} steps, load {os.getloadavg()[0]:.1f}"
        )
        print("        alone ms/step   whole ms/step   ratio of CPU   ratio of wall")
        for name, (alone, whole) in kinds.items():
            alone(), whole()  # first calls choose kernels
            found = np.array([[*timed(alone), *timed(whole)] for _ in range(options.rounds)])
            per_step = 1000 * np.median(found, 0) / options.steps
            total = found.sum(0)
            print(
                f"{name:6}  {per_step[0]:13.1f}   {per_step[2]:13.1f}   {total[1] / total[3]:12.3f}   "
                f"{total[0] / total[2]:13.3f}"
            )
        print(f"load after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
