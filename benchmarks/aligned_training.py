"""What section `align` does to a small classifier of posed stills, on people it was not trained on (methods G-23).

python benchmarks/aligned_training.py --work DIR [--seeds 1 2 3] [--output benchmarks/results/aligned_training]

Each seed has people of its own, to train on and to test on, weights and order of its own. Its networks differ in
section `align` alone: none, and the rows of CELLS. ATT-COS of every layer and CAM-COS are those of methods E-4, class
rows and their macro mean; the constant map's beside them (E-5). Weight, epochs and network were chosen with seed 0,
which is not reported. What is measured stays in DIR, a file for each network: a second call goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_batch import explain
from fer_batch.evaluate.alignment import alignment_table, attention_cosines, cam_cosines, constant_baseline
from fer_batch.facs import EXPRESSIONS
from fer_batch.models.backbone import ResNet18
from fer_batch.models.features import features
from fer_batch.posed.clips import write_stills
from fer_batch.posed.crops import Samples, still_samples
from fer_batch.regions import expression_maps
from fer_batch.training.alignment import layer_attention
from fer_batch.training.batches import as_images
from fer_batch.training.data import FaceSet
from fer_batch.training.fold import FoldTraining
from fer_batch.training.reasons import auxiliary_of
from fer_batch.training.recipe import Recipe
from fer_batch.training.settings import AlignSettings
from fer_batch.training.subjects import Fold

SIZE, WIDTH, TRAINED, TESTED, EPOCHS = 64, 0.125, 60, 24, 20
LAYERS = ("layer1", "layer2", "layer3", "layer4")
FIRST = 3000  # identity number of the first person of seed 0; the demonstration's are below
CELLS = {
    "none": None,
    "attention, layer4": AlignSettings(layers=("layer4",), weight=4.0),
    "attention, layer1": AlignSettings(layers=("layer1",), weight=4.0),
    "grad_cam, layer4": AlignSettings(to="grad_cam", layers=("layer4",), weight=4.0),
}


def stills(seed: int, work: Path) -> FaceSet:
    """Seven expressions of each person at varied intensity, cut about their landmarks; drawn once."""
    first, n = FIRST + 100 * seed, (TRAINED + TESTED) * len(EXPRESSIONS)
    kept = work / f"{seed}-stills.npz"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            write_stills(folder, n, seed, size=160, first_identity=first)
            np.savez(kept, **vars(still_samples(Path(folder), SIZE)))
    found = Samples(**np.load(kept))
    names = [EXPRESSIONS[i] for i in found.expression]
    people = np.arange(n) // len(EXPRESSIONS)
    return FaceSet(
        found.images,
        np.eye(len(EXPRESSIONS), dtype=np.float32)[found.expression],
        EXPRESSIONS,
        np.array([f"posed:{first + person}" for person in people]),
        np.full(n, "posed"),
        "softmax",
        expression_maps(found.landmarks, names, (SIZE, SIZE)),
    )


def network() -> nn.Module:
    """A narrow ResNet-18 whose last two stages keep 8x8, as SA's ResNet-50 keeps 28x28 (methods MD-2)."""
    model = ResNet18(len(EXPRESSIONS), WIDTH)
    for stage in (model.layer3, model.layer4):
        for module in stage[0].modules():
            if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                module.stride = (1, 1)
    return model


def measured(faces: FaceSet, seed: int, align: AlignSettings | None) -> dict[str, float]:
    """Accuracy, ATT-COS by layer and CAM-COS of one network on people it has not seen."""
    rows = np.arange(len(faces))
    trained = rows < TRAINED * len(EXPRESSIONS)
    recipe = Recipe(epochs=EPOCHS, batch_size=32, optimizer="adamw", learning_rate=3e-3, weight_decay=0.02,
                    schedule="warm_cosine", augment="flip", seed=seed)  # fmt: skip
    fold = Fold(0, rows[trained], rows[:0], rows[~trained])
    second = auxiliary_of(align, "softmax") if align else None
    result = FoldTraining(faces, fold, network, recipe, auxiliary=second).run().result()
    truth = faces.labels[fold.test].argmax(1)
    assert faces.maps is not None
    maps = np.asarray(faces.maps[fold.test])
    return {"accuracy": float((result.logits.argmax(1) == truth).mean())} | cosines(
        result.model, faces.images[fold.test], truth, maps
    )


@torch.no_grad()
def cosines(
    model: nn.Module, images: NDArray[np.uint8], truth: NDArray[np.int64], maps: NDArray[np.float32]
) -> dict[str, float]:
    """Macro means over the classes that have maps, and the constant map's."""
    x = as_images(images)
    _, found = features(model, x, LAYERS)
    pairs = np.stack([np.arange(len(truth)), truth], 1)
    with torch.enable_grad():
        cams = explain.method("cam")(model, x, pairs).values
    columns = {name: attention_cosines(layer_attention(found[name]).numpy(), maps) for name in LAYERS}
    columns |= {"CAM": cam_cosines(cams, maps), "constant": constant_baseline(maps)}
    table = alignment_table(columns, [EXPRESSIONS[i] for i in truth], EXPRESSIONS)
    return dict(zip(table.columns, table.macro.tolist(), strict=True))


def markdown(found: dict[int, dict[str, dict[str, float]]]) -> str:
    """Means over the seeds, each seed beside them, and what G-23 asks."""
    columns = ("accuracy", *LAYERS, "CAM", "constant")
    seeds = sorted(found)
    lines = [
        "# Networks that are trained to look where the Action Units are",
        "",
        "`python benchmarks/aligned_training.py --work DIR`; docs/training.md says what it means.",
        "",
        f"{TRAINED} posed people to train on, {TESTED} others to test on, seven stills each; ResNet-18 of width "
        f"{WIDTH:g}, {SIZE} px, 8x8 in layers 2 to 4; {EPOCHS} epochs. Mean of seeds {', '.join(map(str, seeds))} "
        "(each seed).",
        "",
        f"| align | {' | '.join(columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for name in CELLS:
        own = [[found[seed][name][column] for column in columns] for seed in seeds if name in found[seed]]
        if own:
            cells = [f"{np.mean(v):.3f} ({', '.join(f'{x:.2f}' for x in v)})" for v in zip(*own, strict=True)]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is measured")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default 1 2 3)")
    parser.add_argument("--cells", nargs="+", default=list(CELLS), help="rows of the table (default all)")
    parser.add_argument("--output", type=Path, help="write OUTPUT.md and OUTPUT.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    found: dict[int, dict[str, dict[str, float]]] = {}
    for seed in options.seeds:
        faces: FaceSet | None = None
        found[seed] = {}
        for name in options.cells:
            file = options.work / f"{seed}-{name.replace(', ', '-')}.json"
            if not file.exists():
                faces = faces or stills(seed, options.work)
                align = CELLS[name]
                file.write_text(json.dumps({"align": asdict(align) if align else None, **measured(faces, seed, align)}))
            found[seed][name] = json.loads(file.read_text())
            print(seed, name, {k: round(v, 3) for k, v in found[seed][name].items() if k != "align"}, flush=True)
    text = markdown(found)
    print(text)
    if options.output:
        options.output.with_suffix(".md").write_text(text)
        options.output.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
