"""Exchanging what a network should not look at: around the kept part of a crop lies what another crop shows there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fer_batch.training.data import Maps


@dataclass(frozen=True)
class Swap:
    """Which part of every crop is kept, and how often the rest is exchanged.

    Attributes
    ----------
    kept : shape (N, h, w), float32 in [0, 1]
        Of all crops of the collection, before augmentation, at their size or coarser; one that is not finite keeps its
        crop whole.
    share
        Of the crops of a batch, drawn anew in every epoch. At 0 nothing is drawn, and a training is the one without.

    Raises
    ------
    ValueError
        If the share is none.
    """

    kept: Maps
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is from 0 to 1, got {self.share!r}")

    def checked(self, n: int) -> Swap | None:
        """Itself, of `n` crops; None where nothing is exchanged.

        Raises
        ------
        ValueError
            If it is of more crops or fewer.
        """
        if len(self.kept) != n:
            raise ValueError(f"expected what is kept of each of {n} crops, got {len(self.kept)}")
        return self if self.share else None

    def __call__(self, images: torch.Tensor, rows: NDArray[np.int64], generator: torch.Generator) -> torch.Tensor:
        """Crops of a batch, each with the surroundings of another; labels and maps stay those of what is kept.

        Parameters
        ----------
        images : shape (n, 3, H, W), floating
        rows : shape (n,), int64
            Which crops of the collection they are.
        generator
            Source of randomness, on the CPU.

        Returns
        -------
        shape (n, 3, H, W)

        References
        ----------
        Xiao et al. (2021), Noise or signal: the role of image backgrounds in object recognition, ICLR (Mixed-Rand).
        """
        return swapped(images, torch.from_numpy(self.kept[rows]), self.share, generator)


def swapped(images: torch.Tensor, kept: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Images of which some have, outside what is kept, the pixels of another image of the batch.

    Parameters
    ----------
    images : shape (n, C, H, W), floating
    kept : shape (n, h, w), in [0, 1]
        1 where an image stays, at the size of the images or interpolated to it; one that is not finite stays as a
        whole.
    share
        Of the images that are changed, on average.
    generator
        Source of randomness, on the CPU.

    Returns
    -------
    shape (n, C, H, W)
    """
    n = len(images)
    order = torch.randperm(n, generator=generator)
    other = torch.empty_like(order)
    other[order] = order.roll(1)  # nobody is their own neighbour on a circle
    chosen = (torch.rand(n, generator=generator) < share) & torch.isfinite(kept).all(2).all(1)
    weight = torch.where(chosen[:, None, None], kept, 1).to(images)[:, None]
    if weight.shape[2:] != images.shape[2:]:
        weight = functional.interpolate(weight, images.shape[2:], mode="bilinear", align_corners=False)
    return torch.lerp(images[other.to(images.device)], images, weight)
