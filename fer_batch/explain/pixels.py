"""Between a network's input and the picture it was made from: pixel = input * std + mean, in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fer_batch.types import InputError

Channels = float | Sequence[float]


class PixelScale:
    """The normalisation that a job's `model.preprocessing` names; the defaults leave pixels as they are.

    Parameters
    ----------
    mean, std
        One number, or one per channel.

    Raises
    ------
    InputError
        If they are not finite numbers, or a std is not positive.
    """

    def __init__(self, mean: Channels = 0.0, std: Channels = 1.0) -> None:
        try:
            self.mean, self.std = (np.atleast_1d(np.asarray(v, np.float64)) for v in (mean, std))
        except (TypeError, ValueError):
            raise InputError("explain.options.mean and std: expected one number, or one per channel") from None
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise InputError(f"explain.options.mean {mean} and std {std}: expected finite numbers, std above 0")

    def encoded(self, pixel: Channels, like: torch.Tensor) -> torch.Tensor:
        """Network input of one colour.

        Parameters
        ----------
        pixel
            One number in [0, 1], or one per channel.
        like : shape (..., C, H, W), floating
            Images whose channels, dtype and device it gets.

        Returns
        -------
        shape (C, 1, 1)

        Raises
        ------
        InputError
            If the number of channels is another one.
        """
        value = (np.atleast_1d(np.asarray(pixel, np.float64)) - self.mean) / self.std
        channels = like.shape[-3]
        if value.shape not in ((1,), (channels,)):
            raise InputError(f"explain.options.mean and std have {value.size} channels, the images {channels}")
        return torch.as_tensor(np.broadcast_to(value, channels).copy(), dtype=like.dtype, device=like.device)[
            :, None, None
        ]

    def pixels(self, image: torch.Tensor) -> np.ndarray:
        """Picture of one network input.

        Parameters
        ----------
        image : shape (C, H, W), floating

        Returns
        -------
        shape (H, W, C), float64 in [0, 1]

        Raises
        ------
        ValueError
            If it is not within [0, 1]: the options are not those of the network's preprocessing.
        """
        self.encoded(0.0, image)  # the number of channels
        picture = image.detach().double().cpu().numpy().transpose(1, 2, 0) * self.std + self.mean
        low, high = float(picture.min()), float(picture.max())
        if low < -0.01 or high > 1.01:
            raise ValueError(
                f"the image has pixels from {low:.3g} to {high:.3g} instead of 0 to 1; set explain.options.mean and "
                "std to those of model.preprocessing"
            )
        return np.clip(picture, 0.0, 1.0)
