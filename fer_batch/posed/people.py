"""A posed collection to train on: every subject shows every Action Unit once, as actors of a directed study do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fer_batch.posed.face import POSED_AUS
from fer_batch.posed.plans import ClipPlan, head_motion, with_implied

APART = ((26, 27), (20, 23), (12, 15), (5, 7))  # units that one face does not hold together


def plan_people(n_subjects: int = 20, n_clips: int = 3, n_frames: int = 20, seed: int = 0) -> list[ClipPlan]:
    """Plans of `n_clips` clips for each subject, over which the Action Units of the posed face are dealt out by chance.

    Parameters
    ----------
    n_subjects
        Identities 0, 1, ...
    n_clips
        Of a subject; at least two, because some units do not go together.
    n_frames
        Of a clip.
    seed
        Of who shows what when.

    Raises
    ------
    ValueError
        If there are fewer than two clips or twelve frames.
    """
    if n_clips < 2 or n_frames < 12:
        raise ValueError(f"expected at least 2 clips of 12 frames a subject, got {n_clips} of {n_frames}")
    plans = []
    for subject in range(n_subjects):
        rng = np.random.default_rng([seed, subject, 0x9E0])
        hands: list[list[int]] = [[] for _ in range(n_clips)]
        for au in rng.permutation(POSED_AUS).tolist():
            others = {b if a == au else a for a, b in APART if au in (a, b)}
            fitting = [hand for hand in hands if not others & set(hand)]
            min(fitting, key=len).append(au)
        for number, hand in enumerate(hands):
            curves, poses = together(hand, n_frames, rng), head_motion(n_frames, rng)
            plans.append(ClipPlan(subject, f"{number + 1:02d}_mixed", "", curves, poses, int(rng.integers(2**31))))
    return plans


def together(aus: Sequence[int], n_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Intensities of some Action Units that rise one after the other and all reach level C in a short clip.

    Parameters
    ----------
    aus
        Numbers of the Action Units, of `POSED_AUS`.
    n_frames
        Length of the clip.
    rng
        Draws onset, speed and strength.

    Returns
    -------
    shape (n_frames, len(POSED_AUS))
        0 to 5, implied units included; the first and last frames are neutral.
    """
    t = np.arange(n_frames)
    curves = np.zeros((n_frames, len(POSED_AUS)))
    for au in aus:
        start, stop = rng.uniform(1, 0.4 * n_frames), rng.uniform(0.8 * n_frames, n_frames - 1.5)
        rise, fall = rng.uniform(0.15, 0.25, 2) * n_frames
        ramp = np.clip(np.minimum((t - start) / rise, (stop - t) / fall), 0, 1)
        curves[:, POSED_AUS.index(au)] = rng.uniform(3.6, 5.0) * ramp**2 * (3 - 2 * ramp)
    for row in curves:
        coded = with_implied(dict(zip(POSED_AUS, row, strict=True)))
        row[:] = [coded[au] for au in POSED_AUS]
    return curves.round(3)
