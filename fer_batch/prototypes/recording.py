"""A recording frame by frame: what the network says of each target, which frames show a face, and where frames miss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Recording:
    """What is known of a recording, frame by frame.

    Attributes
    ----------
    frame_index : shape (m,), int64
        Of the sampled frames, rising.
    ok : shape (m,), bool
        Which of them show a usable face; there are n.
    place : shape (m,), float64
        When a frame was taken, in any unit that grows evenly from one sampled frame to the next: seconds, or the number
        of a picture. A longer step is a gap.
    targets
        Names of the A outputs.
    evidence : shape (n, A), log-odds over what makes a target active
        Of the ok frames.
    letters
        For each target one entry per ok frame, as `label_sets` takes them.
    """

    frame_index: NDArray[np.int64]
    ok: NDArray[np.bool_]
    place: NDArray[np.float64]
    targets: tuple[str, ...]
    evidence: NDArray[np.float64]
    letters: Mapping[str, Sequence[str | None]]


def evidence_of(logits: NDArray[np.floating], head: str, threshold: float) -> NDArray[np.float64]:
    """Log-odds of each target over what makes it active.

    Parameters
    ----------
    logits : shape (n, A)
        Of the network.
    head
        `multilabel`: over the threshold. `softmax`: against the likeliest other class.
    threshold
        The probability from which on a target is active.

    Returns
    -------
    shape (n, A), float64
    """
    values = np.asarray(logits, np.float64)
    if head != "softmax":
        return values - math.log(threshold / (1 - threshold))
    if values.shape[1] < 2:
        return np.full(values.shape, np.inf)
    ordered = np.sort(values, axis=1)
    best, second = ordered[:, -1:], ordered[:, -2:-1]
    first = np.arange(values.shape[1]) == values.argmax(1)[:, None]
    return values - np.where(first, second, best)


def segments(ok: NDArray[np.bool_], place: NDArray[np.float64], max_missing: int) -> NDArray[np.int64]:
    """Number of the piece of the recording that each ok frame is in; between two pieces more is missing than allowed.

    Parameters
    ----------
    ok, place : shape (m,)
        See `Recording`.
    max_missing
        Frames that may be missing at a stretch.

    Returns
    -------
    shape (n,), int64
        From 0, rising.
    """
    at = np.flatnonzero(ok)
    if not len(at):
        return np.zeros(0, np.int64)
    steps = np.diff(place[at])
    usual = float(np.median(np.diff(place))) if len(place) > 1 else 0.0
    cut = np.diff(at) - 1 > max_missing
    if usual > 0:
        cut |= steps > (max_missing + 1.5) * usual
    return np.concatenate([[0], np.cumsum(cut)]).astype(np.int64)
