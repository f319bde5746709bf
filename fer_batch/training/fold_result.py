"""What came of the training of a fold, and means over folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_batch.models.card import Head, Preprocessing
from fer_batch.training.metrics import scores
from fer_batch.training.subjects import Fold


class Running:
    """Mean loss and accuracy of the batches of an epoch, while the network learns from them.

    Parameters
    ----------
    head
        Of the network; Action Units have no accuracy.
    """

    def __init__(self, head: Head) -> None:
        self._head, self._n = head, 0
        self._loss = self._right = 0.0

    def add(self, logits: torch.Tensor, labels: torch.Tensor, loss: float) -> None:
        """Count one more batch; batches are of one size.

        Parameters
        ----------
        logits, labels : shape (n, A), floating
            What the network answered, and a 1 at the class of each sample.
        loss
            Mean over the batch.
        """
        self._n += 1
        self._loss += loss
        if self._head == "softmax":
            self._right += scores(logits.float().cpu().numpy(), labels.cpu().numpy(), "softmax").accuracy

    def summary(self) -> dict[str, float]:
        """`loss`, and `accuracy` of classes: means over the batches."""
        found = {"loss": self._loss / self._n}
        return found | ({"accuracy": self._right / self._n} if self._head == "softmax" else {})


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
    loss
        On the test part, without what is added to it in training (L2, a second loss).
    preprocessing
        What the network was trained with, in numbers.
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
    loss: float
    preprocessing: Preprocessing
    f1: NDArray[np.float64]
    history: list[dict[str, float]]
    class_weights: NDArray[np.float64]
    without_positives: tuple[str, ...]
