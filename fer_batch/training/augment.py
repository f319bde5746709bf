"""Augmentation of batches of face crops: where the crop falls, and what light and camera do to it.

An `Augment` of a batch takes images, the maps that go with them (or None) and a generator; what moves pixels moves
maps alike. Numbers are drawn on the CPU and applied where the batch is, so that a seed means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from fer_batch.registry import Registry
from fer_batch.training.cutmix import CutMix

Maps = torch.Tensor | None
Augment = Callable[[torch.Tensor, Maps, torch.Generator], tuple[torch.Tensor, Maps]]
AUGMENTATIONS: Registry[Callable[..., Augment]] = Registry("augmentation")


def mirrored(images: torch.Tensor, maps: Maps, chosen: torch.Tensor) -> tuple[torch.Tensor, Maps]:
    """Images and their maps, left and right exchanged where they are chosen.

    Parameters
    ----------
    images : shape (N, C, H, W), floating
    maps : shape (N, H, W), floating
        Or None.
    chosen : shape (N,), bool

    Returns
    -------
    The same shapes.
    """
    chosen = chosen.to(images.device)
    out = torch.where(chosen[:, None, None, None], images.flip(-1), images)
    return out, None if maps is None else torch.where(chosen[:, None, None], maps.flip(-1), maps)


def moved(
    images: torch.Tensor, maps: Maps, degrees: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, Maps]:
    """Images and their maps, enlarged and turned about the centre, then shifted; black and 0 where nothing was.

    Parameters
    ----------
    images : shape (N, C, H, H)
    maps : shape (N, H, H)
    degrees : shape (N,)
        Clockwise as seen.
    shift : shape (N, 2)
        To the right and down, in shares of the side.
    scale : shape (N,)
        Above 1 enlarges.
    """
    angle = torch.deg2rad(degrees)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    linear = torch.stack([torch.stack([cosine, sine], 1), torch.stack([-sine, cosine], 1)], 1)
    back = -linear @ (2 * shift)[:, :, None]  # the grid says where each output pixel comes from; its side is 2
    matrix = torch.cat([linear, back], 2).to(images)

    def sampled(values: torch.Tensor) -> torch.Tensor:
        grid = functional.affine_grid(matrix.to(values), list(values.shape), align_corners=False)
        return functional.grid_sample(values, grid, align_corners=False)

    return sampled(images), None if maps is None else sampled(maps[:, None])[:, 0]


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


@AUGMENTATIONS.register("none")
def unchanged() -> Augment:
    """Every image as it is."""
    return lambda images, maps, generator: (images, maps)


@AUGMENTATIONS.register("flip")
def flip(share: float = 0.5) -> Augment:
    """Mirror a share of the images (PP-PD)."""

    def augment(images: torch.Tensor, maps: Maps, generator: torch.Generator) -> tuple[torch.Tensor, Maps]:
        return mirrored(images, maps, torch.rand(len(images), generator=generator) < share)

    return augment


@AUGMENTATIONS.register("faces")
def faces(
    rotation: float = 8.0, shift: float = 0.04, scale: float = 0.1, gamma: float = 0.3, contrast: float = 0.3
) -> Augment:
    """Mirror half the images, move them as an uncertain detector would, and change gamma and contrast (PP-SH).

    Parameters
    ----------
    rotation
        Degrees, at most, to either side.
    shift
        Shares of the side, at most, in each direction.
    scale
        0.1 reduces or enlarges by up to a tenth.
    gamma, contrast
        0.3 draws a factor of 0.7 to 1.3.
    """

    def augment(images: torch.Tensor, maps: Maps, generator: torch.Generator) -> tuple[torch.Tensor, Maps]:
        n = len(images)
        images, maps = mirrored(images, maps, torch.rand(n, generator=generator) < 0.5)
        images, maps = moved(
            images,
            maps,
            _uniform(generator, -rotation, rotation, n),
            _uniform(generator, -shift, shift, n, 2),
            _uniform(generator, 1 - scale, 1 + scale, n),
        )
        powers = _uniform(generator, 1 - gamma, 1 + gamma, n, 1, 1, 1).to(images)
        factors = _uniform(generator, 1 - contrast, 1 + contrast, n, 1, 1, 1).to(images)
        images = images.clamp(min=1e-3) ** powers
        mean = images.mean((1, 2, 3), keepdim=True)
        return torch.lerp(mean, images, factors).clamp(0, 1), maps

    return augment


def photometric(batch: torch.Tensor, maps: Maps, generator: torch.Generator) -> tuple[torch.Tensor, Maps]:
    """Light, colour, blur, noise, mirroring and a shift by up to 3 pixels, as the demonstration models were trained.

    Parameters
    ----------
    batch : shape (N, 3, H, W), float in [0, 1]
    maps : shape (N, H, W)
    generator
        Source of randomness.

    Returns
    -------
    the same shapes, images in [0, 1]
    """
    n = len(batch)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return _uniform(generator, low, high, *shape).to(batch)

    out, maps = mirrored(batch, maps, torch.rand(n, generator=generator) < 0.5)
    down, right = (int(torch.randint(-3, 4, (1,), generator=generator)) for _ in range(2))
    out = torch.roll(out, (down, right), (-2, -1))
    maps = None if maps is None else torch.roll(maps, (down, right), (-2, -1))
    out = out.clamp(min=1e-3) ** uniform(0.75, 1.35, n, 1, 1, 1)
    mean = out.mean((2, 3), keepdim=True)
    out = (out - mean) * uniform(0.7, 1.3, n, 1, 1, 1) + mean * uniform(0.75, 1.25, n, 1, 1, 1)
    out = out * uniform(0.9, 1.1, n, 3, 1, 1)
    blurred = functional.avg_pool2d(out, 3, stride=1, padding=1, count_include_pad=False)
    out = torch.lerp(out, blurred, uniform(-0.3, 0.9, n, 1, 1, 1).clamp(min=0))
    out = out + torch.randn(out.shape, generator=generator).to(out) * uniform(0.0, 0.03, n, 1, 1, 1)
    return out.clamp(0, 1), maps


@AUGMENTATIONS.register("photometric")
def strong_light() -> Augment:
    """`photometric`."""
    return photometric


@AUGMENTATIONS.register("cutmix")
def cutmix(first: str = "flip", share: float = 1.0, alpha: float = 1.0, **options: Any) -> CutMix:
    """Cut and paste between the images of a batch, after another augmentation; for classes.

    Parameters
    ----------
    first
        Name of the other.
    share, alpha
        As in `cutmix.CutMix`.
    options
        Of the other.

    Raises
    ------
    ValueError
        If a number is out of range, or there is no such augmentation.
    TypeError
        If the other has no such option.
    """
    if first == "cutmix":
        raise ValueError("cutmix: first is another augmentation, such as flip")
    return CutMix(AUGMENTATIONS[first](**options), share, alpha)
