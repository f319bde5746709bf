"""How often detections are right, where the truth is known (methods E-1, E-3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class F1:
    """Agreement of detections with the truth, per target.

    Attributes
    ----------
    f1 : shape (A,)
        NaN where the target is neither present nor detected.
    n : shape (A,)
        Frames whose truth is known.
    true_positives, false_positives, false_negatives, true_negatives : shape (A,)
    """

    f1: NDArray[np.float64]
    n: NDArray[np.int64]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    false_negatives: NDArray[np.int64]
    true_negatives: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """Mean over the targets with a defined F1; NaN for none."""
        return float(self.f1[self.defined].mean()) if self.n_defined else float("nan")

    @property
    def defined(self) -> NDArray[np.bool_]:
        """Targets with a defined F1, shape (A,), bool."""
        return ~np.isnan(self.f1)

    @property
    def n_defined(self) -> int:
        """How many targets the mean is over."""
        return int(self.defined.sum())


def _checked(predicted: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    detected, present = np.asarray(predicted, dtype=bool), np.asarray(truth, dtype=np.float64)
    if detected.shape != present.shape or detected.ndim != 2:
        raise ValueError(f"expected predicted and truth of one shape (n, A), got {detected.shape} and {present.shape}")
    if not np.isin(present[~np.isnan(present)], (0.0, 1.0)).all():
        raise ValueError("expected a truth of 0, 1 or NaN; turn intensities into occurrence first")
    return detected, present


def f1(predicted: ArrayLike, truth: ArrayLike) -> F1:
    r"""Harmonic mean of precision and recall, :math:`2TP / (2TP + FP + FN)`, of every target.

    Parameters
    ----------
    predicted : bool, shape (n, A)
    truth : shape (n, A)
        1 present, 0 absent, NaN not annotated: such entries do not count.

    Raises
    ------
    ValueError
        If the shapes differ, or the truth holds other values.
    """
    detected, present = _checked(predicted, truth)
    yes, no = present == 1, present == 0
    tp, fp = (detected & yes).sum(0), (detected & no).sum(0)
    fn, tn = (~detected & yes).sum(0), (~detected & no).sum(0)
    return F1(f1_score(tp, fp, fn), tp + fp + fn + tn, tp, fp, fn, tn)


def f1_score(true_positives: ArrayLike, false_positives: ArrayLike, false_negatives: ArrayLike) -> NDArray[np.float64]:
    """F1 of counts, elementwise.

    Parameters
    ----------
    true_positives, false_positives, false_negatives : shapes that broadcast, such as (A,)
        Counts of frames.

    Returns
    -------
    the common shape, float64, in [0, 1]
        NaN where all three are 0.

    References
    ----------
    Methods E-1.
    """
    tp, fp, fn = (np.asarray(n, np.int64) for n in (true_positives, false_positives, false_negatives))
    scale = 2 * tp + fp + fn
    return np.divide(2 * tp, scale, out=np.full(scale.shape, np.nan), where=scale > 0)


@dataclass(frozen=True)
class Classification:
    """Agreement of one predicted class per frame with the true one.

    Attributes
    ----------
    confusion : shape (C, C)
        Frames by true (row) and predicted (column) class.
    """

    confusion: NDArray[np.int64]

    @property
    def support(self) -> NDArray[np.int64]:
        """Counts of the frames of each true class, shape (C,)."""
        return self.confusion.sum(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of frames whose class is right; NaN for none."""
        n = self.confusion.sum()
        return float(np.trace(self.confusion) / n) if n else float("nan")

    @property
    def row_normalised(self) -> NDArray[np.float64]:
        """Confusion as shares of each true class, shape (C, C); NaN in the row of a class that does not occur."""
        return _ratio(self.confusion, self.support[:, None])

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of right frames of those predicted, by class, shape (C,); NaN where it was never predicted."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of right frames of those that show it, by class, shape (C,); NaN where it does not occur."""
        return _ratio(np.diag(self.confusion), self.support)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of both shares, by class, shape (C,); NaN where it neither occurs nor was predicted."""
        return _ratio(2 * np.diag(self.confusion), self.confusion.sum(axis=0) + self.support)

    def weighted(self, score: NDArray[np.float64]) -> float:
        """Mean of a score per class weighted by support.

        Parameters
        ----------
        score : shape (C,)
            In the unit of the mean, such as a share; a class without a defined score (NaN) counts as 0.
        """
        n = self.support.sum()
        return float((np.nan_to_num(score) * self.support).sum() / n) if n else float("nan")


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def classification(predicted: ArrayLike, truth: ArrayLike, n_classes: int) -> Classification:
    """Confusion of class numbers.

    Parameters
    ----------
    predicted, truth : int, shape (n,)
        0 to `n_classes` - 1; a negative truth is unknown and does not count.
    n_classes
        C, the number of classes.

    Raises
    ------
    ValueError
        If the shapes differ, or a number is not that of a class.
    """
    guessed, true = np.asarray(predicted, dtype=np.int64), np.asarray(truth, dtype=np.int64)
    if guessed.shape != true.shape or guessed.ndim != 1:
        raise ValueError(f"expected predicted and truth of one shape (n,), got {guessed.shape} and {true.shape}")
    guessed, true = guessed[true >= 0], true[true >= 0]
    if len(true) and (max(true.max(), guessed.max()) >= n_classes or guessed.min() < 0):
        raise ValueError(f"expected class numbers from 0 to {n_classes - 1}")
    counts = np.bincount(true * n_classes + guessed, minlength=n_classes**2)
    return Classification(counts.reshape(n_classes, n_classes))
