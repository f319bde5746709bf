"""A figure of one night: its mean over frames with the interval by subject, and the scale on which it varies alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.evaluate.interval import subject_interval

NEAR = 0.1  # a person's share this near to 0 or 1 is like everybody's, where few are not


@dataclass(frozen=True)
class Scale:
    """On which scale a figure varies alike wherever it lies.

    Attributes
    ----------
    forth, back
        To that scale and from it.
    least
        The smallest change that is worth a look, in the figure's own unit.
    counted
        Whether the figure is a share of frames, each of which is or is not.
    """

    forth: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    back: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    least: float
    counted: bool = False


def _angle(share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.arcsin(np.sqrt(np.clip(share, 0, 1)))


def _share(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sin(np.clip(angle, 0, np.pi / 2)) ** 2


def _root(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.maximum(ratio, 0))


def _square(root: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(root, 0) ** 2


SCALES = MappingProxyType(
    {
        "share": Scale(_angle, _share, 0.02, counted=True),
        "mean": Scale(_angle, _share, 0.02),  # of what lies between 0 and 1
        "ratio": Scale(_root, _square, 0.05),
    }
)


@dataclass(frozen=True)
class NightMean:
    """A mean over the frames of one night.

    Attributes
    ----------
    value
        NaN where there is no frame.
    low, high
        Its interval by subject (`interval.subject_interval`); NaN for too few.
    n_frames, n_subjects
        Behind it.
    effective
        As many subjects with equally many frames each are worth as much: one over the sum of squared shares.
    n_near_0, n_near_1
        Subjects whose own mean is up to `NEAR` from 0, and from 1.
    """

    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    n_frames: int = 0
    n_subjects: int = 0
    effective: float = 0.0
    n_near_0: int = 0
    n_near_1: int = 0


def night_mean(n_frames: ArrayLike, sums: ArrayLike, scale: str = "share") -> NightMean:
    """The mean of a night with its interval by subject.

    Parameters
    ----------
    n_frames : shape (S,)
        Frames of each subject; those without a frame count for nothing.
    sums : shape (S,)
        Sum over the frames of each subject of what is averaged.
    scale
        Of `SCALES`: says where intervals end.

    Raises
    ------
    ValueError
        If counts and sums are not one per subject, or the scale is not known.
    """
    count, total = np.asarray(n_frames, np.float64), np.asarray(sums, np.float64)
    if count.shape != total.shape or count.ndim != 1:
        raise ValueError(f"expected a count and a sum per subject, got shapes {count.shape} and {total.shape}")
    if scale not in SCALES:
        raise ValueError(f"expected one of {', '.join(SCALES)} as scale, got {scale!r}")
    count, total = count[count > 0], total[count > 0]
    if not len(count):
        return NightMean()
    low, high = np.clip(subject_interval(count, total), 0, np.inf if scale == "ratio" else 1)
    own = total / count
    effective = count.sum() ** 2 / (count**2).sum()
    near = int((own <= NEAR).sum()), int((own >= 1 - NEAR).sum())
    value = float(total.sum() / count.sum())
    return NightMean(value, float(low), float(high), int(count.sum()), len(count), float(effective), *near)
