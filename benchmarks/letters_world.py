"""Clips whose letters are known: one Action Unit held, one half of the face grey for a while, the head moving.

`python benchmarks/letters_world.py SPLIT --work DIR` renders, covers, encodes (H.264), decodes, cuts and explains the
clips of a split, as the pipeline does, and keeps the maps of the held unit in DIR; done parts are not made again.
`letters.py` clusters them. The two splits share no person, no seed and no length of motion.

A clip shows one, two or three ways of looking: as filmed for 32 frames, and with the left or right half of the face
covered for 6, 11 or 16 more. What was covered is the true letter.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

FRAME, CROP = 320, 112
HELD = (4, 5, 15, 23)  # units that the demo network still sees in half a face
MOTIONS = ("still", "drifting", "translating", "rotating", "scaling", "nodding")
LEFT, RIGHT = 1, 2  # which half is covered


@dataclass(frozen=True)
class Split:
    """Who and how of a half of the benchmark."""

    people: tuple[int, ...]
    seed: int
    motions: tuple[str, ...]
    swing: tuple[float, float]  # of a motion, share of its full range
    period: tuple[float, float]  # seconds


SPLITS = {
    "tune": Split((10, 11, 12, 13), 1, ("still", "drifting", "rotating"), (0.4, 0.8), (2.0, 4.0)),
    "report": Split((40, 41, 42, 43), 2, MOTIONS, (0.5, 1.0), (1.5, 5.0)),
}


@dataclass(frozen=True)
class Cell:
    """Clips that share a person, a unit, a motion, the camera's noise and how much landmarks jitter."""

    split: str
    motion: str
    noise: float  # grey values
    jitter: float  # % of the interocular distance
    pair: int  # person and unit
    network: str = "demo"

    @property
    def name(self) -> str:
        """Of its file."""
        return (
            f"{self.split}_{self.network}_{self.motion}_noise{self.noise:02.0f}_jitter{self.jitter:.0f}_{self.pair}.npz"
        )


def cells(split: str) -> list[Cell]:
    """All cells of a split, those that matter most first."""
    of = SPLITS[split]

    def each(pairs: tuple[int, ...], noise: tuple[float, ...], jitter: float = 0) -> list[Cell]:
        return [Cell(split, m, n, jitter, p) for p in pairs for n in noise for m in of.motions]

    found = each((0, 1), (8, 0, 16)) + each((0, 1), (8, 16, 0), 2) + each((2, 3), (8, 0))
    found += [Cell(split, m, n, 0, p, "random") for n in (8, 0) for p in (0, 1) for m in of.motions[:2]]
    return found + each((0, 1), (32,)) + (each((0,), (8,), 3) + each((0,), (8,), 1) if split == "report" else [])


def scenarios(pair: int) -> tuple[tuple[int, int], ...]:
    """Ways of looking and frames of each cover of the covered clips; neighbouring pairs share out all of them."""
    return ((2, 6), (2, 16), (3, 11)) if pair % 2 else ((2, 11), (3, 6), (3, 16))


def covers(pair: int) -> list[tuple[str, NDArray[np.int64]]]:
    """Name and cover of each frame of the clips of a cell: 0 none, 1 left, 2 right."""
    found = [("1x48", np.zeros(48, np.int64))]
    for ways, d in scenarios(pair):
        lengths = ((16, 0), (d, LEFT), (16, 0)) if ways == 2 else ((11, 0), (d, LEFT), (10, 0), (d, RIGHT), (11, 0))
        found.append((f"{ways}x{d}", np.concatenate([np.full(n, shown) for n, shown in lengths])))
    return found


def motion(name: str, n_frames: int, of: Split, rng: np.random.Generator) -> Any:
    """Poses of a head that moves in one manner about where it rests."""
    from fer_batch.posed.plans import head_motion

    drifting = head_motion(n_frames, rng)
    if name == "drifting":
        return drifting
    rest = drifting[0]
    t = np.arange(n_frames) / 25.0

    def sweep(reach: float) -> NDArray[np.float64]:
        swing = reach * rng.uniform(*of.swing)
        return swing * np.sin(2 * np.pi * (t / rng.uniform(*of.period) + rng.random()))

    if name == "still":
        return (rest,) * n_frames
    moved = {
        "translating": {"dx": 20.0, "dy": 12.0},
        "rotating": {"roll": 9.0},
        "scaling": {"zoom": 0.1},
        "nodding": {"pitch": 10.0, "dy": 6.0},
    }[name]
    paths = {key: getattr(rest, key) + sweep(reach) for key, reach in moved.items()}
    return tuple(replace(rest, **{key: float(path[i]) for key, path in paths.items()}) for i in range(n_frames))


def clips(cell: Cell) -> Iterator[tuple[str, NDArray[np.int64], list[NDArray[np.uint8]], NDArray[np.float64]]]:
    """Name, covers, decoded frames and true landmarks of the clips of a cell."""
    from fer_batch.facs import au_name
    from fer_batch.posed.clips import clip_frames, with_noise
    from fer_batch.posed.face import POSED_AUS
    from fer_batch.posed.plans import ClipPlan, with_implied

    of, au = SPLITS[cell.split], HELD[cell.pair % len(HELD)]
    who = of.people[cell.pair]
    seed = [of.seed, who, au, MOTIONS.index(cell.motion)]
    longest = max(len(shown) for _, shown in covers(cell.pair))
    shown_units = with_implied({au: 4.5})
    row = np.array([shown_units.get(posed, 0.0) for posed in POSED_AUS])
    poses = motion(cell.motion, longest, of, np.random.default_rng(seed))
    plan = ClipPlan(who, au_name(au), "", np.repeat(row[None], longest, axis=0), poses, 1000 * au + who)
    filmed, landmarks = zip(*clip_frames(plan, FRAME), strict=True)
    rng = np.random.default_rng([*seed, int(cell.noise)])
    for name, shown in covers(cell.pair):
        frames = [covered(image, points, side) for image, points, side in zip(filmed, landmarks, shown, strict=False)]
        if cell.noise:
            frames = [with_noise(frame, cell.noise, rng) for frame in frames]
        yield name, shown, filmed_again(frames), np.array(landmarks[: len(shown)])


def covered(image: NDArray[np.uint8], landmarks: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """The picture with everything left or right of the bridge of the nose in grey."""
    if not side:
        return image
    image, middle = image.copy(), round(landmarks[27:31, 0].mean())
    half = (slice(None), slice(None, middle) if side == LEFT else slice(middle, None))
    image[half] = 128
    return image


def filmed_again(frames: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """The frames through H.264, of so high a quality that noise is not smoothed away."""
    import io

    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "12", "preset": "veryfast", "bf": "0"}
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def explained(cell: Cell, path: Path) -> None:
    """Make the maps of a cell: those of the held unit in every frame, whether it is found active, and the landmarks."""
    import torch

    from fer_batch import explain
    from fer_batch.facs import au_name
    from fer_batch.media.align import apply_affine, crop, crop_matrix, face_box
    from fer_batch.models.preprocess import preprocess

    torch.set_num_threads(1)
    model, resolved = network(cell.network)
    output = resolved.targets.index(au_name(HELD[cell.pair % len(HELD)]))
    explainer = explain.method("preset_a_flat")
    rng = np.random.default_rng([SPLITS[cell.split].seed, cell.pair, int(10 * cell.jitter), 77])
    found: dict[str, NDArray[Any]] = {}
    for name, shown, frames, landmarks in clips(cell):
        iod = np.linalg.norm(landmarks[:, 36:42].mean(1) - landmarks[:, 42:48].mean(1), axis=1)
        jittered = landmarks + rng.standard_normal(landmarks.shape) * (cell.jitter / 100 * iod)[:, None, None]
        matrices = [crop_matrix(face_box(points), CROP) for points in jittered]
        crops = np.stack([crop(image, matrix, CROP) for image, matrix in zip(frames, matrices, strict=True)])
        points = np.stack([apply_affine(m, p) for m, p in zip(matrices, jittered, strict=True)])
        images = preprocess(crops, resolved.preprocessing)
        relevance = explainer(model, images, np.stack([np.arange(len(images)), np.full(len(images), output)], 1))
        scale = np.abs(relevance.values).max(axis=(1, 2), keepdims=True)
        found[f"{name}/maps"] = (relevance.values / np.maximum(scale, 1e-30)).astype(np.float16)
        found[f"{name}/points"] = points.astype(np.float32)
        found[f"{name}/truth"] = shown
        found[f"{name}/active"] = relevance.score > 0
    temporary = path.with_suffix(".part.npz")
    np.savez(temporary, **found)
    temporary.rename(path)


def network(name: str) -> tuple[Any, Any]:
    """The demo network, or one of its shape with random weights."""
    import torch

    from fer_batch.models.backbone import build
    from fer_batch.models.card import ModelSpec, resolve
    from fer_batch.models.checkpoint import load

    resolved = resolve(ModelSpec(checkpoint="demo"))
    if name == "demo":
        return load(resolved), resolved
    torch.manual_seed(0)
    return build(str(resolved.architecture), len(resolved.targets), resolved.options).eval(), resolved


def _made(task: tuple[Cell, Path]) -> str:
    cell, work = task
    if not (work / cell.name).exists():
        explained(cell, work / cell.name)
    return cell.name


def make(split: str, work: Path, processes: int = 1) -> list[Cell]:
    """Make what is missing of a split; its cells."""
    work.mkdir(parents=True, exist_ok=True)
    wanted = cells(split)
    tasks = [(cell, work) for cell in wanted]
    if processes == 1:
        names = map(_made, tasks)
        for i, name in enumerate(names):
            print(f"{i + 1}/{len(tasks)} {name}", flush=True)
    else:
        with ProcessPoolExecutor(processes) as pool:
            for i, name in enumerate(pool.map(_made, tasks)):
                print(f"{i + 1}/{len(tasks)} {name}", flush=True)
    return wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", choices=tuple(SPLITS))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    make(options.split, options.work, options.processes)


if __name__ == "__main__":
    main()
