"""From crops to the network's input, and from its logits to probabilities and active targets."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional

from fer_batch.models.card import Head, Preprocessing

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and OpenCV have it


def preprocess(
    images: NDArray[np.uint8] | torch.Tensor, preprocessing: Preprocessing, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Crops as the network takes them.

    Parameters
    ----------
    images : shape (N, H, W, 3), uint8
        RGB crops.
    preprocessing
        Size, colour, mean and standard deviation.
    device
        Where the result lives; bytes travel, floats are made there.

    Returns
    -------
    shape (N, 3, size, size), float32

    Raises
    ------
    ValueError
        If the images are not uint8 RGB.
    """
    tensor = torch.as_tensor(images)
    if tensor.dtype != torch.uint8 or tensor.ndim != 4 or tensor.shape[-1] != 3:
        raise ValueError(f"expected uint8 images (N, H, W, 3), got {tensor.dtype} {tuple(tensor.shape)}")
    x = tensor.to(device).permute(0, 3, 1, 2).to(torch.float32) / 255.0
    if preprocessing.color == "gray":
        x = torch.tensordot(x, x.new_tensor(_LUMINANCE), dims=([1], [0])).unsqueeze(1).expand(-1, 3, -1, -1)
    size = preprocessing.size
    if x.shape[-2:] != (size, size):
        x = functional.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    return ((x - mean) / std).contiguous()


def probabilities(logits: torch.Tensor | ArrayLike, head: Head) -> NDArray[np.float32]:
    """Sigmoid per output (`multilabel`) or softmax over the outputs (`softmax`).

    Parameters
    ----------
    logits : shape (N, n_outputs)

    Returns
    -------
    shape (N, n_outputs), float32, in [0, 1]
    """
    if isinstance(logits, torch.Tensor):
        logits = logits.detach().cpu().numpy()
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
