"""How true episodes are: posed clips, whose Action Units are known in every frame, with the demo network.

python benchmarks/episodes.py [--work DIR] [--splits tuned held_out documented] [--noise 0 8 16] [--sweep]

Clips are drawn, encoded, decoded, cropped and predicted here, without explanations: episodes need none. With --work a
second call goes on where the first was stopped; --sweep compares options on the clips that the defaults were chosen on.
Writes RESULTS.md, RESULTS.json and a picture. See docs/episodes.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fer_batch.evaluate.stage_sequences import edit_distance
from fer_batch.facs import LEVEL_B
from fer_batch.prototypes.episodes import Episode, EpisodeRule, find_episodes
from fer_batch.prototypes.recording import Recording
from fer_batch.prototypes.stages import LabelSet, label_sets, without_short_runs

RULE = EpisodeRule()
TRUTH = replace(RULE, enter=0.0, leave=0.0, smooth=1, min_run=1, min_stage=1)
SWEEP = {
    "enter": (0.0, 0.5, 1.0, 1.5),
    "leave": (-1.0, -0.5, 0.0, 0.5, 1.0),
    "smooth": (1, 3, 5, 7, 9),
    "min_run": (1, 2, 3, 4, 6, 8),
    "min_stage": (1, 2, 3),
}


@dataclass(frozen=True)
class Split:
    """Clips of one seed: number, seed, first identity. The network was trained on identities from 1000 on."""

    n: int
    seed: int
    first_identity: int


SPLITS = {"tuned": Split(36, 11, 400), "held_out": Split(24, 23, 700), "documented": Split(12, 0, 0)}


@dataclass(frozen=True)
class Clip:
    """Logits and true intensities of one clip, shape (T, A)."""

    targets: tuple[str, ...]
    logits: NDArray[np.float64]
    intensity: NDArray[np.float64]


# Clips


def predicted(split: Split, noise: Sequence[float], work: Path) -> None:
    """Draw the clips of a split that are not there yet, and keep what the network says of them."""
    import av
    import torch
    from ground_truth import encode, rendered

    from fer_batch.media.align import crop, crop_matrix, face_box
    from fer_batch.models.card import resolve
    from fer_batch.models.checkpoint import load
    from fer_batch.models.preprocess import preprocess
    from fer_batch.models.spec import ModelSpec
    from fer_batch.posed.clips import with_noise
    from fer_batch.posed.plans import TARGETS, plan_clips

    torch.set_num_threads(1)
    resolved = resolve(ModelSpec(checkpoint="demo"))
    model, size = load(resolved).eval(), resolved.preprocessing.size
    columns = [TARGETS.index(target) for target in resolved.targets]
    work.mkdir(parents=True, exist_ok=True)
    for number, plan in enumerate(plan_clips(split.n, seed=split.seed, first_identity=split.first_identity)):
        missing = [level for level in noise if not (work / f"{number:03d}-{level:g}.npz").exists()]
        if not missing:
            continue
        frames, landmarks = rendered(plan)
        matrices = [crop_matrix(face_box(points.astype(np.float32)), size) for points in landmarks]
        for level in missing:
            rng = np.random.default_rng([plan.noise_seed, int(level)])
            path = work / "clip.mp4"
            encode(path, [with_noise(frame, level, rng) if level else frame for frame in frames])
            with av.open(str(path)) as container:
                seen = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            crops = np.stack([crop(image, matrix, size) for image, matrix in zip(seen, matrices, strict=True)])
            with torch.no_grad():
                logits = model(preprocess(crops, resolved.preprocessing)).numpy()
            kept = {"logits": logits, "intensity": plan.intensities[:, columns], "targets": np.array(resolved.targets)}
            np.savez(work / f"{number:03d}-{level:g}.npz", **kept)
        print(plan.name, flush=True)


def clips_of(work: Path, level: float) -> list[Clip]:
    """What was kept of the clips at one level of noise."""
    found = []
    for path in sorted(work.glob(f"*-{level:g}.npz")):
        data = np.load(path)
        found.append(Clip(tuple(data["targets"].tolist()), data["logits"].astype(float), data["intensity"]))
    return found


# What is made of them


def recording(clip: Clip, evidence: NDArray[np.floating]) -> Recording:
    n = len(evidence)
    letters = {target: [""] * n for target in clip.targets}
    frames = np.arange(n)
    return Recording(frames, np.ones(n, bool), frames / 25, clip.targets, np.asarray(evidence, float), letters)


def true_evidence(clip: Clip) -> NDArray[np.float64]:
    return np.where(clip.intensity >= LEVEL_B, 5.0, -5.0)


def plain(clip: Clip, active: NDArray[np.bool_], min_run: int = 1) -> list[LabelSet]:
    """Stages of every frame."""
    columns = {t: ["" if on else None for on in own] for t, own in zip(clip.targets, active.T, strict=True)}
    sets = without_short_runs(label_sets(len(active), columns), min_run)
    return [labels for labels, _ in itertools.groupby(sets)]


def with_rests(episodes: Sequence[Episode], n_frames: int) -> list[LabelSet]:
    """Stages of the episodes of a whole clip, with the rests between, before and after."""
    found: list[LabelSet] = []
    last = -1
    for episode in episodes:
        if episode.first_frame > last + 1:
            found.append(())
        found += episode.prototype.label_sets
        last = episode.last_frame
    return [*found, ()] if last < n_frames - 1 else found


def without_rests(stages: list[LabelSet]) -> list[LabelSet]:
    """From the first stage with activity to the last: what an episode is of a clip that rests at both ends."""
    shown = [k for k, labels in enumerate(stages) if labels]
    return stages[shown[0] : shown[-1] + 1] if shown else []


def distance(one: Sequence[LabelSet], other: Sequence[LabelSet]) -> float:
    return edit_distance(one, other) / max(len(one), len(other), 1)


def matched(found: Sequence[Episode], truth: Sequence[Episode]) -> list[float]:
    """Edit distance of every true episode to the one that overlaps most, 1 where none does; 1 for each left over."""
    left = list(found)
    distances = []
    for true in truth:
        shared = [min(e.last_frame, true.last_frame) - max(e.first_frame, true.first_frame) + 1 for e in left]
        if not shared or max(shared) <= 0:
            distances.append(1.0)
            continue
        own = left.pop(int(np.argmax(shared)))
        distances.append(distance(own.prototype.label_sets, true.prototype.label_sets))
    return distances + [1.0] * len(left)


def late_peaks(found: Sequence[Episode], clip: Clip) -> list[float]:
    """Of every target that is there, its true intensity in the frame of its peak over the greatest in the episode."""
    place = {target: a for a, target in enumerate(clip.targets)}
    shares = []
    for episode in found:
        for peak in episode.peaks:
            own = clip.intensity[episode.first_frame : episode.last_frame + 1, place[peak.target]]
            if own.max() >= LEVEL_B:
                shares.append(float(clip.intensity[peak.frame, place[peak.target]] / own.max()))
    return shares


def figures(clips: Sequence[Clip], rule: EpisodeRule = RULE) -> dict[str, float]:
    """Means over clips, over episodes and over peaks."""
    rows: dict[str, list[float]] = {}

    def add(name: str, *values: float) -> None:
        rows.setdefault(name, []).extend(values)

    for clip in clips:
        true = plain(clip, clip.intensity >= LEVEL_B)
        add("plain", distance(plain(clip, clip.logits >= 0), true))
        add("long_runs", distance(plain(clip, clip.logits >= 0, 3), true))
        found = find_episodes(recording(clip, clip.logits), rule)
        truth = find_episodes(recording(clip, true_evidence(clip)), TRUTH)
        own = with_rests(found, len(clip.logits))
        add("episodes", distance(own, true))
        add("same", float(own == true))
        add("one_episode", *matched(found, truth))
        add("plain_active", distance(without_rests(plain(clip, clip.logits >= 0)), without_rests(true)))
        add("n_plain", len(plain(clip, clip.logits >= 0)))
        add("n_stages", len(own))
        add("n_true", len(true))
        add("n_episodes", len(found))
        add("n_true_episodes", len(truth))
        add("peak", *late_peaks(found, clip))
    return {name: float(np.mean(values)) for name, values in rows.items()} | {"n_clips": len(clips)}


def joined(clips: Sequence[Clip], rule: EpisodeRule = RULE) -> dict[str, float]:
    """The clips one after the other as one recording: are its episodes the true ones?"""
    logits, intensity = (np.concatenate([getattr(c, name) for c in clips]) for name in ("logits", "intensity"))
    whole = Clip(clips[0].targets, logits, intensity)
    found = find_episodes(recording(whole, logits), rule)
    truth = find_episodes(recording(whole, true_evidence(whole)), TRUTH)
    return {
        "n_frames": len(logits),
        "n_stages": len(plain(whole, logits >= 0)),
        "n_episodes": len(found),
        "n_true": len(truth),
        "longest": max(len(episode.prototype.stages) for episode in found),
        "one_episode": float(np.mean(matched(found, truth))),
    }


def swept(clips: dict[float, list[Clip]]) -> list[dict[str, Any]]:
    """One option at a time, the others as they are by default."""
    rows = []
    for name, values in SWEEP.items():
        for value in values:
            changed = {name: value}
            if name == "enter":
                changed["leave"] = min(RULE.leave, value)
            if name == "leave":
                changed["enter"] = max(RULE.enter, value)
            rule = replace(RULE, **changed)
            row = {level: figures(own, rule)["episodes"] for level, own in clips.items()}
            rows.append({"option": name, "value": value, "default": value == getattr(RULE, name), **row})
    return rows


# What is written


def table(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> str:
    def cell(value: Any) -> str:
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(row[name]) for name in columns) + " |" for row in rows]
    return "\n".join(lines)


COLUMNS = {
    "split": "clips",
    "noise": "noise",
    "n_clips": "number",
    "plain": "plain",
    "long_runs": "runs of 3 or more",
    "episodes": "episodes and rests",
    "plain_active": "plain, without the rests around",
    "one_episode": "each episode",
    "same": "exactly the true ones",
    "n_plain": "plain stages",
    "n_stages": "of episodes",
    "n_true": "true stages",
    "n_episodes": "episodes",
    "n_true_episodes": "true ones",
    "peak": "intensity at the peak, of the greatest",
}


JOINED = {
    "split": "clips",
    "noise": "noise",
    "n_frames": "frames",
    "n_stages": "plain stages",
    "n_episodes": "episodes",
    "n_true": "true",
    "longest": "stages of the longest",
    "one_episode": "each episode",
}


def markdown(results: dict[str, Any]) -> str:
    parts = [
        "# Episodes against the truth",
        "`python benchmarks/episodes.py`; docs/episodes.md says what it means. Edit distances are shares of stages.",
        table(results["figures"], COLUMNS),
        "## All clips of a row as one recording",
        table(results["joined"], JOINED),
    ]
    if results["sweep"]:
        noise = {key: f"noise {key}" for key in results["sweep"][0] if key not in ("option", "value", "default")}
        parts += ["## One option at a time, clips that the defaults were chosen on: episodes and rests"]
        parts += [table(results["sweep"], {"option": "option", "value": "value", "default": "default", **noise})]
    return "\n\n".join(parts) + "\n"


def picture(clips: dict[float, list[Clip]], results: dict[str, Any], path: Path) -> None:
    """Edit distance over noise, and one clip: what is true, every frame, and its episode."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), dpi=110, width_ratios=(1, 2.2), layout="constrained")
    for split, style in zip(dict.fromkeys(row["split"] for row in results["figures"]), ("-", "--", ":"), strict=False):
        rows = [row for row in results["figures"] if row["split"] == split]
        for name, colour, text in (("plain", "#57606a", "every frame"), ("episodes", "#0072b2", "episodes")):
            values = [row[name] for row in rows]
            axes[0].plot(
                [row["noise"] for row in rows], values, style, color=colour, label=f"{text}, {split.replace('_', ' ')}"
            )
    axes[0].axhline(0.15, color="#d55e00", linewidth=1)
    axes[0].set(xlabel="camera noise, grey values", title="Edit distance to the true stages (share)", ylim=(0, None))
    axes[0].legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    level = max(clips)
    several = [one for one in clips[level] if len(plain(one, one.intensity >= LEVEL_B)) > 5]
    clip = max(several or clips[level], key=lambda one: len(plain(one, one.logits >= 0)))
    _example(axes[1], clip)
    axes[1].set_title(f"One clip at noise {level:g}", loc="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _example(axis: Any, clip: Clip) -> None:
    episodes = find_episodes(recording(clip, clip.logits), RULE)
    steady = np.zeros(clip.logits.shape, bool)
    for episode in episodes:
        for stage in episode.prototype.stages:
            for target, _ in stage.labels:
                steady[stage.first_frame : stage.last_frame + 1, clip.targets.index(target)] = True
    lanes: list[tuple[str, NDArray[np.bool_]]] = [
        ("every frame", clip.logits >= 0),
        ("episode", steady),
        ("true", clip.intensity >= LEVEL_B),
    ]
    shown = np.flatnonzero(np.any([active.any(0) for _, active in lanes], axis=0))
    for row, a in enumerate(shown.tolist()):
        for k, ((_, active), colour) in enumerate(zip(lanes, ("#57606a", "#0072b2", "#1f2328"), strict=True)):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], active[:, a].astype(int), [0]])))
            spans = [(start, stop - start) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
            axis.broken_barh(spans, (row + 0.06 + 0.3 * k, 0.26), facecolor=colour)
    axis.set(yticks=np.arange(len(shown)) + 0.5, yticklabels=[clip.targets[a] for a in shown], xlabel="frame")
    axis.set(xlim=(0, len(clip.logits)), ylim=(len(shown), 0))
    axis.spines[["top", "right"]].set_visible(False)
    words = "in each row from top to bottom: every frame (grey), its episode (blue), what is true (black)"
    axis.text(0, -0.19, words, transform=axis.transAxes, fontsize=8)


def main() -> None:
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", nargs="+", choices=list(SPLITS), default=list(SPLITS))
    parser.add_argument("--noise", type=float, nargs="+", default=[0, 8, 16])
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--work", type=Path, help="folder for what the network says; a temporary one where not given")
    parser.add_argument("--results", type=Path, default=here / "benchmarks" / "results" / "episodes")
    parser.add_argument("--picture", type=Path, default=here / "docs" / "pictures" / "episodes.png")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        results: dict[str, Any] = {"figures": [], "joined": [], "sweep": []}
        clips: dict[float, list[Clip]] = {}
        for name in options.splits:
            predicted(SPLITS[name], options.noise, work / name)
            clips = {level: clips_of(work / name, level) for level in options.noise}
            results["figures"] += [{"split": name, "noise": level, **figures(own)} for level, own in clips.items()]
            results["joined"] += [{"split": name, "noise": level, **joined(own)} for level, own in clips.items()]
            if name == "tuned" and options.sweep:
                results["sweep"] = swept(clips)
        text = markdown(results)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
        options.results.with_suffix(".md").write_text(text)
        picture(clips, results, options.picture)
    print(text)


if __name__ == "__main__":
    main()
