"""Superpixels: the regions that LIME switches on and off (methods 7.4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import quickshift, slic


def slic_segments(picture: NDArray[np.floating], n_segments: int = 30, compactness: float = 20.0) -> NDArray[np.int64]:
    """SLIC superpixels (Achanta et al. 2012) with the settings of the standardised heatmaps.

    Parameters
    ----------
    picture : shape (H, W, C), in [0, 1]
        RGB, or one channel.
    n_segments
        About how many.
    compactness
        Weight of place against colour.

    Returns
    -------
    shape (H, W)
        Numbered from 0 without gaps.
    """
    return numbered(slic(as_rgb(picture), n_segments=n_segments, compactness=compactness, start_label=0))


def quickshift_segments(
    picture: NDArray[np.floating],
    kernel_size: float = 4.0,
    max_dist: float = 200.0,
    ratio: float = 0.2,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Quickshift superpixels (Vedaldi & Soatto 2008) with the settings of the lime package.

    Parameters
    ----------
    picture : shape (H, W, C), in [0, 1]
        RGB, or one channel.
    kernel_size
        Width of the Gaussian of the density, pixels.
    max_dist
        Farthest that a pixel is joined to another, in units of place and colour together.
    ratio
        Weight of colour against place.
    seed
        Of the noise that breaks ties.

    Returns
    -------
    shape (H, W), int64
        Numbered from 0 without gaps.
    """
    return numbered(quickshift(as_rgb(picture), kernel_size=kernel_size, max_dist=max_dist, ratio=ratio, rng=seed))


def as_rgb(picture: NDArray[np.floating]) -> NDArray[np.float64]:
    """A picture with three channels; one is repeated.

    Parameters
    ----------
    picture : shape (H, W, C), floating

    Returns
    -------
    shape (H, W, 3), float64

    Raises
    ------
    ValueError
        If it has neither one channel nor three.
    """
    if picture.ndim != 3 or picture.shape[2] not in (1, 3):
        raise ValueError(f"superpixels need pictures (H, W, 3) or (H, W, 1), got {picture.shape}")
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)), dtype=np.float64)


def numbered(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Labels of any shape renumbered from 0 without gaps, in their order, as int64."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)
