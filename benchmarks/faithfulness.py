"""Pixel flipping against Quantus, and three checks of methods on a demonstration network.

`python benchmarks/faithfulness.py speed`: both in one process, one thread, with the same parameters: ResNet-18 with
random weights, 64 images of 112 pixels, squares of 28 pixels hidden in black, softmax. One evaluation of each is timed
in turn, and compared; then what a run over ten methods with five random orders takes: ours as it is, that of Quantus as
the sum of its calls, which all cost the same. Times are CPU seconds: the machine's other work counts on neither side.

`python benchmarks/faithfulness.py demo`: figures of ten methods on the shipped expression network, on posed faces of
people that it was not trained on.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.data import astronaut
from skimage.transform import resize

from fer_batch.evaluate.discrimination import class_discrimination
from fer_batch.evaluate.faithfulness import against_chance, area_under, faithfulness
from fer_batch.evaluate.randomisation import randomisation_check
from fer_batch.evaluate.subject_mean import SubjectMean, subject_mean
from fer_batch.explain import Explainer, method
from fer_batch.explain.hiding import Perturbation
from fer_batch.explain.perturbation import flipping_curves, pixel_curves, region_drops
from fer_batch.explain.randomised import randomised_maps
from fer_batch.explain.region_order import grid_segments
from fer_batch.explain.segments import slic_segments
from fer_batch.facs import EXPRESSIONS
from fer_batch.models.backbone import build
from fer_batch.models.card import ModelSpec, resolve
from fer_batch.models.checkpoint import load
from fer_batch.posed.crops import HELD_OUT_IDENTITIES
from fer_batch.posed.face import Pose, identity, render_frame
from fer_batch.posed.plans import still_intensities
from fer_batch.regions.au_regions import region_masks
from fer_batch.training.cutting import landmark_crop

METHODS = (
    *("deconvnet", "gradient", "guided_backprop", "grad_cam", "guided_grad_cam"),
    *("z", "preset_a_flat", "preset_b_flat", "epsilon", "attention"),
)
N_IMAGES, SIZE, SQUARE, N_RANDOM = 64, 112, 28, 5


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def speed(rounds: int) -> None:
    """One evaluation of each in turn, then ten methods with random orders."""
    import quantus

    torch.manual_seed(0)
    model = build("resnet18", 7).eval()
    rng = np.random.default_rng(0)
    face = resize(astronaut()[:200, 130:330], (SIZE, SIZE), anti_aliasing=True).transpose(2, 0, 1)
    images = np.clip(face + rng.normal(0, 0.1, (N_IMAGES, 3, SIZE, SIZE)), 0, 1).astype(np.float32)
    targets = rng.integers(0, 7, N_IMAGES)
    pairs = np.stack([np.arange(N_IMAGES), targets], 1)
    maps = np.stack([_maps(model, name, images, pairs) for name in METHODS])
    squares = np.broadcast_to(grid_segments((SIZE, SIZE), SQUARE), (N_IMAGES, SIZE, SIZE))
    theirs = quantus.Selectivity(
        patch_size=SQUARE, abs=False, normalise=False, perturb_baseline=0.0, disable_warnings=True
    )
    found = {}

    def of_quantus() -> None:
        found["theirs"] = theirs(
            *(model, images, targets), a_batch=maps[1][:, None], softmax=True, device="cpu", batch_size=N_IMAGES
        )

    def of_ours(chosen: NDArray[np.floating], n_random: int) -> None:
        options = Perturbation(hide="black")
        curves = flipping_curves(model, images, targets, chosen, squares, options, reduce="sum", n_random=n_random)
        found["ours"] = curves.scores[0]

    times: dict[str, list[float]] = {"theirs": [], "ours": []}
    for _ in range(rounds):
        times["theirs"].append(seconds(of_quantus))
        times["ours"].append(seconds(lambda: of_ours(maps[1:2], 0)))
    worst = np.abs(np.array(found["theirs"]) - found["ours"][:, 1:]).max()
    one, ours = (statistics.median(values) for values in times.values())
    print(f"one method: Quantus {one:.1f} s, ours {ours:.1f} s, ratio {one / ours:.2f}; largest difference {worst:.1g}")
    run = seconds(lambda: of_ours(maps, N_RANDOM))
    n = len(METHODS)
    print(f"{n} methods, {N_RANDOM} random orders: ours {run:.1f} s")
    for what, calls in (("of each method", n * (1 + N_RANDOM)), ("once for all", n + N_RANDOM)):
        print(f"Quantus, random orders {what}: {calls} calls, {calls * one:.0f} s, ratio {calls * one / run:.2f}")


def _maps(
    model: torch.nn.Module, name: str, images: NDArray[np.float32], pairs: NDArray[np.int64]
) -> NDArray[np.float32]:
    return explainer(name)(model, images, pairs, np.random.default_rng(0)).values


def explainer(name: str) -> Explainer:
    """A method whose maps are as large as the image."""
    return method(name, upsample=True) if name in ("grad_cam", "attention") else method(name)


def posed(n_people: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64], list[int]]:
    """Crops of held-out people, their landmarks, expressions and numbers; three expressions each."""
    rng = np.random.default_rng(seed)
    images, points, targets, people = [], [], [], []
    for who in range(n_people):
        for expression in rng.choice(EXPRESSIONS[1:], 3, replace=False):
            pose = Pose(*(rng.uniform(-1, 1, 5) * (10, 8, 5, 8, 6)))
            face = identity(HELD_OUT_IDENTITIES + seed + who)
            frame, landmarks = render_frame(face, still_intensities(str(expression), rng), pose, 256)
            images.append(landmark_crop(frame, landmarks, SIZE).transpose(2, 0, 1) / np.float32(255))
            low, high = landmarks.min(0), landmarks.max(0)
            side = ((high - low).max() + 1) * 1.4
            points.append((landmarks - (low + high) / 2) * SIZE / side + (SIZE - 1) / 2)
            targets.append(EXPRESSIONS.index(str(expression)))
            people.append(who)
    return np.stack(images), np.stack(points), np.array(targets), people


def demo(n_people: int, seed: int) -> None:
    """Class discrimination, randomisation and faithfulness of ten methods."""
    images, landmarks, targets, people = posed(n_people, seed)
    model = load(resolve(ModelSpec(checkpoint="demo-expressions")))
    right = model(torch.from_numpy(images)).argmax(1).numpy() == targets
    print(f"{len(images)} images of {n_people} people, {right.mean():.0%} recognised")
    segments = np.stack([slic_segments(image.transpose(1, 2, 0)) for image in images])
    pairs = np.stack([np.arange(len(images)), targets], 1)
    maps = np.stack([_maps(model, name, images, pairs) for name in METHODS])
    options = Perturbation(hide="mean")
    curves = flipping_curves(model, images, targets, maps, segments, options, n_steps=15)
    pixels = pixel_curves(model, images, targets, maps, options, n_pixels=SIZE * SIZE // 28)
    print("\n| method | between classes | stays when shuffled | | AOPC - random | deletion | insertion |")
    print("|---|---|---|---|---|---|---|")
    for k, name in enumerate(METHODS):
        check = randomisation_check(
            maps[k],
            randomised_maps(model, explainer(name), images, pairs, n_steps=5, seeds=(0, 1, 2)),
            people,
            measures=("spearman",),
        )
        all_classes = np.stack(np.meshgrid(range(len(images)), range(7), indexing="ij"), -1).reshape(-1, 2)
        classes = _maps(model, name, images, all_classes).reshape(len(images), 7, SIZE, SIZE)
        figures = (
            *(class_discrimination(classes, people).overall, check.own),
            faithfulness(curves.scores[k], curves.random, people).difference,
            *(subject_mean(area_under(both[k]), people) for both in (pixels.deletion, pixels.insertion)),
        )
        cells = [_cell(figure) for figure in figures]
        cells.insert(2, "flagged" if check.flagged else "open" if check.flagged is None else "")
        print(f"| `{name}` | {' | '.join(cells)} |", flush=True)
    print("\n| region hidden | fall of the score | as much elsewhere | difference |\n|---|---|---|---|")
    for unit in ("AU04", "AU06", "AU12", "AU25"):
        masks = region_masks(landmarks, unit, (SIZE, SIZE))
        assert masks is not None
        drops = region_drops(model, images, targets, masks, options)
        judged = against_chance(drops.inside, drops.elsewhere, people)
        print(f"| {unit} | {_cell(judged.value)} | {_cell(judged.chance)} | {_cell(judged.difference)} |")


def _cell(found: SubjectMean) -> str:
    missing = f", {found.n_undefined} undefined" if found.n_undefined else ""
    return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]{missing}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("speed", "demo"))
    parser.add_argument("--rounds", type=int, default=3, help="of the single evaluation (default %(default)s)")
    parser.add_argument("--people", type=int, default=12, help="of the demo (default %(default)s)")
    parser.add_argument("--seed", type=int, default=300, help="of the demo's people (default %(default)s)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    started = time.process_time()
    if options.part == "speed":
        speed(options.rounds)
    else:
        demo(options.people, options.seed)
    print(f"{time.process_time() - started:.0f} CPU seconds in all")


if __name__ == "__main__":
    main()
