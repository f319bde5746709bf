"""Whether looks mean the same place for everybody: planted covers over 100 posed clips of 20 people.

python benchmarks/looks.py [--people 20] [--noise 8] [--seed 1] [--work DIR]

Every person holds one Action Unit a clip, head and gaze drifting. In the middle third of a clip the left or the right
half of the face is grey, or nothing is, so that the evidence for the unit must move: three true looks a unit. Every
other clip begins with the covered frames, so that A is not the same for all. The maps
are clustered within each clip as a run does it, the means of these clusters over all clips of a unit, and the look of
every frame is compared with what was covered. Beside it: the same with the letters known, with letters alone (what SQL
over letters compares), and with each clip's clusters dealt out among the looks by chance.

Options of looks were chosen on --seed 7; docs/looks.md reports others.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from letters_world import CROP, HELD, LEFT, RIGHT, covered, filmed_again, network

from fer_batch.facs import au_name

N_FRAMES = 30
COVERED = slice(N_FRAMES // 3, 2 * N_FRAMES // 3)
CLIPS_PER_PERSON = 5
KEPT = ("frames", "truth", "maps", "landmarks")


@dataclass(frozen=True)
class HeldClip:
    """One clip: who holds what, what is covered when, and the maps of the frames in which the unit is found."""

    person: int
    target: str
    frames: NDArray[np.int64]
    truth: NDArray[np.int64]
    maps: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def jittered(self, percent: float) -> HeldClip:
        """The same with landmarks that jitter by a share of the interocular distance where maps are warped."""
        points = self.landmarks
        iod = np.linalg.norm(points[:, 36:42].mean(1) - points[:, 42:48].mean(1), axis=1)
        noise = np.random.default_rng(self.person).standard_normal(points.shape) * (percent / 100 * iod)[:, None, None]
        return HeldClip(
            self.person, self.target, self.frames, self.truth, self.maps, (points + noise).astype(np.float32)
        )

    def from_frame(self, first: int) -> HeldClip:
        """The same clip without its first frames."""
        own = self.frames >= first
        parts = (self.frames[own], self.truth[own], self.maps[own], self.landmarks[own])
        return HeldClip(self.person, self.target, *parts)


def plans(n_people: int, seed: int) -> Iterator[tuple[int, int, Any]]:
    """Unit, cover and plan of every clip."""
    from fer_batch.posed.face import POSED_AUS
    from fer_batch.posed.plans import ClipPlan, head_motion, with_implied

    for person, number in itertools.product(range(n_people), range(CLIPS_PER_PERSON)):
        au, cover = HELD[(person + number) % len(HELD)], (LEFT, RIGHT, 0)[(person * CLIPS_PER_PERSON + number) % 3]
        rng = np.random.default_rng([seed, person, number])
        shown = with_implied({au: float(rng.uniform(3.8, 5.0))})
        row = np.array([shown.get(posed, 0.0) for posed in POSED_AUS])
        curves, poses = np.repeat(row[None], N_FRAMES, 0), head_motion(N_FRAMES, rng)
        yield au, cover, ClipPlan(1000 * seed + person, au_name(au), "", curves, poses, int(rng.integers(2**31)))


def explained(au: int, cover: int, plan: Any, noise: float, net: tuple[Any, Any]) -> HeldClip:
    """Render, cover, encode, decode, cut and explain one clip, as the pipeline does."""
    from fer_batch import explain
    from fer_batch.media.align import apply_affine, crop, crop_matrix, face_box
    from fer_batch.models.preprocess import preprocess
    from fer_batch.posed.clips import clip_frames, with_noise

    model, resolved = net
    truth = np.zeros(N_FRAMES, np.int64)
    truth[COVERED] = cover
    rng = np.random.default_rng([plan.noise_seed, int(noise)])
    filmed, landmarks = zip(*clip_frames(plan, 320), strict=True)
    frames = [covered(*one) for one in zip(filmed, landmarks, truth, strict=True)]
    frames = filmed_again([with_noise(frame, noise, rng) if noise else frame for frame in frames])
    matrices = [crop_matrix(face_box(points), CROP) for points in landmarks]
    crops = np.stack([crop(image, matrix, CROP) for image, matrix in zip(frames, matrices, strict=True)])
    points = np.stack([apply_affine(m, p) for m, p in zip(matrices, landmarks, strict=True)]).astype(np.float32)
    pairs = np.stack([np.arange(N_FRAMES), np.full(N_FRAMES, resolved.targets.index(au_name(au)))], 1)
    found = explain.method("preset_a_flat")(model, preprocess(crops, resolved.preprocessing), pairs)
    seen = np.asarray(found.score) > 0
    maps = np.asarray(found.values, np.float32)[seen]
    return HeldClip(plan.subject, au_name(au), np.flatnonzero(seen), truth[seen], maps, points[seen])


def world(n_people: int, noise: float, seed: int, work: Path | None) -> list[HeldClip]:
    """All clips; with a folder they are kept there, and a second call goes on where the first was stopped."""
    import torch

    torch.set_num_threads(1)
    net, clips = network("demo"), []
    for number, (au, cover, plan) in enumerate(plans(n_people, seed)):
        path = work and work / f"{seed}_{noise:g}_{number:03d}.npz"
        if path and path.exists():
            kept = np.load(path)
            clip = HeldClip(plan.subject, au_name(au), *(kept[name] for name in KEPT))
        else:
            clip = explained(au, cover, plan, noise, net)
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez(path, **{name: getattr(clip, name) for name in KEPT})
            print(f"{number + 1}: {clip.target} of person {clip.person}, {len(clip.maps)} frames", flush=True)
        clip = clip.from_frame(COVERED.start if number // len(HELD) % 2 else 0)
        if len(clip.maps):
            clips.append(clip)
    return clips


def on_faces(clip: HeldClip) -> NDArray[np.float32]:
    from fer_batch.regions import face_maps

    return face_maps(clip.maps, clip.landmarks, (CROP, CROP))


def clusters(clip: HeldClip, known: bool) -> NDArray[np.int64]:
    """Letters of a clip, as numbers: as a run finds them, or what is covered."""
    from fer_batch.config.run import SprayConfig
    from fer_batch.spray import cluster_sequence

    if known:
        return np.unique(clip.truth, return_inverse=True)[1]
    options = SprayConfig().model_dump(exclude={"align", "max_frames"})
    return cluster_sequence(on_faces(clip), clip.frames, **options).labels


def figures(clips: list[HeldClip], known: bool, rng: np.random.Generator) -> dict[str, Any]:
    """Adjusted Rand indices of one unit."""
    from sklearn.metrics import adjusted_rand_score

    from fer_batch.pipeline.analysis.standard_means import standard_means
    from fer_batch.spray.looks import Looks, directions, open_looks

    letters = [clusters(clip, known) for clip in clips]
    means = [standard_means(on_faces(c), c.maps, own) for c, own in zip(clips, letters, strict=True)]
    rows, _ = directions(np.concatenate(means))
    people = [str(clip.person) for clip, own in zip(clips, means, strict=True) for _ in own]
    found = open_looks(rows, people)
    look, _ = Looks.none().and_then(found.centres, found.radius).join(rows)
    starts = np.cumsum([0, *map(len, means)])[:-1]
    by_frame = np.concatenate([look[start + own] for start, own in zip(starts, letters, strict=True)])
    dealt = rng.permutation(look)
    by_chance = np.concatenate([dealt[start + own] for start, own in zip(starts, letters, strict=True)])
    truth = np.concatenate([clip.truth for clip in clips])
    return {
        "clips": len(clips),
        "people": len(set(people)),
        "clusters": len(rows),
        "looks": len(found.radius),
        "rand": adjusted_rand_score(truth, by_frame),
        "letters_alone": np.nan if known else adjusted_rand_score(truth, np.concatenate(letters)),
        "by_chance": adjusted_rand_score(truth, by_chance),
        "stability": float(np.nanmin(found.stability)),
    }


def shown(value: object) -> str:
    if isinstance(value, float):
        return "-" if np.isnan(value) else f"{value:.3f}"
    return str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--noise", type=float, default=8)
    parser.add_argument("--jitter", type=float, default=0, help="of landmarks, %% of the interocular distance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="folder that keeps the maps of clips")
    parser.add_argument("--results", type=Path, help="JSON file of the figures")
    options = parser.parse_args()
    clips = world(options.people, options.noise, options.seed, options.work)
    clips = [clip.jittered(options.jitter) for clip in clips] if options.jitter else clips
    rows = []
    for known, au in itertools.product((False, True), HELD):
        own = [clip for clip in clips if clip.target == au_name(au)]
        rng = np.random.default_rng([options.seed, au])
        rows.append({"letters": "known" if known else "found", "target": au_name(au), **figures(own, known, rng)})
    print("| letters | " + " | ".join(name.replace("_", " ") for name in list(rows[0])[1:]) + " |")
    print("|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(shown(value) for value in row.values()) + " |")
    if options.results:
        options.results.write_text(json.dumps({"options": vars(options), "rows": rows}, default=str, indent=1) + "\n")


if __name__ == "__main__":
    main()
