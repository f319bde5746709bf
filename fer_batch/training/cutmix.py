"""CutMix: a box of every image comes from another image of the batch, with its share of the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from fer_batch.training.augment import Augment, Maps


@dataclass(frozen=True)
class Mixture:
    """A batch whose images are of two samples each.

    Attributes
    ----------
    images : shape (N, C, H, W)
    maps : shape (N, H, W)
        Or None.
    labels, others : shape (N, A)
        Of the sample that has the larger part of the image, and of the other.
    share
        Of the image that the former has, at least 1/2.
    """

    images: torch.Tensor
    maps: Maps
    labels: torch.Tensor
    others: torch.Tensor
    share: float


@dataclass(frozen=True)
class CutMix:
    """An augmentation that mixes labels; called like any other it does what comes before alone.

    What is judged is never mixed: a validation part that is augmented (`augment_validation`) gets `first`.

    Attributes
    ----------
    first
        What is done to every image before.
    share
        Of the batches that are mixed.
    alpha
        Of the Beta distribution (alpha, alpha) that the part of the image is drawn from.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Yun et al. (2019), CutMix, ICCV, Eq. 1 and 2; the map of where to look is cut and pasted with its image, as in the
    released code of Belharbi et al. (2024) (methods AM-7).
    """

    first: Augment
    share: float = 1.0
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or not self.alpha > 0:
            raise ValueError(f"cutmix: share is from 0 to 1 and alpha above 0, got {self.share!r} and {self.alpha!r}")

    def __call__(self, images: torch.Tensor, maps: Maps, generator: torch.Generator) -> tuple[torch.Tensor, Maps]:
        """Images and maps after `first`."""
        return self.first(images, maps, generator)

    def mixed(self, images: torch.Tensor, maps: Maps, labels: torch.Tensor, generator: torch.Generator) -> Mixture:
        """A training batch after `first`, cut and pasted.

        Parameters
        ----------
        images : shape (N, C, H, W), floating
        maps : shape (N, H, W), floating
            Or None.
        labels : shape (N, A)
        generator
            Source of randomness, on the CPU.
        """
        images, maps = self.first(images, maps, generator)
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        order = torch.randperm(len(images), generator=generator)
        down, right = cut_box(rng, self.alpha, (images.shape[2], images.shape[3]))
        if rng.random() >= self.share:
            return Mixture(images, maps, labels, labels, 1.0)
        kept = 1 - (down.stop - down.start) * (right.stop - right.start) / (images.shape[2] * images.shape[3])
        parts = (labels, labels[order.to(labels.device)])
        return Mixture(
            pasted(images, order, down, right),
            None if maps is None else pasted(maps, order, down, right),
            *(parts if kept >= 0.5 else parts[::-1]),
            max(kept, 1 - kept),
        )


def cut_box(rng: np.random.Generator, alpha: float, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a box of the image's proportions about a uniform centre, cut off at the border.

    Parameters
    ----------
    rng
        Source of randomness.
    alpha
        Of the Beta distribution of the part of the image that is kept.
    size
        Height and width in pixels.
    """
    side = float(np.sqrt(1 - rng.beta(alpha, alpha)))
    found = []
    for length in size:
        half, centre = int(length * side) // 2, int(rng.integers(length))
        found.append(slice(max(centre - half, 0), min(centre + half, length)))
    return found[0], found[1]


def pasted(values: torch.Tensor, order: torch.Tensor, down: slice, right: slice) -> torch.Tensor:
    """Images or maps (N, ..., H, W) with a box from those in another order (N,); the same shape and dtype."""
    out = values.clone()
    out[..., down, right] = values[order.to(values.device)][..., down, right]
    return out
