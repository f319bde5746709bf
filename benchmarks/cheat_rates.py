"""How often the verdict flags a planted shortcut, and how often an Action Unit without one, over a grid of both.

python benchmarks/cheat_rates.py --work DIR          trains what DIR does not have yet, then judges
python benchmarks/cheat_rates.py                     judges the stored figures again: seconds
python benchmarks/cheat_rates.py --work DIR --method NAME --output OUTPUT  explains them by another method
python benchmarks/cheat_rates.py --work DIR --quick  a smoke run of seconds; its figures mean nothing

Small networks learn six Action Units from crops of the posed face on which marks go with some of them (`cheat_marks`).
They are explained on people whom neither they nor the tuning have seen (`cheat_networks`); what the verdict takes, the
sums of mu per subject, is stored in OUTPUT.parquet, and the verdict's rates are in OUTPUT.md (`cheat_tables`).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from cheat_marks import AUS, Crops, Kind, Place, Shortcut, apart, draw_crops
from cheat_networks import Finding, Settings, findings, trained
from cheat_tables import heat_table, load, markdown, save
from numpy.typing import NDArray

from fer_batch.models.backbone import ResNet18

HERE = Path(__file__).resolve().parent
# Decided before any figure of the reported networks was seen. Everything that was chosen by looking (size and number
# of crops, width, epochs, places of the marks) was chosen with networks, crops and people of the tuning.
TUNING_SEEDS, TUNING_PEOPLE = range(1, 200), range(1000, 2100)
REPORTED_SEEDS = range(1000, 2000)  # of networks: the plan's place in the grid is added to the first
FIRST_SEEDS = (901, 902, 903)  # of the networks that the reported ones start from
POOL_SEED, NEW_SEED, GRID_SEED = 911, 912, 913
TRAINING_PEOPLE, NEW_PEOPLE = range(5000, 5150), range(6000, 6020)
N_POOL, N_NEW = 3000, 480
STRENGTHS = (0.60, 0.70, 0.85, 0.95)
PLACES: tuple[Place, ...] = ("off", "face", "inside")
OTHER_KINDS: tuple[Kind, ...] = ("noisy", "absence")
TOGETHER = 3  # shortcuts in one network, so that half of its units have none
N_CLEAN = 6  # networks without any


@dataclasses.dataclass(frozen=True)
class Plan:
    """One network: its seed, its part of the grid, and what is planted."""

    seed: int
    arm: str
    shortcuts: tuple[Shortcut, ...]


def grid(landmarks: NDArray[np.float64], n_clean: int = N_CLEAN, seed: int = GRID_SEED) -> list[Plan]:
    """Every network that is reported: large signs and networks without a mark first, then the rest, each shuffled.

    Parameters
    ----------
    landmarks : shape (68, 2), pixels of a crop
        A face on which the marks of one network must not touch.
    """
    rng = np.random.default_rng(seed)
    large, small = (list(itertools.product(AUS, PLACES, (size,), ("sign",), STRENGTHS)) for size in ("large", "small"))
    others = list(itertools.product(AUS, ("off",), ("large",), OTHER_KINDS, STRENGTHS[1:]))
    plans: list[Plan] = []
    for wanted, n in ((large, n_clean), (small + others, 0)):
        groups = [("marked", own) for own in _grouped([Shortcut(*one) for one in wanted], landmarks, rng)]
        groups += [("clean", ())] * n
        for i in rng.permutation(len(groups)).tolist():
            plans.append(Plan(REPORTED_SEEDS[len(plans)], *groups[i]))
    return plans


def _grouped(
    wanted: list[Shortcut], landmarks: NDArray[np.float64], rng: np.random.Generator
) -> list[tuple[Shortcut, ...]]:
    """Groups of `TOGETHER` of different Action Units whose marks do not touch; a few may be smaller."""
    left = [wanted[i] for i in rng.permutation(len(wanted)).tolist()]
    groups = []
    while left:
        group = [left.pop(0)]
        for other in list(left):
            if len(group) < TOGETHER and apart([*group, other], landmarks):
                group.append(other)
                left.remove(other)
        groups.append(tuple(group))
    return groups


def crops_in(work: Path, name: str, n: int, people: Sequence[int], seed: int, size: int) -> Crops:
    """Drawn, or read from `work` where they were drawn before."""
    path = work / f"{name}.npz"
    if not path.exists():
        np.savez(path, **vars(draw_crops(n, people, seed, size)))
    with np.load(path) as found:
        return Crops(**found)


def measured(work: Path, plans: Sequence[Plan], pool: Crops, new: Crops, settings: Settings) -> list[Finding]:
    """Findings of every plan; a network, or findings, that `work` has are read."""
    found, started = [], time.monotonic()
    for number, plan in enumerate(plans, 1):
        path = work / f"network{plan.seed}.{settings.method}.parquet"
        if not path.exists():
            model = network_of(work, plan, pool, settings)
            save(findings(model, new, plan.shortcuts, plan.seed, settings, plan.arm), path)
            print(f"{number} of {len(plans)}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        found += load(path)
    return found


def network_of(work: Path, plan: Plan, pool: Crops, settings: Settings) -> ResNet18:
    path = work / f"network{plan.seed}.pt"
    if not path.exists():
        model = trained(pool, plan.shortcuts, plan.seed, settings, first_of(work, plan, pool, settings))
        torch.save(model.state_dict(), path)
    model = ResNet18(len(AUS), settings.width)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def first_of(work: Path, plan: Plan, pool: Crops, settings: Settings) -> dict[str, torch.Tensor]:
    """The network that knows the units a little, without any mark, and that this one starts from."""
    seed = FIRST_SEEDS[plan.seed % len(FIRST_SEEDS)]
    path = work / f"first{seed}.pt"
    if not path.exists():
        torch.save(trained(pool, (), seed, settings).state_dict(), path)
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return state


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for crops and networks; without it, nothing is trained")
    parser.add_argument("--quick", action="store_true", help="two tiny networks")
    parser.add_argument("--method", default=Settings.method, help="of explanation (default %(default)s)")
    parser.add_argument("--limit", type=int, help="the first so many networks of the grid")
    parser.add_argument("--output", type=Path, help="default benchmarks/results/cheat_rates; none with --quick")
    parser.add_argument("--picture", type=Path, help="PNG of the detection rates")
    options = parser.parse_args(arguments)
    output = options.output or (None if options.quick else HERE / "results" / "cheat_rates")
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if options.work:
        work = options.work.absolute()
        work.mkdir(parents=True, exist_ok=True)
        settings = Settings(method=options.method)
        if options.quick:
            settings = dataclasses.replace(settings, first_epochs=1, epochs=1, n_training=64)
        n_pool, n_new = (64, 24) if options.quick else (N_POOL, N_NEW)
        people = TRAINING_PEOPLE[:2] if options.quick else TRAINING_PEOPLE
        pool = crops_in(work, "pool", n_pool, people, POOL_SEED, settings.size)
        new = crops_in(work, "new", n_new, NEW_PEOPLE[:4] if options.quick else NEW_PEOPLE, NEW_SEED, settings.size)
        plans = grid(new.landmarks[0])[: 2 if options.quick else options.limit]
        found = measured(work, plans, pool, new, settings)
        if output:
            save(found, output.with_suffix(".parquet"))
    elif output and output.with_suffix(".parquet").exists():
        found = load(output.with_suffix(".parquet"))
    else:
        parser.error("expected --work DIR to train in, as there are no stored figures to judge")
    text = markdown(found, options.method)
    print(text)
    if output:
        output.with_suffix(".md").write_text(text)
    if options.picture:
        options.picture.write_bytes(heat_table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
