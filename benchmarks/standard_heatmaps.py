"""What heatmaps on the standard face cost beside the explanations: `python benchmarks/standard_heatmaps.py`.

ResNet-18 (methods MD-1) on one face. LIME, from superpixels to the sums of its shard, is compared with the bare forward
passes that it needs; of other methods the warp and the sums with the explanation itself. The ways of a round run in
turn, so that the machine's other work weighs on all of them alike. Ratios are of CPU seconds of all threads, medians
over the rounds: shard tasks use one core each. Stills come one by one, frames of a video sixteen together.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from skimage.data import astronaut
from skimage.transform import resize

from fer_batch import explain
from fer_batch.explain.lime import composed, drawn_samples
from fer_batch.models.backbone import build
from fer_batch.pipeline.analysis.accumulators import ACCUMULATORS, Seen, SequenceSums
from fer_batch.pipeline.analysis.sums import SumsWriter, sums_path
from fer_batch.regions import standard_face
from fer_batch.storage.store import Store

OTHERS = ("gradient", "grad_cam", "preset_a_flat", "integrated_gradients")
FRAMES = 16
ON_STANDARD_FACE = tuple(one for one in ACCUMULATORS if one.name not in ("crop", "stills"))


def sequence(n: int, size: int, kind: str) -> Any:
    """What sums need to know of a sequence: landmarks of its frames."""
    points, (height, width) = standard_face()
    faces = np.repeat(points[None] * (0.8 * size / width, 0.8 * size / height) + 0.1 * size, n, 0)
    faces += np.random.default_rng(0).normal(0, 1, (n, 1, 2))
    row = {"kind": kind, "sequence_id": "s"}
    return SimpleNamespace(landmarks=faces.astype(np.float32), sequence=row, frame_index=np.arange(n))


def summed(maps: NDArray[np.float32], size: int, kind: str) -> list[Any]:
    """The sums of maps that pass: of each still by itself, or of one video."""
    found = []
    for part in [maps[i : i + 1] for i in range(len(maps))] if kind == "still" else [maps]:
        data = sequence(len(part), size, kind)
        sums = SequenceSums(data, ON_STANDARD_FACE, Seen(crop_size=size))
        sums.add([(row, "AU12") for row in range(len(part))], part)
        found += list(sums.rows())
    return found


def timed(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def face(size: int) -> NDArray[np.float64]:
    return np.asarray(resize(astronaut()[:200, 130:330], (size, size), anti_aliasing=True))


@torch.no_grad()
def forward(model: torch.nn.Module, image: torch.Tensor, n_samples: int, batch: int) -> None:
    """The passes that LIME needs, on images that it could have made."""
    samples = torch.from_numpy(drawn_samples(n_samples, 30, np.random.default_rng(0)).astype(bool))
    labels = torch.arange(image[0].numel()).reshape(image.shape[1:]) % 30
    hidden = composed(image, torch.zeros_like(image), labels, samples[:batch])
    for start in range(0, n_samples, batch):
        model(hidden[: n_samples - start])


def lime(model: torch.nn.Module, image: torch.Tensor, arguments: argparse.Namespace) -> list[str]:
    explainer = explain.method("lime", paper="standardised", n_samples=arguments.samples, batch_size=64)
    plain, whole = [], []
    for _ in range(arguments.images + 1):
        plain.append(timed(lambda: forward(model, image, arguments.samples, 64)))
        whole.append(timed(lambda: summed(explainer(model, image[None], [(0, 3)]).values, arguments.size, "still")))
    a, b = statistics.median(plain[1:]), statistics.median(whole[1:])
    warp = statistics.median(
        timed(lambda: summed(np.ones((1, arguments.size, arguments.size), np.float32), arguments.size, "still"))
        for _ in range(20)
    )
    return [
        f"LIME, {arguments.samples} samples, {arguments.images} images: {1000 * a:.0f} ms of forward passes an image, "
        f"{1000 * b:.0f} ms in all; speed {a / b:.3f} of bare passes (wanted: 0.9), warp and sums {warp / b:.2%}"
    ]


def others(model: torch.nn.Module, image: torch.Tensor, arguments: argparse.Namespace) -> list[str]:
    lines = [
        "",
        "| method | explaining, ms a map | warp and sums, ms a still | share | ms a frame of a video | share |",
    ]
    lines.append("|---|---|---|---|---|---|")
    for name in OTHERS:
        explained, still, video = one_method(name, model, image, arguments)
        shares = f"{still:.2f} | {still / explained:.1%} | {video:.2f} | {video / explained:.1%}"
        lines.append(f"| {name} | {explained:.1f} | {shares} |")
    return lines


def one_method(
    name: str, model: torch.nn.Module, image: torch.Tensor, arguments: argparse.Namespace
) -> tuple[float, ...]:
    """Milliseconds a map of explaining, and of warp and sums of stills and of a video."""
    images, pairs = image.repeat(FRAMES, 1, 1, 1), [(row, 3) for row in range(FRAMES)]
    explainer = explain.method(name)
    maps = explainer(model, images, pairs).values
    ways: dict[str, Callable[[], object]] = {
        "explain": lambda: explainer(model, images, pairs),
        "still": lambda: summed(maps, arguments.size, "still"),
        "video": lambda: summed(maps, arguments.size, "video"),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way, call in ways.items():
            times[way].append(timed(call) / FRAMES)
    return tuple(1000 * statistics.median(own) for own in times.values())


def kept(maps: NDArray[np.float32], size: int) -> str:
    """What is kept of every still where its map is not."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        with SumsWriter(store, "s", each=True) as writer:
            for one in maps:
                writer.add(summed(one[None], size, "still"))
        n_bytes = os.path.getsize(store.path(sums_path("s")))
        whole = pq.read_metadata(store.path(sums_path("s"))).num_rows
    return f"keep_relevance: exemplars or prototypes keeps {n_bytes / len(maps) / 1000:.0f} kB a still ({whole} rows)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10, help="explained by LIME")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = build(arguments.network, 16).eval()
    image = torch.from_numpy(face(arguments.size)).permute(2, 0, 1).float()
    load = os.getloadavg()[0]
    lines = lime(model, image, arguments) + others(model, image, arguments)
    maps = explain.method("preset_a_flat")(model, image.repeat(8, 1, 1, 1), [(row, 3) for row in range(8)]).values
    print(
        f"{arguments.network} at {arguments.size}x{arguments.size}, {arguments.threads} threads of {os.cpu_count()} ",
        end="",
    )
    print(f"CPUs, load {load:.1f} before, {os.getloadavg()[0]:.1f} after\n")
    print("\n".join([*lines, "", kept(maps, arguments.size)]))


if __name__ == "__main__":
    main()
