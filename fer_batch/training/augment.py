"""Augmentation of face crops: where the crop falls, and what light, camera and codec do to it."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray


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
    """A crop as a detector less certain than ours might cut it: margin 0.1 to 0.35, shifted, turned up to 8 degrees."""
    margin, rotation = rng.uniform(0.1, 0.35), rng.uniform(-8, 8)
    return landmark_crop(image, landmarks, size, margin, (rng.normal(0, 0.02), rng.normal(0, 0.02)), rotation)


def recompressed(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image after JPEG at quality 25 to 90: blocks and lost colour, as video codecs leave them too."""
    quality = int(rng.integers(25, 91))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def photometric(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Light, colour, blur, noise and mirroring of a batch.

    Parameters
    ----------
    batch : shape (N, 3, H, W), float in [0, 1]
    generator
        Source of randomness.

    Returns
    -------
    the same shape, in [0, 1]
    """
    n = len(batch)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    flip = torch.rand(n, generator=generator) < 0.5
    out = torch.where(flip[:, None, None, None], batch.flip(-1), batch)
    down, right = (int(torch.randint(-3, 4, (1,), generator=generator)) for _ in range(2))
    out = torch.roll(out, (down, right), (-2, -1))
    out = out.clamp(min=1e-3) ** uniform(0.75, 1.35, n, 1, 1, 1)
    mean = out.mean((2, 3), keepdim=True)
    out = (out - mean) * uniform(0.7, 1.3, n, 1, 1, 1) + mean * uniform(0.75, 1.25, n, 1, 1, 1)
    out = out * uniform(0.9, 1.1, n, 3, 1, 1)
    blurred = torch.nn.functional.avg_pool2d(out, 3, stride=1, padding=1, count_include_pad=False)
    out = torch.lerp(out, blurred, uniform(-0.3, 0.9, n, 1, 1, 1).clamp(min=0))
    out = out + torch.randn(out.shape, generator=generator) * uniform(0.0, 0.03, n, 1, 1, 1)
    return out.clamp(0, 1)
