"""Losses of labels and weights (methods 5, L-1, L-5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn import functional


def positive_weights(labels: torch.Tensor, limit: float = float("inf")) -> torch.Tensor:
    r"""Weight of the positive class of every target, :math:`w_c = N^-_c / N^+_c` over the observed labels (L-1).

    Parameters
    ----------
    labels : shape (N, A)
        1 present, 0 absent, NaN not annotated.
    limit
        No weight is larger; a target without positives gets 1, since there is nothing to weigh.

    Returns
    -------
    shape (A,)
    """
    positive = (labels == 1).sum(0)
    negative = (labels == 0).sum(0)
    weights = negative / positive.clamp(min=1)
    return torch.where((positive > 0) & (negative > 0), weights.clamp(max=limit), torch.ones_like(weights))


def weighted_bce(
    logits: torch.Tensor, labels: torch.Tensor, positive_weight: torch.Tensor | None = None
) -> torch.Tensor:
    r"""Binary cross-entropy over the labels that were observed (L-1).

    .. math:: L = \frac{1}{\sum m} \sum_{i,c} m_{ic}\,[-w_c\,y_{ic} \log p_{ic} - (1-y_{ic}) \log(1-p_{ic})]

    Parameters
    ----------
    logits : shape (N, A)
        p is their sigmoid; the sum is formed from logits, so that large ones do not overflow.
    labels : shape (N, A)
        1, 0, or NaN where a label is missing: it enters neither the sum, nor the count, nor the gradient.
    positive_weight : shape (A,)
        w; 1 where not given.

    Returns
    -------
    scalar
        0 where no label was observed.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if logits.shape != labels.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} must share one shape")
    observed = ~torch.isnan(labels)
    # the mask picks entries: NaN times 0 would be NaN, forward and backward
    z, y = logits[observed], labels[observed].to(logits.dtype)
    weight = None
    if positive_weight is not None:
        weight = positive_weight.to(logits).expand_as(logits)[observed]
    total = functional.binary_cross_entropy_with_logits(z, y, pos_weight=weight, reduction="sum")
    return total / max(int(observed.sum()), 1)


def class_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of one class of many (L-5).

    Parameters
    ----------
    logits : shape (N, C), floating
    labels : shape (N, C)
        One 1 a row.

    Returns
    -------
    scalar, the mean over the samples
    """
    return functional.cross_entropy(logits, labels.argmax(1))


def squared_norm(parameters: Iterable[tuple[str, nn.Parameter]], prefixes: Sequence[str]) -> torch.Tensor:
    """Sum of the squared weights of some layers, without biases (L-5).

    Parameters
    ----------
    parameters
        Names and values, of any shape and dtype.
    prefixes
        The layers are those whose names start with one of them.

    Returns
    -------
    scalar

    Raises
    ------
    ValueError
        If no layer does.
    """
    chosen = [p for name, p in parameters if name.startswith(tuple(prefixes)) and p.ndim > 1]
    if not chosen:
        raise ValueError(f"no weights of the network are named {' or '.join(prefixes)}...; L2 would do nothing")
    return torch.stack([(p**2).sum() for p in chosen]).sum()
