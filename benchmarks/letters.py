"""Letters against the truth: rules and alignments side by side on the clips of `letters_world.py`.

python benchmarks/letters.py --work DIR [--split report] [--as-made] [--corelay-python VENV/bin/python] [--tune]

Maps that DIR lacks are made first, which takes an hour of one core; `--as-made` takes what is there. Each rule gets the
same maps, those of the frames in which the unit is active, as a run does. `--tune` varies the constants of `steps` one
at a time on the other split. Writes RESULTS.md and RESULTS.json. See docs/ground_truth.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from letters_world import CROP, Cell, cells, make
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fer_batch.regions import face_maps
from fer_batch.spray import cluster, cluster_sequence
from fer_batch.spray import steps as steps_module
from fer_batch.spray import ways as ways_module

Labels = NDArray[np.int64]
ALL, RIGHT_HALF = slice(None), slice(15, None)  # columns of the standard face


@dataclass(frozen=True)
class Clip:
    """Maps of the frames in which the unit is active, and what was covered in them."""

    cell: Cell
    name: str  # ways x frames of a cover
    maps: NDArray[np.float32]
    faces: NDArray[np.float32]
    times: NDArray[np.int64]
    truth: NDArray[np.int64]
    active: float  # share of the frames

    @property
    def covered(self) -> bool:
        """Whether anything is covered."""
        return not self.name.startswith("1x")


def clips(work: Path, wanted: Sequence[Cell]) -> Iterator[Clip]:
    for cell in wanted:
        if not (work / cell.name).exists():
            continue
        with np.load(work / cell.name) as stored:
            for name in sorted({key.split("/")[0] for key in stored.files}):
                maps, points, truth, active = (stored[f"{name}/{key}"] for key in ("maps", "points", "truth", "active"))
                chosen = np.flatnonzero(active) if cell.network == "demo" else np.arange(len(maps))
                maps = maps[chosen].astype(np.float32)
                faces = face_maps(maps, points[chosen], (CROP, CROP))
                yield Clip(cell, name, maps, faces, chosen, truth[chosen], float(active.mean()))


RULES: dict[str, Callable[[Clip], Labels]] = {
    "steps, face (default)": lambda clip: cluster_sequence(clip.faces, clip.times).labels,
    "steps, crop": lambda clip: cluster_sequence(clip.maps, clip.times).labels,
    "paper, crop (default before)": lambda clip: cluster(clip.maps).labels,
    "paper, face": lambda clip: cluster(clip.faces).labels,
    "n_neighbors 10, tau .02, crop": lambda clip: cluster(clip.maps, n_neighbors=10, tau=0.02).labels,
}


def of_corelay(python: str) -> Callable[[Clip], Labels]:
    """CoRelAy's spectral clustering as it comes (10 neighbours, two clusters), in a process of its own."""
    program = (
        "import sys, numpy as np\n"
        "from corelay.pipeline.spectral import SpectralClustering\n"
        "for line in sys.stdin:\n"
        "    rows = np.load(line.strip())\n"
        "    labels = SpectralClustering()(rows)\n"
        "    labels = labels[-1] if isinstance(labels, tuple) else labels\n"
        "    print(','.join(map(str, np.asarray(labels).tolist())), flush=True)\n"
    )
    process = subprocess.Popen([python, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    path = Path(tempfile.mkdtemp()) / "rows.npy"

    def labels(clip: Clip) -> Labels:
        rows = clip.maps.reshape(len(clip.maps), -1).astype(np.float64)
        np.save(path, rows / np.abs(rows).sum(axis=1, keepdims=True))
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        return np.array([int(v) for v in process.stdout.readline().split(",")])

    return labels


@dataclass(frozen=True)
class Found:
    """What a rule made of a clip."""

    cell: Cell
    name: str
    rule: str
    n_clusters: int
    rand: float  # of covered clips
    active: float


def judged(clip: Clip, rule: str, labels: Labels) -> Found:
    rand = float(adjusted_rand_score(clip.truth, labels)) if clip.covered else float("nan")
    return Found(clip.cell, clip.name, rule, len(set(labels.tolist())), rand, clip.active)


def summary(found: Sequence[Found]) -> dict[str, float]:
    """Means over clips; of those whose covers are 6 frames; share of uncovered clips that are split."""
    covered = [one.rand for one in found if np.isfinite(one.rand)]
    six = [one.rand for one in found if np.isfinite(one.rand) and one.name.endswith("x6")]
    split = [one.n_clusters > 1 for one in found if not np.isfinite(one.rand)]
    return {
        "rand": _mean(covered),
        "least": min(covered, default=float("nan")),
        "six": _mean(six),
        "split": _mean(split),
        "n": len(covered),
        "n_uncovered": len(split),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


HEADS: dict[str, Callable[[str], bool]] = {
    "still": lambda motion: motion == "still",
    "moving": lambda motion: motion != "still",
}
COLUMNS = ("adjusted Rand", "least", "covers of 6 frames", "uncovered clips split", "clips")


def row(found: Sequence[Found]) -> str:
    own = summary(found)
    cells_ = [f"{own[name]:.2f}" if np.isfinite(own[name]) else "-" for name in ("rand", "least", "six")]
    split = f"{own['split']:.0%}" if own["n_uncovered"] else "-"
    return " | ".join([*cells_, split, f"{own['n']} + {own['n_uncovered']}"])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join((*head, *COLUMNS)) + " |", "|" + "---|" * len(head) + "---:|" * len(COLUMNS)]
    return "\n".join([*lines, *("| " + " | ".join(one) + " |" for one in rows)])


def by_level(found: Sequence[Found]) -> str:
    """A row for each noise, jitter, head and rule."""
    rows = []
    levels = sorted({(one.cell.noise, one.cell.jitter) for one in found}, key=lambda level: level[::-1])
    for noise, jitter in levels:
        for head, is_head in HEADS.items():
            for rule in dict.fromkeys(one.rule for one in found):
                own = [o for o in found if (o.cell.noise, o.cell.jitter) == (noise, jitter) and o.rule == rule]
                own = [o for o in own if is_head(o.cell.motion)]
                if own:
                    rows.append((f"{noise:g}", f"{jitter:g} %", head, rule, row(own)))
    return table(("noise", "landmarks' jitter", "head", "rule"), rows)


def by_motion(found: Sequence[Found], rules: Sequence[str]) -> str:
    rows = []
    for motion in dict.fromkeys(one.cell.motion for one in found):
        for rule in rules:
            own = [o for o in found if o.cell.motion == motion and o.rule == rule]
            rows.append((motion, rule, row(own)))
    return table(("head", "rule"), rows)


def networks(work: Path, split: str) -> str:
    """Letters of whole maps, and of the half of the face that is never covered, of both networks."""
    wanted = [c for c in cells(split) if c.network == "random"]
    of_demo = {(c.motion, c.noise, c.pair) for c in wanted if (work / c.name).exists()}
    wanted += [
        c for c in cells(split) if c.network == "demo" and not c.jitter and (c.motion, c.noise, c.pair) in of_demo
    ]
    rows: dict[tuple[str, str], list[Found]] = {}
    for clip in clips(work, wanted):
        if clip.name.startswith("3x"):
            continue
        for half, columns in (("whole map", ALL), ("half never covered", RIGHT_HALF)):
            labels = cluster_sequence(clip.faces[:, :, columns], clip.times).labels
            rows.setdefault((clip.cell.network, half), []).append(judged(clip, half, labels))
    return table(("network", "of the map"), [(*key, row(found)) for key, found in sorted(rows.items())])


VARIED: tuple[tuple[Any, str, tuple[float, ...]], ...] = (
    (ways_module, "SMOOTHING", (0.5, 1.0, 1.5, 2.0)),
    (ways_module, "ALIKE", (0.2, 0.35, 0.5, 0.65, 0.8)),
    (steps_module, "TOLERANCE", (0.001, 0.002, 0.003, 0.004, 0.008, 0.016)),
    (steps_module, "PRIOR", (4, 7, 10, 16)),
)


def tuned(work: Path) -> str:
    """One constant at a time, the others as they are, on the split for tuning."""
    known = list(clips(work, [cell for cell in cells("tune") if cell.network == "demo"]))
    rows = []

    def measure(name: str, alpha: float = 0.05) -> None:
        found = [judged(c, name, cluster_sequence(c.faces, c.times, alpha=alpha).labels) for c in known]
        rows.append((name, row(found)))

    for module, name, values in VARIED:
        usual = getattr(module, name)
        for value in values:
            setattr(module, name, value)
            ways_module._smoothing.cache_clear()
            measure(f"{name} = {value:g}" + (" (chosen)" if value == usual else ""))
        setattr(module, name, usual)
        ways_module._smoothing.cache_clear()
    for alpha in (0.001, 0.01, 0.05, 0.1):
        measure(f"alpha = {alpha:g}" + (" (chosen)" if alpha == 0.05 else ""), alpha)
    return table(("constant",), rows)


def main() -> None:
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of maps")
    parser.add_argument("--split", choices=("tune", "report"), default="report")
    parser.add_argument("--as-made", action="store_true", help="cluster what DIR holds, make nothing")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--corelay-python", help="Python of an environment with CoRelAy")
    parser.add_argument("--tune", action="store_true", help="also vary the constants on the split for tuning")
    parser.add_argument("--results", type=Path, default=here / "benchmarks" / "results" / "letters")
    options = parser.parse_args()
    for split in () if options.as_made else (options.split, *(("tune",) if options.tune else ())):
        make(split, options.work, options.processes)
    rules = dict(RULES)
    if options.corelay_python:
        rules["CoRelAy's defaults, crop"] = of_corelay(options.corelay_python)
    wanted = [cell for cell in cells(options.split) if cell.network == "demo"]
    found = [
        judged(clip, rule, method(clip))
        for clip in clips(options.work, wanted)
        for rule, method in rules.items()
        if len(clip.maps) > 33 or not rule.startswith("CoRelAy")
    ]
    made = len({one.cell for one in found})
    parts = [
        "# Letters against the truth",
        f"`python benchmarks/letters.py`; docs/ground_truth.md says what it means. Split `{options.split}`, "
        f"{made} of {len(wanted)} cells; unit active in {_mean([o.active for o in found]):.0%} of the frames. "
        "Clips: covered + uncovered.",
        "## By noise, jitter of the landmarks and head",
        by_level(found),
        "## By motion, all levels",
        by_motion(found, list(rules)[:3]),
        "## The network with random weights beside the demo's",
        networks(options.work, options.split),
    ]
    if options.tune:
        parts += ["## Constants of `steps`, on the split for tuning", tuned(options.work)]
    text = "\n\n".join(parts) + "\n"
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.with_suffix(".md").write_text(text)
    rows = [{**vars(one), "cell": vars(one.cell)} for one in found]
    options.results.with_suffix(".json").write_text(json.dumps(rows) + "\n")
    print(text)


if __name__ == "__main__":
    main()
