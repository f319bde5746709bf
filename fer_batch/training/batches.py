"""Batches of crops as a network gets them, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fer_batch.training.augment import Augment
from fer_batch.training.cutmix import CutMix
from fer_batch.training.data import Images, Maps
from fer_batch.training.swapping import Swap


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes
    ----------
    images : shape (n, 3, H, W), in [0, 1]
    labels : shape (n, A)
    maps : shape (n, H, W)
        Where there are any.
    others : shape (n, A)
        Labels of what was pasted into the images; None where nothing was.
    share
        Of the images that `labels` are of.
    """

    images: torch.Tensor
    labels: torch.Tensor
    maps: torch.Tensor | None = None
    others: torch.Tensor | None = None
    share: float = 1.0


def as_images(images: NDArray[np.uint8], device: torch.device | str = "cpu") -> torch.Tensor:
    """Crops as a network's images; bytes travel, floats are made where they are needed.

    Parameters
    ----------
    images : shape (n, H, W, 3), uint8
        RGB.
    device
        Where the result lives.

    Returns
    -------
    shape (n, 3, H, W), float32 in [0, 1]
    """
    return torch.from_numpy(images).to(device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32) / 255


def batches(
    images: Images,
    labels: torch.Tensor,
    maps: Maps | None,
    rows: Iterable[NDArray[np.int64]],
    augment: Augment,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    swap: Swap | None = None,
) -> Iterator[Batch]:
    """Batches of the given rows, augmented, on the device.

    Parameters
    ----------
    images : shape (N, H, W, 3), uint8
        RGB crops.
    labels : shape (N, A), floating
    maps : shape (N, H, W), float32
        Where the network should look; None for none.
    rows
        Rows of each batch.
    augment
        Called with every batch and the generator.
    generator
        Source of randomness.
    device
        Where the batches live.
    swap
        What lies outside the kept part of each crop is exchanged before augmentation; nothing where there is none.
    """
    for chosen in rows:
        own = None if maps is None else torch.from_numpy(maps[chosen]).to(device)
        x, y = as_images(images[chosen], device), labels[chosen].to(device)
        if swap is not None:
            x = swap(x, chosen, generator)
        if isinstance(augment, CutMix):
            mixed = augment.mixed(x, own, y, generator)
            yield Batch(mixed.images, mixed.labels, mixed.maps, mixed.others, mixed.share)
        else:
            x, own = augment(x, own, generator)
            yield Batch(x, y, own)


def order_of(n: int, batch_size: int, generator: torch.Generator) -> list[NDArray[np.int64]]:
    """Rows of each batch of an epoch: all rows shuffled, whole batches only.

    Parameters
    ----------
    n
        Number of rows.
    batch_size
        Rows of a batch.
    generator
        Source of randomness.

    Returns
    -------
    arrays of shape (batch_size,), int64
    """
    shuffled = torch.randperm(n, generator=generator).numpy()
    return [shuffled[start : start + batch_size] for start in range(0, n - batch_size + 1, batch_size)]
