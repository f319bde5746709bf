"""A posed collection to train on: every subject shows every Action Unit once, as actors of a directed study do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fer_batch import facs
from fer_batch.posed.face import POSED_AUS
from fer_batch.posed.plans import ClipPlan, emotion_aus, head_motion, with_implied
from fer_batch.registry import nearest

PAIN = tuple(unit for unit in facs.PAIN_UNITS if unit in POSED_AUS)
PAIN_LEVELS = {
    f"pain{level}": 0.52 + 0.12 * level for level in (1, 2, 3, 4)
}  # strength, of the apex of other expressions
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


def plan_expressions(n_subjects: int, expressions: Sequence[str], n_frames: int = 20, seed: int = 0) -> list[ClipPlan]:
    """Plans of a clip for each subject and expression; the clip's emotion is its name.

    Parameters
    ----------
    n_subjects
        Identities 0, 1, ...
    expressions
        Of `facs.EXPRESSIONS`, or `pain`, `pain1` to `pain4`.
    n_frames
        Of a clip.
    seed
        Of onsets and strengths. Every subject adds or leaves out one unit of each expression.

    Raises
    ------
    ValueError
        If an expression is not known, or there are fewer than twelve frames.
    """
    if n_frames < 12:
        raise ValueError(f"expected clips of at least 12 frames, got {n_frames}")
    plans = []
    for subject in range(n_subjects):
        for number, name in enumerate(expressions):
            rng = np.random.default_rng([seed, subject, number, 0xE59])
            aus = _personal(expression_units(name), rng)
            curves = PAIN_LEVELS.get(name, 1.0) * held(aus, n_frames, rng)
            poses = head_motion(n_frames, rng)
            plans.append(ClipPlan(subject, f"{number + 1:02d}_{name}", name, curves, poses, int(rng.integers(2**31))))
    return plans


def held(aus: Sequence[int], n_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Intensities of some Action Units that rise in the first quarter of a clip and stay.

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
        0 to 5, implied units included.
    """
    t = np.arange(n_frames)
    curves = np.zeros((n_frames, len(POSED_AUS)))
    for au in aus:
        start, rise = rng.uniform(-0.1, 0.1) * n_frames, rng.uniform(0.05, 0.15) * n_frames
        ramp = np.clip((t - start) / rise, 0, 1)
        curves[:, POSED_AUS.index(au)] = rng.uniform(3.6, 5.0) * ramp**2 * (3 - 2 * ramp)
    return _with_implied(curves)


def _with_implied(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded intensities with the units that others imply, frame by frame."""
    for row in curves:
        coded = with_implied(dict(zip(POSED_AUS, row, strict=True)))
        row[:] = [coded[au] for au in POSED_AUS]
    return curves.round(3)


def expression_units(name: str) -> tuple[int, ...]:
    """Action Units of an expression that the posed face has.

    Raises
    ------
    ValueError
        If it is not known.
    """
    if name == "pain" or name in PAIN_LEVELS:
        return PAIN
    if name not in facs.EXPRESSIONS:
        raise ValueError(f"unknown expression {name!r}; {nearest(name, (*facs.EXPRESSIONS, 'pain', *PAIN_LEVELS))}")
    return emotion_aus(name)


def _personal(aus: tuple[int, ...], rng: np.random.Generator) -> list[int]:
    """How one person shows an expression: now and then with a unit less, or with one that does not belong to it."""
    kept = list(aus)
    if len(kept) > 2 and rng.random() < 0.5:
        kept.remove(int(rng.choice(kept)))
    if rng.random() < 0.5:
        kept.append(int(rng.choice([au for au in (1, 2, 5, 17, 25) if au not in kept])))
    return kept


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
    return _with_implied(curves)
