"""How often the outputs of a network are right (methods E-1, E-3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.detection import classification, f1
from fer_batch.models.card import Head


@dataclass(frozen=True)
class Scores:
    """Agreement of logits with labels.

    Attributes
    ----------
    f1 : shape (A,)
        NaN where a target is neither present nor detected.
    accuracy
        Share of samples whose class is right, NaN for a multi-label head.
    """

    f1: NDArray[np.float64]
    accuracy: float = float("nan")

    @property
    def mean(self) -> float:
        """Mean F1 over the targets that define one; NaN for none."""
        known = self.f1[~np.isnan(self.f1)]
        return float(known.mean()) if len(known) else float("nan")

    def summary(self) -> dict[str, float]:
        """The single figures by name."""
        return {"f1": self.mean} | ({} if np.isnan(self.accuracy) else {"accuracy": self.accuracy})


def scores(logits: NDArray[np.floating], labels: NDArray[np.floating], head: Head) -> Scores:
    """How well logits agree with labels (methods E-1).

    Parameters
    ----------
    logits : shape (N, A), floating
    labels : shape (N, A), floating
        1, 0, or NaN where a label is missing.
    head
        `multilabel`: a target is detected from even odds on; `softmax`: the likeliest class.
    """
    if head == "multilabel":
        return Scores(f1(logits >= 0, labels).f1)
    chosen = logits.argmax(1)
    predicted = np.arange(logits.shape[1]) == chosen[:, None]
    accuracy = float((chosen == labels.argmax(1)).mean()) if len(labels) else float("nan")
    return Scores(f1(predicted, labels).f1, accuracy)


def confusion(logits: NDArray[np.floating], labels: NDArray[np.floating]) -> NDArray[np.int64]:
    """Samples by true (row) and predicted (column) class (methods E-3).

    Parameters
    ----------
    logits : shape (n, C)
    labels : shape (n, C)
        1 for the class of a sample. A sample whose row has no 1 does not count.

    Returns
    -------
    shape (C, C), int64
    """
    present = labels == 1
    true = np.where(present.any(axis=1), present.argmax(axis=1), -1)
    return classification(logits.argmax(axis=1), true, logits.shape[1]).confusion
