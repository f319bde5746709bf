"""How close the stages of a temporal prototype are to the true ones: their labels and frames, and their boundaries."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fer_batch.types import Stage


def stage_f1(predicted: Sequence[Stage], truth: Sequence[Stage], overlap: float = 0.5) -> float:
    """Segmental F1: a predicted stage is right where a true one of the same labels overlaps with it well enough.

    Parameters
    ----------
    predicted, truth
        In order of time.
    overlap
        Least intersection over union of their frames, counted from the first to the last.

    Returns
    -------
    in [0, 1]
        Each true stage is matched once, by the stage that overlaps most with it. NaN where there is no stage at all.

    References
    ----------
    Lea et al. (2017), CVPR: Temporal convolutional networks for action segmentation and detection, F1@k.
    """
    if not 0 < overlap <= 1:
        raise ValueError(f"expected an overlap above 0 and up to 1, got {overlap}")
    if not predicted and not truth:
        return math.nan
    pairs = [
        (shared, i, j)
        for i, stage in enumerate(predicted)
        for j, true in enumerate(truth)
        if stage.labels == true.labels and (shared := _overlap(stage, true)) >= overlap
    ]
    used_i: set[int] = set()
    used_j: set[int] = set()
    for _, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if i not in used_i and j not in used_j:
            used_i.add(i)
            used_j.add(j)
    return 2 * len(used_i) / (len(predicted) + len(truth))


def _overlap(one: Stage, other: Stage) -> float:
    shared = min(one.last_frame, other.last_frame) - max(one.first_frame, other.first_frame) + 1
    union = max(one.last_frame, other.last_frame) - min(one.first_frame, other.first_frame) + 1
    return max(shared, 0) / union


def boundary_error(predicted: ArrayLike, truth: ArrayLike) -> tuple[float, float]:
    """Mean distance in frames between the beginnings of stages and the true ones nearest to them, in both directions.

    Parameters
    ----------
    predicted, truth : shape (k,), (m,)
        First frames of the stages but the first.

    Returns
    -------
    from_truth, from_predicted
        From the truth to the nearest predicted boundary, and from a predicted one to the truth; NaN where either side
        has none.
    """
    found, true = np.asarray(predicted, np.float64).ravel(), np.asarray(truth, np.float64).ravel()
    if not len(found) or not len(true):
        return math.nan, math.nan
    distance = np.abs(found[:, None] - true[None, :])
    return float(distance.min(axis=0).mean()), float(distance.min(axis=1).mean())
