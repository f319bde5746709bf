"""How true temporal prototypes are: posed clips, whose Action Units are known in every frame, through the pipeline.

python benchmarks/ground_truth.py [--clips 12] [--noise 0 8 16 32 64] [--work DIR]

Temporal prototypes: clips of the demo under camera noise, predicted stages against annotated ones. Letters: clips that
hold one Action Unit all the time while the middle third has one half of the face covered, so that the evidence for it
must move, beside the same clips uncovered, each with a still and with a drifting head; then the same maps clustered
in the crop by the rules of the graph with other options. Last the synthetic maps of golden example G-22 under rising
noise. Letters of more motions, covers and rules: `letters.py`. Writes RESULTS.md, RESULTS.json
and a picture; with --work a second call goes on where the first was stopped. See docs/ground_truth.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.stage_measures import boundary_error, stage_f1
from fer_batch.evaluate import f1
from fer_batch.evaluate.stage_sequences import edit_distance
from fer_batch.facs import LEVEL_B, au_name
from fer_batch.prototypes import find_stages, label_sets, prototype_text
from fer_batch.prototypes.stages import letter, without_short_runs
from fer_batch.spray import cluster, cluster_sequence

MIN_RUN = 3  # frames of a stage, for the figures of smoothed temporal prototypes
HELD, HOLDERS, HOLD_FRAMES = (4, 5, 15, 23), 2, 48  # units that the demo model still sees in half a face
HEADS = ("still", "drifting")
COVER = slice(HOLD_FRAMES // 3, 2 * HOLD_FRAMES // 3)
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "paper": [{}],
    "n_neighbors": [{"n_neighbors": k} for k in (2, 4, 5, 7, 10)],
    "tau": [{"tau": tau} for tau in (0.02, 0.05, 0.2, 0.3)],
    "rule": [{"rule": "near_zero"}, {"rule": "eigengap"}],
    "symmetry": [{"symmetry": "max"}],
    "normalise": [{"normalise": "absolute"}, {"normalise": "signed"}],
    "downsize": [{"downsize": side} for side in (56, 28, 14, 7)],
    "both": [{"n_neighbors": 7, "tau": 0.05}, {"n_neighbors": 10, "tau": 0.05}, {"n_neighbors": 10, "tau": 0.02}],
}
SYNTHETIC_NOISE = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)  # of the peak; G-22 has the first
TOY = (
    "(NONE) -> (AU02_A) -> (AU01_A, AU02_A, AU04_A) -> (AU01_A, AU02_B, AU04_A) -> (AU01_A, AU02_B) -> "
    "(AU01_A, AU02_A) -> (AU02_A) -> (NONE)"
)


# Clips


def write_world(root: Path, n_clips: int, noise: Sequence[float]) -> None:
    """Clips of both experiments at every noise level, with their annotations and landmarks."""
    from fer_batch.posed.clips import with_noise
    from fer_batch.posed.plans import plan_clips

    jobs = [(f"prototypes/{plan.name}_{plan.subject}", plan, False) for plan in plan_clips(n_clips)]
    for head, plan in itertools.product(HEADS, held_plans()):
        if head == "still":
            plan = dataclasses.replace(plan, poses=plan.poses[:1] * HOLD_FRAMES)
        jobs += [(f"letters/{head}/{kind}/{plan.name}", plan, kind == "covered") for kind in ("covered", "control")]
    for name, plan, covered in jobs:
        paths = {level: root / f"noise{level:03.0f}" / f"{name}.mp4" for level in noise}
        missing = {level: path for level, path in paths.items() if not path.with_suffix(".landmarks.csv").exists()}
        if not missing:
            continue
        frames, landmarks = rendered(plan)
        if covered:
            frames[COVER] = [half_covered(*pair) for pair in zip(frames[COVER], landmarks[COVER], strict=True)]
        for level, path in missing.items():
            rng = np.random.default_rng([plan.noise_seed, int(level)])
            path.parent.mkdir(parents=True, exist_ok=True)
            encode(path, [with_noise(frame, level, rng) if level else frame for frame in frames])
            write_truth(path, plan.intensities, landmarks)


def held_plans() -> Iterator[Any]:
    """Clips that hold one unit from the first frame to the last, head and gaze drifting."""
    from fer_batch.posed.face import POSED_AUS
    from fer_batch.posed.plans import ClipPlan, head_motion, with_implied

    for au, who in itertools.product(HELD, range(HOLDERS)):
        rng = np.random.default_rng([au, who])
        shown = with_implied({au: 4.5})
        row = np.array([shown.get(posed, 0.0) for posed in POSED_AUS])
        rows = np.repeat(row[None], HOLD_FRAMES, axis=0)
        yield ClipPlan(who, f"{au_name(au)}_{who}", "", rows, head_motion(HOLD_FRAMES, rng), 1000 * au + who)


def rendered(plan: Any) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.float64]]]:
    from threadpoolctl import threadpool_limits

    from fer_batch.posed.clips import clip_frames

    with threadpool_limits(limits=1):
        images, landmarks = zip(*clip_frames(plan), strict=True)
    return list(images), list(landmarks)


def half_covered(image: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Everything left of the bridge of the nose, as the viewer sees it, in grey."""
    image = image.copy()
    image[:, : round(landmarks[27:31, 0].mean())] = 128
    return image


def encode(path: Path, frames: Sequence[NDArray[np.uint8]]) -> None:
    """H.264 of so high a quality that noise is not smoothed away."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "12", "preset": "veryfast", "bf": "0"}
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def write_truth(path: Path, intensities: NDArray[np.float64], landmarks: Sequence[NDArray[np.float64]]) -> None:
    from fer_batch.posed.clips import LANDMARK_COLUMNS
    from fer_batch.posed.plans import TARGETS, occurrence

    lines = ["frame_index,target,intensity,occurrence"]
    for t, row in enumerate(intensities.tolist()):
        for target, value in zip(TARGETS, row, strict=True):
            known = occurrence(value)
            lines.append(f"{t},{target},{value:.3f},{'' if math.isnan(known) else int(known)}")
    path.with_suffix(".annotations.csv").write_text("\n".join(lines) + "\n")
    lines = [",".join(["frame_index", *LANDMARK_COLUMNS])]
    lines += [",".join([str(t), *(f"{v:.2f}" for v in points.T.ravel())]) for t, points in enumerate(landmarks)]
    path.with_suffix(".landmarks.csv").write_text("\n".join(lines) + "\n")


# What the pipeline made of them


def run_pipeline(clips: Path, output: Path) -> Any:
    """The real job over all clips; its output as SQL."""
    from fer_batch.config import build
    from fer_batch.output.query import connect
    from fer_batch.pipeline.run import run
    from fer_batch.storage.store import Store

    job = {
        "name": "ground_truth",
        "source": {"format": "videos", "uri": str(clips)},
        "output": str(output),
        "model": {"checkpoint": "demo"},
        "faces": {"detector": "dataset", "store": "none"},
        "phases": ["explain", "prototypes"],
    }
    outcome = run(build(job, "ground_truth"))
    if outcome.exit_code:
        raise SystemExit(f"{outcome.failed} clips failed: {outcome.failures[:3]}")
    connection, own = connect(Store(str(output))), outcome.partition
    for table in ("detections", "relevance"):  # an output that is used again may hold another model's
        where = f"model = '{own.model}' AND explain = '{own.explain}'"
        connection.execute(f"CREATE VIEW own_{table} AS SELECT * FROM {table} WHERE {where}")
    return connection


class Clip:
    """Predicted and true activity of one clip, shape (T, A), and its letters by target."""

    def __init__(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self.targets = sorted({row[1] for row in rows})
        n = 1 + max(row[0] for row in rows)
        place = {target: a for a, target in enumerate(self.targets)}
        self.active = np.zeros((n, len(place)), bool)
        self.intensity = np.zeros((n, len(place)))
        self.letters: dict[str, list[str | None]] = {target: [None] * n for target in self.targets}
        for frame, target, active, own, intensity in rows:
            self.active[frame, place[target]] = active
            self.intensity[frame, place[target]] = intensity
            if active:
                self.letters[target][frame] = own or ""

    def stages(self, active: NDArray[np.bool_], min_run: int = 1) -> list[Any]:
        """Stages without letters."""
        columns = {t: ["" if on else None for on in column] for t, column in zip(self.targets, active.T, strict=True)}
        return find_stages(np.arange(len(active)), without_short_runs(label_sets(len(active), columns), min_run))


def clips_of(connection: Any, folder: str) -> dict[str, Clip]:
    found = connection.execute(
        "SELECT d.sequence_id, d.frame_index, d.target, d.active, d.cluster, a.intensity FROM own_detections d "
        "JOIN annotations a USING (sequence_id, frame_index, target) WHERE starts_with(d.sequence_id, ?) ORDER BY ALL",
        [folder],
    ).fetchall()
    groups = itertools.groupby(found, key=lambda row: row[0])
    return {name: Clip([row[1:] for row in rows]) for name, rows in groups}


def prototype_figures(clips: dict[str, Clip]) -> dict[str, float]:
    """Means over clips, and over the beginnings and ends of all units of all clips."""
    figures: dict[str, list[float]] = {}
    onsets: list[int] = []
    offsets: list[int] = []
    unseen = n_runs = 0
    prototypes = []
    for clip in clips.values():
        true = clip.intensity >= LEVEL_B
        predicted, truth = clip.stages(clip.active), clip.stages(true)
        missed, false = boundary_error([s.first_frame for s in predicted[1:]], [s.first_frame for s in truth[1:]])
        prototype, true_prototype = [s.labels for s in predicted], [s.labels for s in truth]
        prototypes.append((prototype, true_prototype))
        own: dict[str, float] = {
            "frames_right": float((clip.active == true).all(1).mean()),
            "boundary_missed": missed,
            "boundary_false": false,
            "stage_f1": stage_f1(predicted, truth),
            "edits": edit_distance(prototype, true_prototype) / max(len(prototype), len(true_prototype)),
            "same_prototype": float(prototype == true_prototype),
            "n_stages": len(prototype),
            "n_true_stages": len(true_prototype),
        }
        smooth = clip.stages(clip.active, MIN_RUN)
        prototype = [s.labels for s in smooth]
        own |= {
            "smooth_stage_f1": stage_f1(smooth, truth),
            "smooth_edits": edit_distance(prototype, true_prototype) / max(len(prototype), len(true_prototype)),
            "smooth_n_stages": len(prototype),
        }
        for name, value in own.items():
            figures.setdefault(name, []).append(value)
        for a in range(len(clip.targets)):
            for start, stop in runs(true[:, a]):
                n_runs += 1
                seen = max(runs(clip.active[:, a]), key=lambda r: min(r[1], stop) - max(r[0], start), default=(0, 0))
                if min(seen[1], stop) <= max(seen[0], start):
                    unseen += 1
                    continue
                onsets.append(seen[0] - start)
                offsets.append(seen[1] - stop)
    observed = np.concatenate([np.where(clip.intensity >= LEVEL_B, 1.0, np.nan) for clip in clips.values()])
    absent = np.concatenate([clip.intensity == 0 for clip in clips.values()])
    result = {name: float(np.nanmean(values)) for name, values in figures.items()}
    result["au_f1"] = f1(np.concatenate([c.active for c in clips.values()]), np.where(absent, 0.0, observed)).mean
    for name, errors in (("onset", onsets), ("offset", offsets)):
        result[f"{name}_median"] = float(np.median(errors)) if errors else math.nan
        result[f"{name}_within_3"] = float((np.abs(errors) <= 3).mean()) if errors else math.nan
    result["unseen_runs"] = unseen / max(n_runs, 1)
    others = prototypes[1:] + prototypes[:1]  # the temporal prototype of the next clip, which is what chance would give
    result["edits_of_another"] = float(
        np.mean([edit_distance(s, o[1]) / max(len(s), len(o[1])) for (s, _), o in zip(prototypes, others, strict=True)])
    )
    return result


def runs(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First frame of every run of True, and the frame after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


# Letters


def letter_figures(clips: Sequence[tuple[list[str | None], bool]]) -> dict[str, float]:
    """How letters tell covered frames; each clip is the letters of the unit it holds and whether it was covered."""
    from sklearn.metrics import adjusted_rand_score

    rand, right, split, seen, errors, counts = [], [], [], [], [], []
    for letters, covered in clips:
        shown = np.zeros(len(letters), int)
        if covered:
            shown[COVER] = 1
        frames = np.array([t for t, name in enumerate(letters) if name])
        seen.append(len(frames) / len(letters))
        names = [letters[t] for t in frames]
        if not names:
            continue
        if not covered:
            split.append(float(len(set(names)) > 1))
            continue
        truth = shown[frames].tolist()
        rand.append(adjusted_rand_score(truth, names))
        right.append(float(len(set(zip(truth, names, strict=True))) == len(set(truth)) == len(set(names)) == 2))
        counts.append(len(set(names)))
        changes = [int(frames[i]) for i in range(1, len(names)) if names[i] != names[i - 1]]
        errors.append(boundary_error(changes, [COVER.start, COVER.stop]))
    return {
        "active": float(np.mean(seen)),
        "rand": float(np.mean(rand)),
        "exactly_right": float(np.mean(right)),
        "clusters": float(np.mean(counts)),
        "change_missed": _mean([e[0] for e in errors]),
        "change_false": _mean([e[1] for e in errors]),
        "split_controls": _mean(split),
    }


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return float(np.mean(known)) if known else math.nan


def held_target(sequence_id: str) -> str:
    return Path(sequence_id).stem.split("_")[0]


def held_maps(connection: Any, folder: str) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Frames and stored maps of the unit that each clip holds."""
    rows = connection.execute(
        "SELECT sequence_id, frame_index, height, width, relevance FROM own_relevance r SEMI JOIN "
        "(SELECT * FROM own_detections WHERE active) d USING (sequence_id, frame_index, target) "
        "WHERE starts_with(sequence_id, ?) AND contains(sequence_id, '/' || target || '_') AND scale > 0 ORDER BY ALL",
        [folder],
    ).fetchall()
    found = {}
    for name, group in itertools.groupby(rows, key=lambda row: row[0]):
        members = list(group)
        maps = np.array([np.reshape(np.asarray(row[4], np.float32), row[2:4]) for row in members])
        found[name] = (np.array([row[1] for row in members]), maps)
    return found


def with_options(maps: dict[str, Any], options: dict[str, Any], head: str, duration: int = 16) -> dict[str, float]:
    """Letters of stored maps clustered anew; of the covered frames only the first `duration` are taken."""
    clips = []
    for name, (frames, values) in maps.items():
        if f"/{head}/" not in name:
            continue
        kept = ~np.isin(frames, range(COVER.start + duration, COVER.stop))
        frames, values = frames[kept], values[kept]
        letters: list[str | None] = [None] * HOLD_FRAMES
        for t, label in zip(frames, cluster(values, **options).labels.tolist(), strict=True):
            letters[t] = letter(label)
        clips.append((letters, "/covered/" in name))
    return letter_figures(clips)


def toy_prototypes_right(noise: float, rule: str = "steps", seeds: int = 20) -> float:
    """Share of seeds whose synthetic maps of G-22 give the temporal prototype of G-01."""
    grid = np.arange(28)

    def blob(y: float, x: float) -> NDArray[np.float64]:
        return np.exp(-((grid[:, None] - y) ** 2 + (grid - x) ** 2) / (2 * 2.5**2))

    shown = {
        "AU01": {t: blob(6, 14) for t in range(3, 14)},
        "AU04": {t: blob(9, 14) for t in range(3, 9)},
        "AU02": {t: blob(7, 20 if 5 <= t <= 11 else 7) for t in range(1, 16)},
    }
    right = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        letters: dict[str, list[str | None]] = {}
        for target, maps in shown.items():
            values = np.stack(list(maps.values()))
            labels = cluster_sequence(values + noise * rng.standard_normal(values.shape), rule=rule).labels
            letters[target] = [None] * 18
            for t, label in zip(maps, labels.tolist(), strict=True):
                letters[target][t] = letter(label)
        stages = find_stages(np.arange(18), label_sets(18, letters))
        right += prototype_text(stage.labels for stage in stages) == TOY
    return right / seeds


# Report


def table(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> str:
    def cell(value: Any) -> str:
        if isinstance(value, str):
            return value
        return "-" if math.isnan(value) else f"{value:.2f}"

    lines = ["| " + " | ".join(columns.values()) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    lines += ["| " + " | ".join(cell(row[name]) for name in columns) + " |" for row in rows]
    return "\n".join(lines)


UNIT_COLUMNS = {
    "noise": "noise",
    "au_f1": "AU F1",
    "frames_right": "frames right",
    "unseen_runs": "units unseen",
    "onset_median": "onset, median",
    "onset_within_3": "within 3",
    "offset_median": "offset, median",
    "offset_within_3": "within 3",
}
PROTOTYPE_COLUMNS = {
    "noise": "noise",
    "boundary_missed": "true boundary to nearest predicted",
    "boundary_false": "predicted to nearest true",
    "stage_f1": "stage F1",
    "edits": "edit distance",
    "edits_of_another": "to another clip",
    "same_prototype": "same temporal prototype",
    "n_stages": "stages",
    "n_true_stages": "true stages",
    "smooth_stage_f1": f"runs of {MIN_RUN} or more: stage F1",
    "smooth_edits": "edit distance ",
    "smooth_n_stages": "stages ",
}
LETTER_COLUMNS = {
    "setting": "setting",
    "active": "frames active",
    "rand": "adjusted Rand",
    "exactly_right": "exactly right",
    "clusters": "clusters (2 are true)",
    "change_missed": "true change to nearest letter change",
    "change_false": "letter change to nearest true",
    "split_controls": "uncovered clips split",
}
OPTION_COLUMNS = {
    "setting": "setting",
    "still_rand": "still head: adjusted Rand",
    "still_exactly_right": "exactly right",
    "still_split_controls": "uncovered split",
    "drifting_rand": "drifting head: adjusted Rand",
    "drifting_clusters": "clusters (2 are true)",
    "drifting_change_missed": "true change to nearest",
    "drifting_split_controls": "uncovered split",
}


DURATION_COLUMNS = {
    "duration": "frames covered, of 32 more",
    "default_rand": "paper: adjusted Rand",
    "default_exactly_right": "exactly right",
    "wide_rand": "n_neighbors 10, tau 0.02: adjusted Rand",
    "wide_exactly_right": "exactly right",
}


def markdown(results: dict[str, Any]) -> str:
    prototypes = [{**row, "noise": f"{row['noise']:g}"} for row in results["prototypes"]]
    parts = [
        "# Temporal prototypes and letters against the truth",
        f"`python benchmarks/ground_truth.py --clips {results['n_clips']}`; docs/ground_truth.md says what it means.",
        f"## Temporal prototypes: {results['n_clips']} posed clips, {results['n_frames']} frames at each level",
        table(prototypes, UNIT_COLUMNS),
        table(prototypes, PROTOTYPE_COLUMNS),
        "Noise is a standard deviation in grey values at 320x320. Errors are in frames at 25 fps; `onset` and `offset`"
        " are signed, negative is early.",
        f"## Letters: {results['n_held']} clips that hold one unit, half of them covered for the middle third",
        table(results["letters"], LETTER_COLUMNS),
        "## Letters by options of the graph, in the crop, without noise",
        table(results["options"], OPTION_COLUMNS),
        "## Letters by how long the cover lasts, without noise, still head",
        table(results["durations"], DURATION_COLUMNS),
        "## Synthetic maps of G-22",
        table(
            results["synthetic"],
            {"noise": "noise, share of the peak", "right": "right, of 20 seeds", "paper": "rule: paper"},
        ),
    ]
    return "\n\n".join(parts) + "\n"


def picture(results: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    blue, orange, grey = "#0072b2", "#d55e00", "#57606a"
    figure, axes = plt.subplots(1, 4, figsize=(13, 4.2), dpi=110, layout="constrained")
    prototypes, letters = results["prototypes"], results["letters"]

    def line(axis: Any, rows: Sequence[dict[str, Any]], name: str, color: str, label: str, style: str) -> None:
        axis.plot([row["noise"] for row in rows], [row[name] for row in rows], style, color=color, label=label)

    line(axes[0], prototypes, "au_f1", grey, "F1 of the units, frame by frame", "o-")
    line(axes[0], prototypes, "stage_f1", blue, "stage F1", "s-")
    line(axes[0], prototypes, "smooth_stage_f1", blue, f"stage F1, runs of {MIN_RUN} frames or more", "s--")
    axes[0].set(title="Stages", ylim=(-0.02, 1.05))
    line(axes[1], prototypes, "edits", orange, "to the clip's own true temporal prototype", "^-")
    line(axes[1], prototypes, "smooth_edits", orange, f"the same, runs of {MIN_RUN} frames or more", "^--")
    line(axes[1], prototypes, "edits_of_another", grey, "to the true temporal prototype of another clip", "o:")
    axes[1].set(title="Edit distance (share)", ylim=(-0.02, 1.05))
    for head, dashes in zip(HEADS, ("-", "--"), strict=True):
        rows = [row for row in letters if row["head"] == head]
        line(axes[2], rows, "rand", blue, f"letters tell the cover, {head} head", "s" + dashes)
        line(axes[2], rows, "split_controls", orange, f"uncovered clips split, {head} head", "^" + dashes)
    axes[2].set(title="Letters (adjusted Rand; share)", ylim=(-0.02, 1.05))
    shown = ("paper", "n_neighbors = 5", "n_neighbors = 7", "n_neighbors = 10", "n_neighbors = 10, tau = 0.02")
    rows = [row for row in results["options"] if row["setting"] in shown]
    place = np.arange(len(rows))
    axes[3].bar(place - 0.2, [row["drifting_rand"] for row in rows], 0.4, color=blue, label="letters tell the cover")
    axes[3].bar(
        place + 0.2, [row["drifting_split_controls"] for row in rows], 0.4, color=orange, label="uncovered split"
    )
    names = [row["setting"].replace("n_neighbors = ", "k ").replace(", tau = ", "\ntau ") for row in rows]
    axes[3].set_xticks(place, names, fontsize=8)
    axes[3].set(title="Options, drifting head, no noise", ylim=(0, 1.05))
    for axis in axes:
        axis.grid(alpha=0.25, axis="y")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    for axis in axes[:3]:
        axis.set_xlabel("camera noise, grey values")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--noise", type=float, nargs="+", default=[0, 8, 16, 32, 64])
    parser.add_argument("--work", type=Path, help="folder for clips and outputs; a temporary one where not given")
    parser.add_argument("--results", type=Path, default=here / "benchmarks" / "results" / "ground_truth")
    parser.add_argument("--picture", type=Path, default=here / "docs" / "pictures" / "ground_truth.png")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        write_world(work / "clips", options.clips, options.noise)
        connection = run_pipeline(work / "clips", work / "out")
        prototypes, letters = [], []
        for level in options.noise:
            folder = f"noise{level:03.0f}"
            clips = clips_of(connection, f"{folder}/prototypes/")
            prototypes.append({"noise": level, **prototype_figures(clips)})
            held = clips_of(connection, f"{folder}/letters/")
            for head in HEADS:
                own = [(c.letters[held_target(n)], "/covered/" in n) for n, c in held.items() if f"/{head}/" in n]
                setting = f"noise {level:g}, {head} head"
                letters.append({"setting": setting, "noise": level, "head": head, **letter_figures(own)})
        maps = held_maps(connection, f"noise{min(options.noise):03.0f}/letters/")
    settings = []
    for name, group in OPTIONS.items():
        for chosen in group:
            row: dict[str, Any] = {"setting": ", ".join(f"{k} = {v}" for k, v in chosen.items()) or name}
            for head in HEADS:
                row |= {f"{head}_{k}": v for k, v in with_options(maps, chosen, head).items()}
            settings.append(row)
    durations = []
    for duration in (4, 6, 8, 11, 16):
        row = {"duration": str(duration)}
        for name, chosen in (("default", {}), ("wide", {"n_neighbors": 10, "tau": 0.02})):
            row |= {f"{name}_{k}": v for k, v in with_options(maps, chosen, "still", duration).items()}
        durations.append(row)
    results = {
        "durations": durations,
        "n_clips": options.clips,
        "n_frames": sum(len(clip.active) for clip in clips.values()),
        "n_held": len(held),
        "prototypes": prototypes,
        "letters": letters,
        "options": settings,
        "synthetic": [
            {"noise": noise, "right": toy_prototypes_right(noise), "paper": toy_prototypes_right(noise, "paper")}
            for noise in SYNTHETIC_NOISE
        ],
    }
    text = markdown(results)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    options.results.with_suffix(".md").write_text(text)
    picture(results, options.picture)
    print(text)


if __name__ == "__main__":
    main()
