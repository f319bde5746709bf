"""From logits to probabilities and active targets; free of torch, because phase 2 needs no more."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.models.card import Head


def probabilities(logits: ArrayLike, head: Head) -> NDArray[np.float32]:
    """Sigmoid per output (`multilabel`) or softmax over the outputs (`softmax`).

    Parameters
    ----------
    logits : shape (N, n_outputs)

    Returns
    -------
    shape (N, n_outputs), float32, in [0, 1]
    """
    z = np.asarray(logits, dtype=np.float64)
    if head == "softmax":
        e = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
        return (e / e.sum(axis=1, keepdims=True)).astype(np.float32)
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0 / (1.0 + e), e / (1.0 + e)).astype(np.float32)


def active(probability: NDArray[np.float32], head: Head, threshold: float = 0.5) -> NDArray[np.bool_]:
    """Which targets are active: those that reach the threshold, or the one likeliest class.

    Parameters
    ----------
    probability : shape (N, n_outputs), float32
        As stored; the comparison uses this very number, so that a query on the tables finds the same targets.
    threshold
        Ignored for a softmax head, whose argmax is active (the first of equals).

    Returns
    -------
    shape (N, n_outputs)
    """
    if head == "softmax":
        return np.arange(probability.shape[1]) == probability.argmax(axis=1)[:, None]
    return probability >= np.float32(threshold)
