"""Whether looks mean the same place for everybody: planted covers over 100 posed clips of 20 people.

python benchmarks/looks.py [--people 20] [--noise 8] [--seed 1] [--work DIR]

Every person holds one Action Unit a clip, head and gaze drifting. In the middle third of a clip the left or the right
half of the face is covered, or nothing is, so that the evidence for the unit must move: three true looks a unit. The
job of a user runs over all clips; the looks that it finds are compared with the covers frame by frame, over people.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ground_truth import HELD, encode, rendered, write_truth

from fer_batch.facs import au_name

N_FRAMES = 36
COVERED = slice(N_FRAMES // 3, 2 * N_FRAMES // 3)
COVERS = ("left", "right", "none")
CLIPS_PER_PERSON = 5


def plans(n_people: int, seed: int) -> Iterator[tuple[str, Any]]:
    """Cover and plan of every clip: who holds what, with which half covered."""
    from fer_batch.posed.face import POSED_AUS
    from fer_batch.posed.plans import ClipPlan, head_motion, with_implied

    for person, number in itertools.product(range(n_people), range(CLIPS_PER_PERSON)):
        who, au = 1000 * seed + person, HELD[(person + number) % len(HELD)]
        cover = COVERS[(person * CLIPS_PER_PERSON + number) % len(COVERS)]
        rng = np.random.default_rng([seed, person, number])
        shown = with_implied({au: float(rng.uniform(3.8, 5.0))})
        row = np.array([shown.get(posed, 0.0) for posed in POSED_AUS])
        name = f"P{who:04d}/{number}_{au_name(au)}_{cover}"
        poses = head_motion(N_FRAMES, rng)
        yield cover, ClipPlan(who, name, "", np.repeat(row[None], N_FRAMES, 0), poses, int(rng.integers(2**31)))


def covered(image: NDArray[np.uint8], landmarks: NDArray[np.float64], side: str) -> NDArray[np.uint8]:
    """One half of the face in grey, as the viewer sees it; the bridge of the nose parts it."""
    image, middle = image.copy(), round(landmarks[27:31, 0].mean())
    image[:, slice(None, middle) if side == "left" else slice(middle, None)] = 128
    return image


def write_world(root: Path, n_people: int, noise: float, seed: int) -> None:
    """All clips with their annotations and landmarks; what is there already stays."""
    from fer_batch.posed.clips import with_noise

    for cover, plan in plans(n_people, seed):
        path = root / f"{plan.name}.mp4"
        if path.with_suffix(".landmarks.csv").exists():
            continue
        frames, landmarks = rendered(plan)
        if cover != "none":
            pairs = zip(frames[COVERED], landmarks[COVERED], strict=True)
            frames[COVERED] = [covered(*pair, cover) for pair in pairs]
        rng = np.random.default_rng([plan.noise_seed, int(noise)])
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, [with_noise(frame, noise, rng) if noise else frame for frame in frames])
        write_truth(path, plan.intensities, landmarks)


def run_job(clips: Path, output: Path) -> Any:
    """The real job over all clips; its output as SQL."""
    from fer_batch.config import build
    from fer_batch.output.query import connect
    from fer_batch.pipeline.run import run
    from fer_batch.storage.store import Store

    job = {
        "name": "looks",
        "source": {"format": "videos", "uri": str(clips)},
        "output": str(output),
        "model": {"checkpoint": "demo"},
        "faces": {"detector": "dataset", "store": "none"},
        "phases": ["explain", "prototypes"],
    }
    outcome = run(build(job, "looks"))
    if outcome.exit_code:
        raise SystemExit(f"{outcome.failed} clips failed: {outcome.failures[:3]}")
    return connect(Store(str(output)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--noise", type=float, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="folder for clips and outputs; a temporary one where not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        write_world(work / "clips", options.people, options.noise, options.seed)
        run_job(work / "clips", work / "out")


if __name__ == "__main__":
    main()
