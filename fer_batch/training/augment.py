"""Augmentation of face crops: where the crop falls, and what light, camera and codec do to it.

An `Augment` of a batch takes images, the maps that go with them (or None) and a generator; what moves pixels moves
maps alike. Numbers are drawn on the CPU and applied where the batch is, so that a seed means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fer_batch.registry import Registry

Maps = torch.Tensor | None
Augment = Callable[[torch.Tensor, Maps, torch.Generator], tuple[torch.Tensor, Maps]]
AUGMENTATIONS: Registry[Callable[..., Augment]] = Registry("augmentation")


def landmark_crop(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating],
    size: int = 112,
    margin: float = 0.2,
    shift: tuple[float, float] = (0.0, 0.0),
    rotation: float = 0.0,
) -> NDArray[np.uint8]:
    """The square around the box of the landmarks, cut as the pipeline cuts it (area means, black outside the frame).

    Parameters
    ----------
    image : shape (H, W, 3)
        RGB.
    landmarks : shape (68, 2), source pixels
    size
        Side of the crop.
    margin
        The square is the longer side of the box times (1 + 2 margin).
    shift
        Of the square's centre, in shares of its side.
    rotation
        Of the picture about the centre, degrees.

    Returns
    -------
    shape (size, size, 3)
    """
    low, high = landmarks.min(0), landmarks.max(0)
    side = float((high - low).max() + 1) * (1 + 2 * margin)
    centre = (low + high) / 2 + np.asarray(shift) * side
    factor = max(1, int(np.ceil(side / size - 1e-9)))
    angle, scale, fine = np.radians(rotation), size * factor / side, size * factor
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, (fine - 1) / 2 - linear @ centre])
    crop = cv2.warpAffine(image, matrix, (fine, fine), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def jittered_crop(
    image: NDArray[np.uint8], landmarks: NDArray[np.floating], size: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A crop as a less certain detector might cut it: margin 0.1 to 0.35, shifted, turned up to 8 degrees.

    Parameters
    ----------
    image : shape (H, W, 3), uint8
        RGB.
    landmarks : shape (68, 2), source pixels
    size
        Side of the crop.
    rng
        Source of randomness.

    Returns
    -------
    shape (size, size, 3), uint8
    """
    margin, rotation = rng.uniform(0.1, 0.35), rng.uniform(-8, 8)
    return landmark_crop(image, landmarks, size, margin, (rng.normal(0, 0.02), rng.normal(0, 0.02)), rotation)


def recompressed(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image after JPEG at quality 25 to 90: blocks and lost colour, as video codecs leave them too.

    Parameters
    ----------
    image : shape (H, W, 3), uint8
    rng
        Source of randomness.

    Returns
    -------
    shape (H, W, 3), uint8
    """
    quality = int(rng.integers(25, 91))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


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
