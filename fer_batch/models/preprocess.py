"""From crops to the network's input."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fer_batch.models.card import Preprocessing

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
    if isinstance(images, np.ndarray):
        images = np.require(images, requirements=("C", "W"))  # shared memory is read-only, flipped views have no tensor
    tensor = torch.as_tensor(images)
    if tensor.dtype != torch.uint8 or tensor.ndim != 4 or tensor.shape[-1] != 3:
        raise ValueError(f"expected uint8 images (N, H, W, 3), got {tensor.dtype} {tuple(tensor.shape)}")
    return normalised(tensor.to(device).permute(0, 3, 1, 2).to(torch.float32) / 255.0, preprocessing)


def normalised(x: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Images as the network takes them: `preprocess` without the bytes.

    Parameters
    ----------
    x : shape (N, 3, H, W), floating, in [0, 1]
    preprocessing
        Size, colour, mean and standard deviation.

    Returns
    -------
    shape (N, 3, size, size), dtype of x
    """
    if preprocessing.color == "gray":
        x = torch.tensordot(x, x.new_tensor(_LUMINANCE), dims=([1], [0])).unsqueeze(1).expand(-1, 3, -1, -1)
    elif preprocessing.color == "bgr":
        x = x.flip(1)
    size = preprocessing.size
    if x.shape[-2:] != (size, size):
        x = functional.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    return ((x - mean) / std).contiguous()
