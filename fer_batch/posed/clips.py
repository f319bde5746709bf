"""Clips and stills of a posing face with exact Action Units per frame: the demo makes its own data.

The face is the public-domain portrait of `posed_face`, so all subjects share one texture; what is exact is the ground
truth. Clips hold overlapping Action Units with staggered onsets, start and end neutral, and are written as ordinary
video files with CSV files of per-frame annotations and landmarks beside them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fer_batch.facs import CODEBOOKS, DEFAULT_RULE, EXPRESSIONS, au_name
from fer_batch.posed.confound import STICKER, Confound, sticker_frames, with_sticker
from fer_batch.posed.face import POSED_AUS, Pose, identity, render_frame

CLIPS_PER_SUBJECT = 3
STILLS_PER_SUBJECT = 7
TARGETS = tuple(au_name(au) for au in POSED_AUS)
# Single units and pairs that a face can hold together.
COMBINATIONS = (
    (1, 2), (4,), (12, 25), (9, 10), (6, 12), (1, 4), (17,), (20, 25), (5,), (15, 17), (7,), (2, 26), (10,), (27,),
    (4, 7), (23,), (6,), (12,), (1,), (2,), (9,), (15,), (20,), (25,), (26,), (5, 27), (10, 25), (4, 9),
)  # fmt: skip


def with_implied(intensities: Mapping[int, float]) -> dict[int, float]:
    """Intensities as a coder would write them: a jaw that drops parts the lips, and a stretch is not also a drop.

    AU25 is raised to AU26 or AU27, and AU26 is 0 where AU27 is present (FACS scores one of 26 and 27).
    """
    out = dict(intensities)
    if out.get(27, 0.0) > 0 and 26 in out:
        out[26] = 0.0
    opened = max(out.get(26, 0.0), out.get(27, 0.0))
    if opened > 0:
        out[25] = max(out.get(25, 0.0), opened)
    return out


def occurrence(intensity: float) -> float:
    """1 from intensity 2 (level B) on, 0 for an absent unit, NaN for the traces between."""
    return float(DEFAULT_RULE.occurs(np.nan, intensity))


def emotion_aus(emotion: str, codebook: str = "emfacs_sh") -> tuple[int, ...]:
    """Action Units of an expression that the posed face has; of 26 and 27 the first."""
    aus = tuple(au for au in CODEBOOKS[codebook].get(emotion, ()) if au in POSED_AUS)
    return tuple(au for au in aus if au != 27 or 26 not in aus)


@dataclass(frozen=True)
class ClipPlan:
    """What one clip shows, frame by frame.

    Attributes
    ----------
    subject, name
        Identity number, and the file's name without suffix.
    emotion
        One of `facs.EXPRESSIONS`, or empty.
    intensities : shape (T, A)
        Of `POSED_AUS`, 0 to 5.
    poses
        Of the T frames.
    noise_seed
        Of the camera's noise.
    """

    subject: int
    name: str
    emotion: str
    intensities: NDArray[np.float64]
    poses: tuple[Pose, ...]
    noise_seed: int


def intensity_curves(aus: Sequence[int], n_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Onset, apex and offset of some Action Units over a clip.

    Onsets are staggered over the first half and offsets over the last third, in an order of their own, so that the
    set of active units changes in several steps. The first and last two frames are neutral.

    Returns
    -------
    shape (n_frames, len(POSED_AUS))
        Intensity 0 to 5, implied units included.
    """
    curves = np.zeros((n_frames, len(POSED_AUS)))
    t = np.arange(n_frames)
    count = max(len(aus), 1)
    first, last = 0.07 * n_frames + 1, n_frames - 2.0
    onset_step, offset_step = 0.36 * n_frames / count, 0.22 * n_frames / count
    onset_rank, offset_rank = rng.permutation(len(aus)), rng.permutation(len(aus))
    for k, au in enumerate(aus):
        start = first + (onset_rank[k] + 0.5 * rng.random()) * onset_step
        rise, fall = rng.uniform(5, 8), rng.uniform(5, 8)
        stop = last - (offset_rank[k] + 0.5 * rng.random()) * offset_step
        up, down = np.clip((t - start) / rise, 0, 1), np.clip((stop - t) / fall, 0, 1)
        ramp = np.minimum(up, down)
        curves[:, POSED_AUS.index(au)] = rng.uniform(3.4, 5.0) * ramp**2 * (3 - 2 * ramp)
    for row in curves:
        coded = with_implied(dict(zip(POSED_AUS, row, strict=True)))
        row[:] = [coded[au] for au in POSED_AUS]
    return curves.round(3)


def head_motion(n_frames: int, rng: np.random.Generator) -> tuple[Pose, ...]:
    """A slow drift of a few pixels and degrees around a resting pose."""
    t = np.arange(n_frames) / 25.0

    def drift(rest: float, swing: float) -> NDArray[np.float64]:
        centre = rng.uniform(-rest, rest)
        return centre + swing * rng.uniform(0.3, 1) * np.sin(2 * np.pi * (t / rng.uniform(2, 4) + rng.random()))

    dx, dy, roll = drift(6, 3), drift(4, 2), drift(3, 1.5)
    yaw, pitch, zoom = drift(4, 2.5), drift(3, 1.5), 1 + drift(0.03, 0.008)
    gaze_x, gaze_y = drift(0.5, 0.1), drift(0.3, 0.1)
    rows = np.stack([dx, dy, roll, yaw, pitch, zoom], axis=1).tolist()
    gaze = zip(gaze_x.tolist(), gaze_y.tolist(), strict=True)
    return tuple(
        Pose(dx=x, dy=y, roll=r, yaw=w, pitch=p, zoom=z, gaze=look)
        for (x, y, r, w, p, z), look in zip(rows, gaze, strict=True)
    )


def plan_clips(
    n_clips: int,
    seed: int = 0,
    n_frames: tuple[int, int] = (40, 64),
    first_identity: int = 0,
    per_subject: int = CLIPS_PER_SUBJECT,
) -> list[ClipPlan]:
    """Decide what clips show: the six emotions, a neutral face, then single units and pairs, and over again.

    Parameters
    ----------
    n_clips, seed, n_frames, first_identity
        As in `write_clips`.
    per_subject
        Clips of one subject, one after the other.
    """
    plans = []
    for i in range(n_clips):
        rng = np.random.default_rng([seed, first_identity, i])
        cycle, place = divmod(i, 12)
        if place < 7:
            emotion = (*EXPRESSIONS[1:], EXPRESSIONS[0])[place]
            aus, what = emotion_aus(emotion), emotion
        else:
            emotion = ""
            aus = COMBINATIONS[(cycle * 5 + place - 7) % len(COMBINATIONS)]
            what = "_".join(au_name(au) for au in aus)
        length = int(rng.integers(n_frames[0], n_frames[1] + 1))
        curves, poses = intensity_curves(aus, length, rng), head_motion(length, rng)
        name = f"{i % per_subject + 1:02d}_{what}"
        subject = first_identity + i // per_subject
        plans.append(ClipPlan(subject, name, emotion, curves, poses, int(rng.integers(2**31))))
    return plans


def with_noise(image: NDArray[np.uint8], sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Camera noise of a standard deviation in grey values, equal in the three channels."""
    # uniform bytes are several times cheaper to draw than normal floats, and look the same
    grain = np.frombuffer(rng.bytes(image.shape[0] * image.shape[1]), np.uint8).reshape(image.shape[:2])
    noise = (grain.astype(np.float32) - 127.5) * np.float32(sigma / 73.9)
    return np.clip(image + noise[..., None] + 0.5, 0, 255).astype(np.uint8)


def clip_frames(
    plan: ClipPlan, size: int = 320, stickers: NDArray[np.bool_] | None = None
) -> Iterable[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Frames and landmarks of a plan, in order; `stickers` [T] says which show the sticker of a confound."""
    who = identity(plan.subject)
    rng = np.random.default_rng(plan.noise_seed)
    shown = np.zeros(len(plan.poses), bool) if stickers is None else stickers
    for row, pose, sticker in zip(plan.intensities, plan.poses, shown, strict=True):
        image, landmarks = render_frame(who, dict(zip(POSED_AUS, row, strict=True)), pose, size)
        if sticker:
            image = with_sticker(image, landmarks)
        yield with_noise(image, 1.5, rng), landmarks


def clip_stickers(plan: ClipPlan, confound: Confound) -> NDArray[np.bool_]:
    """Which frames of a plan show the sticker, shape (T,); the same plan gives the same ones."""
    present = np.array([occurrence(v) == 1 for v in plan.intensities[:, POSED_AUS.index(confound.au)]])
    return sticker_frames(present, confound, np.random.default_rng([plan.noise_seed, 0x571C]))


def subject_id(number: int) -> str:
    """`P001` for identity 0."""
    return f"P{number + 1:03d}"


@threadpool_limits.wrap(limits=1)  # the many small systems gain nothing from threads and lose much
def write_clips(
    root: Path | str,
    n_clips: int = 12,
    seed: int = 0,
    n_frames: tuple[int, int] = (40, 64),
    size: int = 320,
    fps: float = 25.0,
    first_identity: int = 0,
    suffix: str = ".mp4",
    progress: Callable[[int], None] | None = None,
    confound: Confound | None = None,
    plans: Sequence[ClipPlan] | None = None,
) -> list[Path]:
    """Write posed clips with their ground truth.

    Writes `<root>/<subject>/<clip><suffix>`, beside each clip `<clip>.annotations.csv` (frame_index, target, intensity,
    occurrence) and `<clip>.landmarks.csv` (frame_index, x0..x67, y0..y67 in source pixels), and `<root>/sequences.csv`
    (path, subject_id, emotion).

    Parameters
    ----------
    root
        A local folder; made where it is missing.
    n_clips
        Three per subject.
    seed
        The same seed writes the same annotations and encodes the same pixels.
    n_frames
        Shortest and longest clip.
    size
        Side of the frames; even, as the codec wants it.
    fps
        Frames per second.
    first_identity
        Subjects count up from here; the demo model was trained on identities from 1000 on.
    suffix
        Container, as FFmpeg names it.
    progress
        Called with each clip that is written.
    confound
        Shows a sticker with one Action Unit, and annotates it as target `sticker`; nothing else differs.
    plans
        What to write, in the place of `plan_clips(n_clips, seed, n_frames, first_identity)`.

    Returns
    -------
    the clips, in order
    """
    if size % 2 or size < 64:
        raise ValueError(f"expected an even frame size of at least 64, got {size}")
    root = Path(root)
    rows, paths = [], []
    for plan in plan_clips(n_clips, seed, n_frames, first_identity) if plans is None else plans:
        path = root / subject_id(plan.subject) / f"{plan.name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        stickers = None if confound is None else clip_stickers(plan, confound)
        landmarks = _encode(path, plan, size, fps, stickers)
        _write_csv(
            path.with_suffix(".annotations.csv"),
            ["frame_index", "target", "intensity", "occurrence"],
            [
                *(
                    [t, target, _number(value), _number(occurrence(value))]
                    for t, row in enumerate(plan.intensities)
                    for target, value in zip(TARGETS, row, strict=True)
                ),
                *([t, STICKER, "", int(shown)] for t, shown in enumerate(() if stickers is None else stickers)),
            ],
        )
        _write_csv(
            path.with_suffix(".landmarks.csv"),
            ["frame_index", *LANDMARK_COLUMNS],
            ([t, *_landmark_cells(points)] for t, points in enumerate(landmarks)),
        )
        rows.append([path.relative_to(root).as_posix(), subject_id(plan.subject), plan.emotion])
        paths.append(path)
        if progress is not None:
            progress(1)
    _write_csv(root / "sequences.csv", ["path", "subject_id", "emotion"], rows)
    return paths


LANDMARK_COLUMNS = (*(f"x{i}" for i in range(68)), *(f"y{i}" for i in range(68)))


def _landmark_cells(points: NDArray[np.float64]) -> list[str]:
    return [f"{v:.2f}" for v in points.T.ravel()]


def _number(value: float) -> str:
    """A CSV cell: empty for NaN, no needless digits."""
    return "" if np.isnan(value) else f"{value:.3f}".rstrip("0").rstrip(".")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _encode(
    path: Path, plan: ClipPlan, size: int, fps: float, stickers: NDArray[np.bool_] | None
) -> list[NDArray[np.float64]]:
    import av
    from av.video.stream import VideoStream

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    landmarks = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        # one thread and no B-frames: with either, the same frames did not always give the same bytes
        stream.codec_context.thread_count = 1
        stream.options = {"crf": "20", "preset": "veryfast", "bf": "0"} if codec == "libx264" else {"qscale": "3"}
        for image, points in clip_frames(plan, size, stickers):
            planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)  # BT.601, studio range
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")))
            landmarks.append(points)
        container.mux(stream.encode(None))
    return landmarks


@threadpool_limits.wrap(limits=1)  # the many small systems gain nothing from threads and lose much
def write_stills(
    root: Path | str, n: int = 200, seed: int = 0, size: int = 320, first_identity: int = 0, suffix: str = ".jpg"
) -> list[Path]:
    """Write stills of the seven expressions at varied intensity, with `manifest.csv`.

    The manifest's columns: path, subject_id, emotion, x0..x67, y0..y67 (source pixels), and the intensity of each of
    `TARGETS`. Seven stills per subject, one per expression.

    Parameters
    ----------
    root
        A local folder; made where it is missing.
    n, seed
        How many, and what they are drawn from.
    size
        Side of the images.
    first_identity
        Subjects count up from here.
    suffix
        `.jpg` or `.png`.

    Returns
    -------
    the images, in order
    """
    root = Path(root)
    rows, paths = [], []
    for i in range(n):
        rng = np.random.default_rng([seed, first_identity, i, 0x57])
        number = first_identity + i // STILLS_PER_SUBJECT
        emotion = EXPRESSIONS[i % len(EXPRESSIONS)]
        intensities = still_intensities(emotion, rng)
        pose = head_motion(1, rng)[0]
        image, landmarks = render_frame(identity(number), intensities, pose, size)
        path = root / subject_id(number) / f"{emotion}_{i // STILLS_PER_SUBJECT:03d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        options = [cv2.IMWRITE_JPEG_QUALITY, 90] if suffix.lower() in (".jpg", ".jpeg") else []
        done, encoded = cv2.imencode(suffix, with_noise(image, 1.5, rng)[:, :, ::-1], options)
        if not done:
            raise ValueError(f"cannot encode a still as {suffix!r}")
        path.write_bytes(encoded.tobytes())
        values = [_number(intensities.get(au, 0.0)) for au in POSED_AUS]
        rows.append(
            [path.relative_to(root).as_posix(), subject_id(number), emotion, *_landmark_cells(landmarks), *values]
        )
        paths.append(path)
    _write_csv(root / "manifest.csv", ["path", "subject_id", "emotion", *LANDMARK_COLUMNS, *TARGETS], rows)
    return paths


def still_intensities(emotion: str, rng: np.random.Generator) -> dict[int, float]:
    """One strength for the expression (2 to 5), varied a little between its Action Units."""
    strength = rng.uniform(2.2, 5.0)
    chosen = {au: float(np.clip(strength + rng.normal(0, 0.4), 2.0, 5.0).round(3)) for au in emotion_aus(emotion)}
    return with_implied(chosen)
