"""How long mining takes: 1,000 to 100,000 synthetic temporal prototypes of CK+'s lengths or far longer.

python benchmarks/patterns_scale.py

A run mines its temporal prototypes twice, with letters and without; these have letters, which is the dearer half.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from fer_batch.pipeline.partition.patterns import MIN_SHARE
from fer_batch.prototypes.patterns import mine
from fer_batch.prototypes.stages import label_set
from fer_batch.prototypes.temporal import StageSequence

AUS = ("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU12", "AU15", "AU17", "AU25")
CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")


def temporal_prototypes(n: int, mean_stages: float, seed: int = 0) -> tuple[list[StageSequence], list[str | None]]:
    """Temporal prototypes that rise from NONE and change by one label a stage, and the class that chose their labels.

    Each class prefers four Action Units; a label is in cluster A three times out of four. One in five has no class.
    Lengths are geometric about `mean_stages`, at most 60.
    """
    rng = np.random.default_rng(seed)
    found: list[StageSequence] = []
    groups: list[str | None] = []
    for _ in range(n):
        group = int(rng.integers(len(CLASSES)))
        preferred = [(2 * group + i) % len(AUS) for i in range(4)]
        active: dict[str, str] = {}
        stages = [label_set(())]
        for _ in range(min(60, int(rng.geometric(1 / mean_stages)))):
            target = AUS[preferred[int(rng.integers(4))] if rng.random() < 0.85 else int(rng.integers(len(AUS)))]
            if active.pop(target, None) is None:
                active[target] = "ABC"[int(rng.choice(3, p=(0.75, 0.2, 0.05)))]
            stages.append(label_set(active.items()))
        found.append(tuple(stages))
        groups.append(None if rng.random() < 0.2 else CLASSES[group])
    return found, groups


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="at most 10,000 temporal prototypes")
    sizes = (1_000, 10_000) if parser.parse_args().quick else (1_000, 10_000, 100_000)
    print("| sequences | mean stages | different stages | CPU seconds | patterns | gapped, up to | rows | peak, GB |")
    print("|---|---|---|---|---|---|---|---|")
    for mean_stages in (6.0, 18.0):
        for n in sizes:
            sequences, groups = temporal_prototypes(n, mean_stages)
            began = time.process_time()
            rows = mine(sequences, groups, min_share=MIN_SHARE)
            took = time.process_time() - began
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            stages = [stage for sequence in sequences for stage in sequence]
            patterns = len({(row.pattern.kind, row.pattern.stages) for row in rows})
            longest = min(row.longest for row in rows if row.pattern.kind == "gapped")
            print(
                f"| {n:,} | {len(stages) / n:.1f} | {len(set(stages)):,} | {took:.1f} | {patterns:,} | "
                f"{longest} stages | {len(rows):,} | {peak:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
