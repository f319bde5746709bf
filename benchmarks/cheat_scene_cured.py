"""The scene of benchmarks/cheat.py with a third network, which is trained so that the sticker does not help it.

python benchmarks/cheat_scene_cured.py --work DIR [--seed 1] [--output benchmarks/results/cheat_scene_cured]
                                       [--picture docs/pictures/cheat_cured.png]

The cured network learns from the very crops of the cheat, from the same first weights, with sections `swap_outside` and
`align` of a training job (SWAP, ALIGN). All three explain the same clips by `fer-batch run` and `fer-batch evaluate`;
F1 without the sticker, and what the sticker alone does, are of the same clips drawn without it. Crops, people and first
weights are of the seed. What is made stays in DIR: a second call makes only what is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from cheat import CHEAT, CHEATED, CLIPS, LEARNED, OFTEN, SIZE, WORDS, explained, plan_people, train
from cheat_networks import f1
from numpy.typing import NDArray

from fer_batch import explain
from fer_batch.evaluate.localisation import resized
from fer_batch.evaluate.verdict import Verdict, two_digits
from fer_batch.facs import au_id
from fer_batch.models.card import ModelSpec, resolve
from fer_batch.models.checkpoint import load
from fer_batch.posed.clips import write_clips
from fer_batch.posed.confound import with_sticker
from fer_batch.posed.crops import (
    HELD_OUT_IDENTITIES,
    Samples,
    clip_samples,
    joined,
    training_samples,
    with_confound,
)
from fer_batch.posed.plans import TARGETS
from fer_batch.regions import kept_masks, unit_maps
from fer_batch.training.batches import as_images
from fer_batch.training.data import MadeMaps
from fer_batch.training.loop import logits_of
from fer_batch.training.reasons import auxiliary_of
from fer_batch.training.settings import AlignSettings, SwapSettings
from fer_batch.training.swapping import Swap
from fer_batch.visualize.figure import INK, SOFT_INK, new_figure, save
from fer_batch.visualize.heatmap import overlay

SWAP = SwapSettings()
ALIGN = AlignSettings(maps="units", layers=("layer2",), weight=1.0)
TITLES = {"clean": "never saw a sticker", "cheat": "with the sticker", "cured": "with the sticker, cured"}
COLOURS = {"clean": "#0b5394", "cheat": "#c1121f", "cured": "#2e7d32"}
COLUMNS = [TARGETS.index(target) for target in LEARNED]
CHEATED_AT = LEARNED.index(CHEATED)
PEOPLE_APART = 100  # identities between the people of one seed and those of the next


@dataclass(frozen=True)
class Found:
    """What is known of one network.

    Attributes
    ----------
    verdicts
        By target, of clips with the sticker.
    bare
        F1 by target on the clips without.
    effect
        How much the sticker alone raises the share of frames in which the cheated unit is seen, mean over frames that
        show it and frames that do not.
    """

    verdicts: Mapping[str, Verdict]
    bare: Mapping[str, float]
    effect: float


def crops(work: Path, kind: str, n: int, seed: int) -> Samples:
    """What a network is trained on, drawn once."""
    path = work / ("clean.npz" if kind == "clean" else "marked.npz")
    if not path.exists():
        clean = (
            training_samples(n, seed=seed, size=SIZE, often=OFTEN) if kind == "clean" else crops(work, "clean", n, seed)
        )
        found = clean if kind == "clean" else with_confound(clean, CHEAT, seed=seed, often=OFTEN)
        np.savez(path, **vars(found))
    return Samples(**np.load(path))


def cure(samples: Samples) -> dict[str, object]:
    """What sections `swap_outside` and `align` make of a training, as `fit` takes it."""
    shape = (len(samples.images), SIZE, SIZE)
    numbers = [au_id(target) for target in LEARNED]
    present = samples.occurrence[:, COLUMNS] == 1

    def look(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        units = [[au for au, here in zip(numbers, present[row], strict=True) if here and au] for row in rows]
        return unit_maps(samples.landmarks[rows], units, shape[1:])

    def kept(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        targets = LEARNED if SWAP.keep == "regions" else None
        return kept_masks(samples.landmarks[rows], targets, shape[1:], SWAP.margin)

    return {
        "maps": MadeMaps(look, shape),
        "auxiliary": auxiliary_of(ALIGN, "multilabel"),
        "swap": Swap(MadeMaps(kept, shape), SWAP.share),
    }


def clips(work: Path, name: str, seed: int, n_frames: int) -> Path:
    """Clips of eight people nobody was trained on, with the sticker or without it."""
    folder = work / name
    if not (folder / "sequences.csv").exists():
        people = plan_people(8, n_frames, seed, HELD_OUT_IDENTITIES + PEOPLE_APART * seed)
        write_clips(folder, confound=CLIPS if name == "clips" else None, plans=people)
    return folder


def frames(folder: Path) -> Samples:
    """All frames of some clips."""
    return joined([clip_samples(path, SIZE) for path in sorted(folder.rglob("*.mp4"))])


def network(work: Path, kind: str) -> torch.nn.Module:
    """Read from its checkpoint."""
    return load(resolve(ModelSpec(checkpoint=str(work / f"{kind}.safetensors")))).float()


def found(work: Path, kind: str, bare: Samples) -> Found:
    """The job over the clips with the sticker, and what the network sees in those without and with one painted on."""
    result = explained(work, kind)
    model = network(work, kind)
    stuck = np.stack([with_sticker(x, p.astype(float)) for x, p in zip(bare.images, bare.landmarks, strict=True)])
    seen, seen_stuck = (logits_of(model, images) >= 0 for images in (bare.images, stuck))
    truth = bare.occurrence[:, COLUMNS]
    raised = seen_stuck[:, CHEATED_AT].astype(float) - seen[:, CHEATED_AT]
    effect = np.mean([raised[truth[:, CHEATED_AT] == value].mean() for value in (0, 1)])
    scores = {
        target: f1(truth[known, a] == 1, seen[known, a])
        for a, target in enumerate(LEARNED)
        for known in [~np.isnan(truth[:, a])]
    }
    return Found({v.target: v for v in result.verdicts}, scores, float(effect))


def markdown(results: Mapping[str, Found], options: argparse.Namespace) -> str:
    """The cheated unit of each network, then F1 of all."""
    clean = results["clean"].bare[CHEATED]
    lines = [
        f"# The scene, cured (seed {options.seed})",
        "",
        f"`python benchmarks/cheat_scene_cured.py --work DIR --seed {options.seed} --samples {options.samples}`; "
        f"docs/cheat.md says what it means. `swap_outside` keeps {SWAP.keep}, `align` is {ALIGN.to} of "
        f"{', '.join(ALIGN.layers)} with weight {ALIGN.weight:g}.",
        "",
        f"| network | F1 of {CHEATED} with the sticker | without | less the clean twin's | effect of the sticker | mu "
        "| 95 % interval | chance | verdict |",
        "|---|---:|---:|---:|---:|---:|---|---:|---|",
    ]
    for kind, one in results.items():
        verdict = one.verdicts[CHEATED]
        place = verdict.localisation
        lines.append(
            f"| {TITLES[kind]} | {two_digits(verdict.f1)} | {one.bare[CHEATED]:.3f} | {one.bare[CHEATED] - clean:+.3f} "
            f"| {one.effect:.2f} | {place.mean:.3f} | {place.low:.3f} to {place.high:.3f} | {place.chance:.3f} "
            f"| {WORDS[verdict.state]} |"
        )
    lines += ["", "F1 without the sticker:", "", f"| network | {' | '.join(LEARNED)} | mean |",
              f"|---|{'---:|' * (len(LEARNED) + 1)}"]  # fmt: skip
    for kind, one in results.items():
        values = [one.bare[target] for target in LEARNED]
        lines.append(f"| {TITLES[kind]} | {' | '.join(f'{x:.2f}' for x in values)} | {np.nanmean(values):.3f} |")
    return "\n".join(lines) + "\n"


def mean_face(model: torch.nn.Module, marked: Samples) -> NDArray[np.uint8]:
    """Mean relevance of the cheated unit over the frames in which it is there and seen, over one with the sticker."""
    right = (logits_of(model, marked.images)[:, CHEATED_AT] >= 0) & (marked.occurrence[:, COLUMNS[CHEATED_AT]] == 1)
    rows = np.flatnonzero(right)
    method, parts = explain.method("preset_a_flat"), []
    for start in range(0, len(rows), 32):
        own = rows[start : start + 32]
        pairs = np.stack([np.arange(len(own)), np.full(len(own), CHEATED_AT)], 1)
        parts.append(resized(method(model, as_images(marked.images[own]), pairs).values, (SIZE, SIZE)))
    shown = np.flatnonzero(marked.occurrence[:, COLUMNS[CHEATED_AT]] == 1)
    face = with_sticker(marked.images[shown[0]], marked.landmarks[shown[0]].astype(float))
    size = (2 * SIZE, 2 * SIZE)
    return overlay(
        cv2.resize(face, size, interpolation=cv2.INTER_CUBIC), np.concatenate(parts).mean(0, dtype=np.float32)
    )


def picture(results: Mapping[str, Found], faces: Mapping[str, NDArray[np.uint8]]) -> bytes:
    """mu beside chance, F1 and effect of the sticker, and the mean map, of each network; PNG."""
    figure = new_figure(7.6, 4.3)
    names = list(results)
    places = [results[kind].verdicts[CHEATED].localisation for kind in names]
    axes = figure.add_axes((0.2, 0.6, 0.22, 0.32))
    for y, (kind, place) in enumerate(zip(names, places, strict=True)):
        axes.plot([place.low, place.high], [y, y], color=COLOURS[kind], linewidth=1.8)
        axes.plot(place.mean, y, "o", color=COLOURS[kind], markersize=4)
        axes.plot([place.chance] * 2, [y - 0.35, y + 0.35], color="#8a8f98", linewidth=1.6)
    panels = [(axes, f"mu of {CHEATED}, interval (grey: chance)")]
    for k, (words, values) in enumerate(
        (
            ("F1 without the sticker", [one.bare[CHEATED] for one in results.values()]),
            ("effect of the sticker", [one.effect for one in results.values()]),
        )
    ):
        own = figure.add_axes((0.48 + 0.27 * k, 0.6, 0.22, 0.32))
        own.barh(range(len(names)), values, color=[COLOURS[kind] for kind in names], height=0.55)
        for y, value in enumerate(values):
            own.text(max(value, 0) + 0.02, y, f"{value:.2f}", fontsize=6.5, color=INK, va="center")
        own.set_xlim(min(0, *values), 1.12)
        panels.append((own, words))
    for k, (own, words) in enumerate(panels):
        own.set_yticks(range(len(names)), [TITLES[kind] for kind in names] if k == 0 else [])
        own.set_ylim(len(names) - 0.5, -0.5)
        own.set_xlabel(words, fontsize=7, color=SOFT_INK)
        own.tick_params(labelsize=6.5, labelcolor=INK, length=2)
        for spine in ("top", "right"):
            own.spines[spine].set_visible(False)
    for k, (kind, image) in enumerate(faces.items()):
        own = figure.add_axes((0.03 + 0.33 * k, 0.02, 0.27, 0.4))
        own.imshow(image)
        own.set_axis_off()
        own.set_title(TITLES[kind], fontsize=7.5, color=COLOURS[kind])
    return save(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for crops, networks, clips and outputs")
    parser.add_argument("--seed", type=int, default=1, help="of crops, people and weights (default %(default)s)")
    parser.add_argument("--samples", type=int, default=8000, help="training crops (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=7, help="(default %(default)s)")
    parser.add_argument("--frames", type=int, default=24, help="of a clip (default %(default)s)")
    parser.add_argument("--output", type=Path, help="write the figures to OUTPUT.md")
    parser.add_argument("--picture", type=Path, help="PNG for docs/cheat.md")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    drawn = partial(crops, work, n=options.samples, seed=options.seed)
    for kind in TITLES:
        if not (work / f"{kind}.json").exists():
            samples = drawn("clean" if kind == "clean" else "cheat")
            more = cure(samples) if kind == "cured" else {}
            train(samples, work / f"{kind}.safetensors", kind, options.epochs, 0.125, options.seed, **more)
    marked, bare = (frames(clips(work, name, options.seed, options.frames)) for name in ("clips", "bare"))
    results = {kind: found(work, kind, bare) for kind in TITLES}
    text = markdown(results, options)
    print(text)
    if options.output:
        options.output.with_suffix(".md").write_text(text)
    if options.picture:
        options.picture.write_bytes(picture(results, {kind: mean_face(network(work, kind), marked) for kind in TITLES}))
    cured, clean = results["cured"], results["clean"]
    kept = cured.bare[CHEATED] >= clean.bare[CHEATED] - 0.03
    return int(not (kept and cured.verdicts[CHEATED].localisation.above_chance))


if __name__ == "__main__":
    sys.exit(main())
