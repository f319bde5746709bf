"""What posed clips and stills show: Action Units by frame, head motion, subject and emotion, drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.facs import CODEBOOKS, DEFAULT_RULE, EXPRESSIONS, au_name
from fer_batch.posed.face import POSED_AUS, Pose

CLIPS_PER_SUBJECT = 3
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

    Parameters
    ----------
    aus
        Numbers of the Action Units, of `POSED_AUS`.
    n_frames
        Length of the clip.
    rng
        Draws order, speed and strength.

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


def subject_id(number: int) -> str:
    """`P001` for identity 0."""
    return f"P{number + 1:03d}"


def still_intensities(emotion: str, rng: np.random.Generator) -> dict[int, float]:
    """One strength for the expression (2 to 5), varied a little between its Action Units."""
    strength = rng.uniform(2.2, 5.0)
    chosen = {au: float(np.clip(strength + rng.normal(0, 0.4), 2.0, 5.0).round(3)) for au in emotion_aus(emotion)}
    return with_implied(chosen)
