"""Clips and stills of a posing face with exact Action Units per frame: the demo makes its own data.

The face is the public-domain portrait of `posed_face`, so all subjects share one texture; what is exact is the ground
truth. Clips hold overlapping Action Units with staggered onsets, start and end neutral, and are written as ordinary
video files with CSV files of per-frame annotations and landmarks beside them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fer_batch.facs import EXPRESSIONS
from fer_batch.posed.confound import STICKER, Confound, sticker_frames, with_sticker
from fer_batch.posed.face import POSED_AUS, identity, render_frame
from fer_batch.posed.plans import TARGETS, ClipPlan, head_motion, occurrence, plan_clips, still_intensities, subject_id

STILLS_PER_SUBJECT = 7


def with_noise(image: NDArray[np.uint8], sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture with camera noise, equal in the three channels.

    Parameters
    ----------
    image : shape (H, W, 3), uint8
        RGB.
    sigma
        Standard deviation in grey values.
    rng
        Draws H * W bytes.

    Returns
    -------
    shape (H, W, 3), uint8
    """
    # uniform bytes are several times cheaper to draw than normal floats, and look the same
    grain = np.frombuffer(rng.bytes(image.shape[0] * image.shape[1]), np.uint8).reshape(image.shape[:2])
    noise = (grain.astype(np.float32) - 127.5) * np.float32(sigma / 73.9)
    return np.clip(image + noise[..., None] + 0.5, 0, 255).astype(np.uint8)


def clip_frames(
    plan: ClipPlan, size: int = 320, stickers: NDArray[np.bool_] | None = None
) -> Iterable[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Frames and landmarks of a plan, in order.

    Parameters
    ----------
    plan
        Of T frames.
    size
        Side of the frames in pixels.
    stickers : shape (T,), bool
        Which frames show the sticker of a confound; by default none.

    Yields
    ------
    image : shape (size, size, 3), uint8
        RGB, with noise.
    landmarks : shape (68, 2), pixels
        iBUG-68 as (x, y).
    """
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

    Raises
    ------
    ValueError
        If the size is odd or below 64.
    """
    if size % 2 or size < 64:
        raise ValueError(f"expected an even frame size of at least 64, got {size}")
    root = Path(root)
    rows, paths = [], []
    for plan in plan_clips(n_clips, seed, n_frames, first_identity) if plans is None else plans:
        path = root / subject_id(plan.subject) / f"{plan.name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        stickers = None if confound is None else clip_stickers(plan, confound)
        _write_truth(path, plan, stickers, _encode(path, plan, size, fps, stickers))
        rows.append([path.relative_to(root).as_posix(), subject_id(plan.subject), plan.emotion])
        paths.append(path)
        if progress is not None:
            progress(1)
    _write_csv(root / "sequences.csv", ["path", "subject_id", "emotion"], rows)
    return paths


def _write_truth(
    path: Path, plan: ClipPlan, stickers: NDArray[np.bool_] | None, landmarks: Iterable[NDArray[np.float64]]
) -> None:
    """The annotations and landmarks of a clip, beside it."""
    units = (
        [t, target, _number(value), _number(occurrence(value))]
        for t, row in enumerate(plan.intensities)
        for target, value in zip(TARGETS, row, strict=True)
    )
    shown = ([t, STICKER, "", int(sticker)] for t, sticker in enumerate(() if stickers is None else stickers))
    header = ["frame_index", "target", "intensity", "occurrence"]
    _write_csv(path.with_suffix(".annotations.csv"), header, [*units, *shown])
    cells = ([t, *_landmark_cells(points)] for t, points in enumerate(landmarks))
    _write_csv(path.with_suffix(".landmarks.csv"), ["frame_index", *LANDMARK_COLUMNS], cells)


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
        _write_still(path, with_noise(image, 1.5, rng))
        values = [_number(intensities.get(au, 0.0)) for au in POSED_AUS]
        rows.append(
            [path.relative_to(root).as_posix(), subject_id(number), emotion, *_landmark_cells(landmarks), *values]
        )
        paths.append(path)
    _write_csv(root / "manifest.csv", ["path", "subject_id", "emotion", *LANDMARK_COLUMNS, *TARGETS], rows)
    return paths


def _write_still(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if path.suffix.lower() in (".jpg", ".jpeg") else []
    done, encoded = cv2.imencode(path.suffix, image[:, :, ::-1], options)
    if not done:
        raise ValueError(f"cannot encode a still as {path.suffix!r}")
    path.write_bytes(encoded.tobytes())
