"""Train a network that takes a planted shortcut once more, with section `align`, and see what the verdict says then.

python benchmarks/cheat_cured.py --work DIR [--seeds 1 2 3] [--output benchmarks/results/cheat_cured] [--picture PNG]

Of each seed four small networks (`cheat_networks`) go on from one ancestor with the same crops in the same order: one
never sees a mark; in the crops of the others a mark off the face goes with 85 % of the positives of one Action Unit;
and two of these are aligned with the maps of the annotated units as well (CURES). They are judged on people whom
nobody was trained on, with the mark as in training (the verdict) and without it (F1). How to align was chosen with
crops, people and seeds of the tuning (`cheat_rates.TUNING_PEOPLE`). What is made stays in DIR: a second call goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from cheat_marks import AUS, Crops, Shortcut, painted, shown
from cheat_networks import Finding, Settings, findings, trained
from cheat_rates import FIRST_SEEDS, NEW_PEOPLE, NEW_SEED, POOL_SEED, TRAINING_PEOPLE, crops_in
from cheat_tables import Judged, judged, load, save
from numpy.typing import NDArray

from fer_batch import explain
from fer_batch.evaluate.localisation import resized
from fer_batch.facs import au_name
from fer_batch.models.backbone import ResNet18
from fer_batch.training.batches import as_images
from fer_batch.training.loop import logits_of
from fer_batch.training.settings import AlignSettings
from fer_batch.visualize.figure import INK, SOFT_INK, new_figure
from fer_batch.visualize.figure import save as png_of
from fer_batch.visualize.heatmap import overlay

MARK = Shortcut(17, "off", "large", "sign", 0.85)
CURES = {
    "attention": AlignSettings(maps="units", layers=("layer2",), weight=4.0),
    "gradient": AlignSettings(to="gradient", maps="units", weight=0.01),
}
KINDS = {"clean": "no mark", "cheat": "mark", "attention": "mark, attention", "gradient": "mark, gradient"}
N_POOL, N_NEW = 1500, 240
COLOURS = {"clean": "#0b5394", "cheat": "#c1121f", "attention": "#2e7d32", "gradient": "#7b3fa0"}


def network(work: Path, kind: str, seed: int, pool: Crops, settings: Settings) -> ResNet18:
    """One of them, trained or read from `work`."""
    path = work / f"{kind}-{seed}.pt"
    if not path.exists():
        marks = () if kind == "clean" else (MARK,)
        model = trained(pool, marks, 3000 + seed, settings, _first(work, seed, pool, settings), CURES.get(kind))
        torch.save(model.state_dict(), path)
    model = ResNet18(len(AUS), settings.width)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def _first(work: Path, seed: int, pool: Crops, settings: Settings) -> Mapping[str, torch.Tensor]:
    """The network that knows the units a little, without any mark."""
    number = FIRST_SEEDS[seed % len(FIRST_SEEDS)]
    path = work / f"first{number}.pt"
    if not path.exists():
        torch.save(trained(pool, (), number, settings).state_dict(), path)
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return state


def measured(work: Path, seeds: Sequence[int], pool: Crops, new: Crops, settings: Settings) -> list[Finding]:
    """Every Action Unit of every network."""
    found = []
    for seed in seeds:
        for kind in KINDS:
            path = work / f"{kind}-{seed}.parquet"
            if not path.exists():
                model = network(work, kind, seed, pool, settings)
                save(findings(model, new, (MARK,), seed, settings, kind), path)
                print(kind, seed, flush=True)
            found += load(path)
    return found


def markdown(found: Sequence[Finding]) -> str:
    """A row for each network: what it sees with the mark and without, and the verdict."""
    cures = "; ".join(f"`{one.to}` with weight {one.weight:g}" for one in CURES.values())
    target = au_name(MARK.au)
    lines = [
        "# The planted shortcut, cured",
        "",
        "`python benchmarks/cheat_cured.py --work DIR`; docs/cheat.md says what it means. "
        f"{target}, mark off the face in {MARK.strength:.0%} of its positives; `align` is {cures}.",
        "",
        f"| seed | network | F1 of {target} with the marks | without | effect of the mark | evidence in the mark "
        "| mu | 95 % interval | chance | verdict | mean F1 of all units without |",
        "|---:|---|---:|---:|---:|---:|---:|---|---:|---|---:|",
    ]
    for row in (judged(one) for one in found if one.au == MARK.au):
        same = [one for one in found if (one.arm, one.network) == (row.found.arm, row.found.network)]
        place = row.verdict.localisation
        lines.append(
            f"| {row.found.network} | {KINDS[row.found.arm]} | {row.found.f1:.2f} | {row.found.f1_bare:.2f} "
            f"| {row.found.effect:.2f} | {row.found.mark_mass:.1%} | {place.mean:.3f} | {place.low:.3f} to "
            f"{place.high:.3f} | {place.chance:.3f} | {_word(row)} | {np.mean([one.f1_bare for one in same]):.3f} |"
        )
    return "\n".join(lines) + "\n"


def _word(row: Judged) -> str:
    return "**flagged**" if row.verdict.flagged else {"open": "open"}.get(row.verdict.state, "above chance")


def mean_map(model: ResNet18, new: Crops, images: NDArray[np.uint8], settings: Settings) -> NDArray[np.float32]:
    """Mean relevance of the Action Unit over the crops in which it is there and seen, shape (S, S)."""
    place = AUS.index(MARK.au)
    rows = np.flatnonzero((logits_of(model, images)[:, place] >= 0) & (new.occurrence[:, place] == 1))
    pairs = np.stack([np.arange(len(rows)), np.full(len(rows), place)], 1)
    values = explain.method(settings.method)(model, as_images(images[rows]), pairs).values
    return resized(values, (settings.size, settings.size)).mean(0, dtype=np.float32)


def picture(found: Sequence[Finding], faces: Mapping[str, NDArray[np.uint8]]) -> bytes:
    """mu beside chance of every network, and what the first seed's look at; PNG."""
    figure = new_figure(7.6, 2.4)
    axes = figure.add_axes((0.19, 0.2, 0.3, 0.62))
    rows = [judged(one) for one in found if one.au == MARK.au]
    for y, row in enumerate(rows):
        place, colour = row.verdict.localisation, COLOURS[row.found.arm]
        axes.plot([place.low, place.high], [y, y], color=colour, linewidth=1.6)
        axes.plot(place.mean, y, "o", color=colour, markersize=3.5)
        axes.plot([place.chance] * 2, [y - 0.35, y + 0.35], color="#8a8f98", linewidth=1.6)
    axes.set_yticks(range(len(rows)), [f"{KINDS[row.found.arm]} ({row.found.network})" for row in rows])
    axes.tick_params(labelsize=6.5, labelcolor=INK, length=2)
    axes.invert_yaxis()
    axes.set_xlabel("mu of AU17 with its interval (grey: chance)", fontsize=7, color=SOFT_INK)
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    for k, (kind, image) in enumerate(faces.items()):
        own = figure.add_axes((0.52 + 0.12 * k, 0.2, 0.115, 0.62))
        own.imshow(image)
        own.set_axis_off()
        own.set_title(KINDS[kind], fontsize=7, color=INK)
    return png_of(figure)


def faces_of(work: Path, seed: int, pool: Crops, new: Crops, settings: Settings) -> dict[str, NDArray[np.uint8]]:
    """What each network of a seed looks at on average, over one of the crops."""
    marks = shown(new, (MARK,), np.random.default_rng([seed, 1]))
    images = painted(new, (MARK,), marks)
    first = int(np.flatnonzero(marks[:, 0])[0])
    face = cv2.resize(images[first], (224, 224), interpolation=cv2.INTER_CUBIC)
    return {
        kind: overlay(face, mean_map(network(work, kind, seed, pool, settings), new, images, settings))
        for kind in KINDS
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for crops, networks and what is measured")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default 1 2 3)")
    parser.add_argument("--output", type=Path, help="write OUTPUT.md and OUTPUT.parquet")
    parser.add_argument("--picture", type=Path, help="PNG for docs/cheat.md")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    settings = dataclasses.replace(Settings(), n_training=N_POOL)
    pool = crops_in(options.work, "pool", N_POOL, TRAINING_PEOPLE, POOL_SEED, settings.size)
    new = crops_in(options.work, "new", N_NEW, NEW_PEOPLE, NEW_SEED, settings.size)
    found = measured(options.work, options.seeds, pool, new, settings)
    print(markdown(found))
    if options.output:
        options.output.with_suffix(".md").write_text(markdown(found))
        save(found, options.output.with_suffix(".parquet"))
    if options.picture:
        options.picture.write_bytes(picture(found, faces_of(options.work, options.seeds[0], pool, new, settings)))


if __name__ == "__main__":
    main()
