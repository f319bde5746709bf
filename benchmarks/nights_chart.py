"""How often undisturbed nights raise an alarm, and how soon a change does: the charts of `fer-batch nightly` alone.

    python benchmarks/nights_chart.py --repeat 200 --json OUT.json

20 figures of nights with 8 people each, 20 of the nights after the reference, all judged together at 1 % of nights, as
`fer-batch nightly` does. Each person has a share of frames of their own, each night a shift of its own. A change begins
after the reference and stays.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fer_batch.evaluate.control_chart import control_chart
from fer_batch.evaluate.night_mean import NightMean, night_mean

N_FIGURES, N_LATER, FALSE_ALARMS = 20, 20, 0.01


@dataclass(frozen=True)
class World:
    """What nights differ by: logits of the mean, and of the spread of people and nights; the same people or others."""

    name: str
    mean: float
    people: float = 1.0
    nights: float = 0.2
    same: bool = False
    n_people: int = 8
    uneven: bool = False


WORLDS = (
    World("half of the frames", 0.0),
    World("a tenth of the frames", -2.5),
    World("hardly ever", -9.0, people=3.5),
    World("nearly always (faces)", 9.0, people=3.5),
    World("the same people every night", -1.0, same=True),
    World("nights differ much", -1.0, nights=0.8),
    World("nights do not differ", -1.0, nights=0.0),
    World("3 to 40 people a night", -1.0, uneven=True),
    World("4 people a night", -1.0, n_people=4),
)


def nights(world: World, rng: np.random.Generator, reference: int, shift: float = 0.0) -> Iterator[NightMean]:
    """Nights of one figure; `shift` is added to the logits of all people after the reference."""
    known = rng.normal(world.mean, world.people, world.n_people)
    for k in range(reference + N_LATER):
        n = int(rng.integers(3, 41)) if world.uneven else world.n_people
        own = known if world.same else rng.normal(world.mean, world.people, n)
        logit = own + rng.normal(0, world.nights) + rng.normal(0, 0.3, len(own)) + (shift if k >= reference else 0.0)
        count = rng.integers(20, 120, len(own))
        yield night_mean(count, rng.binomial(count, 1 / (1 + np.exp(-logit))))


def false_alarms(world: World, reference: int, repeat: int, rng: np.random.Generator) -> tuple[float, float]:
    """Share of nights after the reference with any alarm, and of runs of 20 such nights with any."""
    is_in = np.arange(reference + N_LATER) < reference
    out = []
    for _ in range(repeat):
        charts = [
            control_chart(list(nights(world, rng, reference)), is_in, FALSE_ALARMS / N_FIGURES)
            for _ in range(N_FIGURES)
        ]
        out.append(np.any([chart.side != 0 for chart in charts], axis=0)[reference:])
    return float(np.mean(out)), float(np.any(out, axis=1).mean())


def delay(world: World, reference: int, shift: float, repeat: int, rng: np.random.Generator) -> tuple[float, float]:
    """Median nights from the change to the first alarm (1: its first night), and the share found within 20 nights."""
    is_in = np.arange(reference + N_LATER) < reference
    found = []
    for _ in range(repeat):
        chart = control_chart(list(nights(world, rng, reference, shift)), is_in, FALSE_ALARMS / N_FIGURES)
        first = np.flatnonzero(chart.side)
        found.append(first[0] - reference + 1 if len(first) else np.inf)
    return float(np.median(found)), float(np.mean(np.isfinite(found)))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=200)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--json")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    result: dict[str, dict[str, list[float]]] = {"false_alarms": {}, "delay": {}}
    print("| figure | reference | nights with any alarm | runs of 20 nights with any |\n|---|---|---|---|")
    for world in WORLDS:
        for reference in (10, 20) if world in WORLDS[:1] else (10,):
            rate, any_rate = false_alarms(world, reference, given.repeat, rng)
            result["false_alarms"][f"{world.name}, {reference}"] = [rate, any_rate]
            print(f"| {world.name} | {reference} | {rate:.2%} | {any_rate:.0%} |", flush=True)
    print("\n| share of frames, before and after | reference | nights to the alarm (median) | within 20 nights |")
    print("|---|---|---|---|")
    world = WORLDS[0]
    logits = rng.normal(0, np.sqrt(world.people**2 + world.nights**2 + 0.3**2), 200_000)
    for shift in (-0.5, -1.0, -1.5, -2.0, -3.0):
        after = np.mean(1 / (1 + np.exp(-logits - shift)))
        for reference in (10, 20):
            nights_to, share = delay(world, reference, shift, given.repeat, rng)
            result["delay"][f"{shift}, {reference}"] = [nights_to, share]
            print(f"| .50 to {after:.2f} | {reference} | {nights_to:g} | {share:.0%} |", flush=True)
    if given.json:
        with open(given.json, "w") as handle:
            json.dump(result, handle, indent=1)


if __name__ == "__main__":
    main()
