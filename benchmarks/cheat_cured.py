"""Train networks that take planted shortcuts once more, so that they cannot, and see what is left of each shortcut.

python benchmarks/cheat_cured.py --work DIR [--networks 4] [--cures face regions] [--output OUTPUT] [--picture PNG]

Of each network of `cheat_rates` whose marks are all signs outside the region of their Action Unit, three go on from one
ancestor with the same crops in the same order: the network itself, one that never sees a mark, and one that sees the
marks and is trained by a cure (CURES: sections `swap_outside` and `align` of a training job). They are judged on people
whom nobody was trained on: with the marks as in training (the verdict), without the unit's own mark (F1), and by adding
the mark and taking it away (its effect). How to cure was chosen with other crops, people and networks
(`cheat_rates.TUNING_PEOPLE`). What is made stays in DIR: a second call goes on, and DIR may be that of `cheat_rates`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from cheat_marks import AUS, Crops, painted, shown
from cheat_networks import Finding, Settings, findings, trained
from cheat_rates import (
    N_NEW,
    N_POOL,
    NEW_PEOPLE,
    NEW_SEED,
    POOL_SEED,
    TRAINING_PEOPLE,
    Plan,
    crops_in,
    first_of,
    grid,
    network_of,
)
from cheat_tables import Judged, judged, load, save
from numpy.typing import NDArray

from fer_batch import explain
from fer_batch.evaluate.localisation import resized
from fer_batch.facs import au_name
from fer_batch.models.backbone import ResNet18
from fer_batch.training.batches import as_images
from fer_batch.training.loop import logits_of
from fer_batch.training.settings import AlignSettings, SwapSettings
from fer_batch.visualize.figure import INK, SOFT_INK, new_figure
from fer_batch.visualize.figure import save as png_of
from fer_batch.visualize.heatmap import overlay


@dataclass(frozen=True)
class Cure:
    """How a network is trained so that a mark does not help it, as the sections of a job have it."""

    words: str
    swap: SwapSettings | None = None
    align: AlignSettings | None = None


CURES = {
    "face": Cure("cured", SwapSettings(), AlignSettings(maps="units", layers=("layer2",), weight=1.0)),
    "regions": Cure(
        "cured, regions kept", SwapSettings(keep="regions"), AlignSettings(maps="units", layers=("layer2",), weight=4.0)
    ),
    "swap": Cure("swapped alone", SwapSettings()),
    "attention": Cure("attention alone", None, AlignSettings(maps="units", layers=("layer2",), weight=4.0)),
    "gradient": Cure("gradient alone", None, AlignSettings(to="gradient", maps="units", weight=0.01)),
}
WORDS = {"clean": "never saw a mark", "marked": "with the marks"} | {name: cure.words for name, cure in CURES.items()}
COLOURS = {"clean": "#0b5394", "marked": "#c1121f", "face": "#2e7d32", "regions": "#7b3fa0"}
KEPT = 0.03  # of F1, below the network that never saw a mark


def plans(landmarks: NDArray[np.float64], n: int) -> list[Plan]:
    """Networks of the grid whose marks are large signs outside their region, those with most off the face first."""
    found = [
        plan
        for plan in grid(landmarks)
        if plan.shortcuts
        and all((one.kind, one.size) == ("sign", "large") and one.place != "inside" for one in plan.shortcuts)
    ]
    return sorted(found, key=lambda plan: -sum(one.place == "off" for one in plan.shortcuts))[:n]


def network(work: Path, kind: str, plan: Plan, pool: Crops, settings: Settings) -> ResNet18:
    """One of them, trained or read from `work`."""
    if kind == "marked":
        return network_of(work, plan, pool, settings)
    path = work / f"{kind}{plan.seed}.pt"
    if not path.exists():
        cure = CURES.get(kind, Cure("none"))
        marks = () if kind == "clean" else plan.shortcuts
        first = first_of(work, plan, pool, settings)
        model = trained(pool, marks, plan.seed, settings, first, cure.align, cure.swap)
        torch.save(model.state_dict(), path)
    model = ResNet18(len(AUS), settings.width)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def measured(
    work: Path, kinds: Iterable[str], chosen: Sequence[Plan], pool: Crops, new: Crops, settings: Settings
) -> list[Finding]:
    """Every Action Unit of every network."""
    found = []
    for plan in chosen:
        for kind in kinds:
            path = work / f"cured.{kind}{plan.seed}.parquet"
            if not path.exists():
                model = network(work, kind, plan, pool, settings)
                marks = () if kind == "clean" else plan.shortcuts
                save(findings(model, new, marks, plan.seed, settings, kind, others=False), path)
                print(kind, plan.seed, flush=True)
            found += load(path)
    return found


@dataclass(frozen=True)
class Row:
    """An Action Unit with a mark: what the network makes of it that never saw one, that takes it, and that is cured."""

    clean: Judged
    marked: Judged
    cured: Judged

    @property
    def kept(self) -> bool:
        """Whether F1 without the mark is not more than KEPT below the network that never saw one."""
        return self.cured.found.f1_bare >= self.clean.found.f1 - KEPT

    @property
    def held(self) -> bool:
        """Whether mu is above chance by its interval as well."""
        return self.kept and self.cured.verdict.localisation.above_chance


def rows_of(found: Sequence[Finding], cure: str) -> list[Row]:
    """One row per shortcut of every network that was cured so."""
    by_name = {(one.arm, one.network, one.au): judged(one) for one in found}
    return [
        Row(by_name["clean", seed, au], row, by_name[cure, seed, au])
        for (arm, seed, au), row in by_name.items()
        if arm == "marked" and row.found.shortcut is not None
    ]


def markdown(found: Sequence[Finding], cures: Sequence[str]) -> str:
    """A table for each cure, a row for each shortcut, and what holds of them."""
    lines = [
        "# Planted shortcuts, cured",
        "",
        "`python benchmarks/cheat_cured.py --work DIR`; docs/cheat.md says what it means. F1 is on people whom nobody "
        "was trained on; without the unit's own mark, but for the first.",
    ]
    for cure in cures:
        rows = rows_of(found, cure)
        lines += ["", f"## {CURES[cure].words}", "", *summary(rows, found, cure), ""]
        lines += ["| network | unit, place, share | effect of the mark | cured | F1 with the mark | without | cured "
                  "| never saw one | mu | cured, 95 % interval | chance | verdict | F1 and mu held |",
                  "|---:|---|---:|---:|---:|---:|---:|---:|---:|---|---:|---|---|"]  # fmt: skip
        lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    before, after, place = row.marked.found, row.cured.found, row.cured.verdict.localisation
    mark = before.shortcut
    assert mark is not None
    where = {"off": "off the face", "face": "on the face"}[mark.place]
    return (
        f"| {before.network} | {au_name(before.au)}, {where}, {mark.strength:.0%} | {before.effect:.2f} "
        f"| {after.effect:.2f} | {before.f1:.2f} | {before.f1_bare:.2f} | {after.f1_bare:.2f} "
        f"| {row.clean.found.f1:.2f} | {row.marked.mu:.3f} | {place.mean:.3f}, {place.low:.3f} to {place.high:.3f} "
        f"| {place.chance:.3f} | {_word(row.cured)} | {'yes' if row.held else 'no'} |"
    )


def _word(row: Judged) -> str:
    return "**flagged**" if row.verdict.flagged else {"open": "open"}.get(row.verdict.state, "above chance")


def summary(rows: Sequence[Row], found: Sequence[Finding], cure: str) -> list[str]:
    """What is left of the shortcuts that are used, by their place, and what became of the units without a mark."""
    lines = ["| mark | used | effect, median | cured | F1 kept within .03 | mu above chance | both |",
             "|---|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for place, words in (("off", "off the face"), ("face", "on the face")):
        own = [r for r in rows if r.marked.used and r.marked.found.shortcut and r.marked.found.shortcut.place == place]
        if not own:
            continue
        before, after = (np.median([getattr(r, name).found.effect for r in own]) for name in ("marked", "cured"))
        above = [row.cured.verdict.localisation.above_chance for row in own]
        lines.append(
            f"| {words} | {len(own)} | {before:.2f} | {after:.2f} | {sum(r.kept for r in own)} | {sum(above)} "
            f"| {sum(r.held for r in own)} |"
        )
    bare = {kind: [one.f1 for one in found if one.arm == kind and _no_mark(one, rows)] for kind in ("clean", cure)}
    means = " and ".join(f"{np.mean(values):.3f} ({WORDS[kind]})" for kind, values in bare.items())
    return [*lines, "", f"Mean F1 of the units without a mark: {means}."]


def _no_mark(one: Finding, rows: Sequence[Row]) -> bool:
    return all((one.network, one.au) != (row.marked.found.network, row.marked.found.au) for row in rows)


def mean_map(
    model: ResNet18, new: Crops, images: NDArray[np.uint8], au: int, settings: Settings
) -> NDArray[np.float32]:
    """Mean relevance of an Action Unit over the crops in which it is there and seen, shape (S, S)."""
    place = AUS.index(au)
    rows = np.flatnonzero((logits_of(model, images)[:, place] >= 0) & (new.occurrence[:, place] == 1))
    pairs = np.stack([np.arange(len(rows)), np.full(len(rows), place)], 1)
    values = explain.method(settings.method)(model, as_images(images[rows]), pairs).values
    return resized(values, (settings.size, settings.size)).mean(0, dtype=np.float32)


def faces_of(
    work: Path, plan: Plan, slot: int, kinds: Iterable[str], pool: Crops, new: Crops, settings: Settings
) -> dict[str, NDArray[np.uint8]]:
    """What the networks of a plan look at on average for the Action Unit of a mark, over a crop with the mark."""
    marks = shown(new, plan.shortcuts, np.random.default_rng([plan.seed, 1]))
    images = painted(new, plan.shortcuts, marks)
    mark = plan.shortcuts[slot].au
    face = cv2.resize(images[int(np.flatnonzero(marks[:, slot])[0])], (224, 224), interpolation=cv2.INTER_CUBIC)
    return {
        kind: overlay(face, mean_map(network(work, kind, plan, pool, settings), new, images, mark, settings))
        for kind in kinds
    }


def _strongest(plan: Plan, found: Sequence[Finding]) -> int:
    """Slot of the mark that its network uses most."""
    effects = {one.au: one.effect for one in found if (one.arm, one.network) == ("marked", plan.seed)}
    return max(range(len(plan.shortcuts)), key=lambda slot: effects[plan.shortcuts[slot].au])


def picture(
    found: Sequence[Finding], cures: Sequence[str], faces: Mapping[str, NDArray[np.uint8]], title: str
) -> bytes:
    """Effect of each mark and F1 without it, before and after, and what one network's look at; PNG."""
    figure = new_figure(7.6, 4.6)
    drawn = (("effect", "Effect of the mark on detection"), ("f1_bare", "F1 without the mark"))
    for k, (name, words) in enumerate(drawn):
        axes = figure.add_axes((0.16 + 0.43 * k, 0.52, 0.4, 0.42))
        _dots(axes, found, cures, name)
        axes.set_xlabel(words, fontsize=7, color=SOFT_INK)
        if k:
            axes.set_yticklabels([])
    for k, (kind, image) in enumerate(faces.items()):
        own = figure.add_axes((0.03 + 0.24 * k, 0.02, 0.22, 0.34))
        own.imshow(image)
        own.set_axis_off()
        own.set_title(WORDS[kind], fontsize=7, color=COLOURS.get(kind, INK))
    figure.text(0.03, 0.415, title, fontsize=7, color=INK)
    return png_of(figure)


def _dots(axes, found: Sequence[Finding], cures: Sequence[str], name: str) -> None:  # type: ignore[no-untyped-def]
    first = rows_of(found, cures[0])
    for y, row in enumerate(first):
        after = [getattr(rows_of(found, cure)[y].cured.found, name) for cure in cures]
        before, clean = getattr(row.marked.found, name), getattr(row.clean.found, name)
        axes.plot([before, after[-1]], [y, y], color="#d5d8dc", linewidth=1, zorder=1)
        points = {"clean": clean, "marked": before} | dict(zip(cures, after, strict=True))
        for kind, value in points.items():
            if kind != "clean" or name != "effect":
                axes.plot(value, y, "|" if kind == "clean" else "o", color=COLOURS.get(kind, INK), markersize=5)
    said = [row.marked.found.shortcut for row in first]
    axes.set_yticks(
        range(len(first)), [f"{au_name(one.au)} {one.place}, {one.strength:.0%}" for one in said if one is not None]
    )
    axes.tick_params(labelsize=6, labelcolor=INK, length=2)
    axes.invert_yaxis()
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for crops, networks and what is measured")
    parser.add_argument("--networks", type=int, default=4, help="so many of the grid (default %(default)s)")
    parser.add_argument("--cures", nargs="+", default=["face"], choices=list(CURES), help="(default face)")
    parser.add_argument("--output", type=Path, help="write OUTPUT.md and OUTPUT.parquet")
    parser.add_argument("--picture", type=Path, help="PNG for docs/cheat.md")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    settings, kinds = Settings(), ("clean", "marked", *options.cures)
    pool = crops_in(options.work, "pool", N_POOL, TRAINING_PEOPLE, POOL_SEED, settings.size)
    new = crops_in(options.work, "new", N_NEW, NEW_PEOPLE, NEW_SEED, settings.size)
    chosen = plans(new.landmarks[0], options.networks)
    found = measured(options.work, kinds, chosen, pool, new, settings)
    print(markdown(found, options.cures))
    if options.output:
        options.output.with_suffix(".md").write_text(markdown(found, options.cures))
        save(found, options.output.with_suffix(".parquet"))
    if options.picture:
        slot = _strongest(chosen[0], found)
        faces = faces_of(options.work, chosen[0], slot, kinds, pool, new, settings)
        unit = au_name(chosen[0].shortcuts[slot].au)
        title = f"Network {chosen[0].seed}: what it looks at for {unit} on average"
        options.picture.write_bytes(picture(found, options.cures, faces, title))


if __name__ == "__main__":
    main()
