"""What came of the training of a fold, and means over folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fer_batch.training.subjects import Fold


@dataclass(frozen=True)
class FoldResult:
    """What came of one fold.

    Attributes
    ----------
    fold
        Its rows.
    model
        The network of the epoch that was kept, in evaluation mode on the CPU.
    epoch
        Which epoch that is, from 1.
    logits : shape (n, A)
        Of the test part, in the order of `fold.test`.
    f1 : shape (A,)
        On the test part at even odds; NaN where a target is neither present nor detected.
    history
        One dict per epoch: `split/metric` to value.
    class_weights : shape (A,)
        Weight of the positives in the loss.
    without_positives
        Targets that the training part never shows: nothing can be learned of them.
    """

    fold: Fold
    model: nn.Module
    epoch: int
    logits: NDArray[np.float32]
    f1: NDArray[np.float64]
    history: list[dict[str, float]]
    class_weights: NDArray[np.float64]
    without_positives: tuple[str, ...]


def fold_mean(f1: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """F1 of every target over the folds where it is defined, and how many those are (methods CV-1, G-21).

    Parameters
    ----------
    f1 : shape (F, A), float64
        NaN where a fold's test part neither has nor detects the target.

    Returns
    -------
    mean : shape (A,), float64
        NaN where no fold defines it.
    n : shape (A,), int64
    """
    values = np.asarray(f1, np.float64)
    n = (~np.isnan(values)).sum(0)
    total = np.nansum(values, 0)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0), n
