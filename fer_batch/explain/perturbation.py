"""Faithfulness by perturbation: how the score of a target falls while parts of the image are hidden."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fer_batch.explain.hiding import Array, Perturbation, Pictures, scores_of_sets
from fer_batch.explain.region_order import (
    moved_masks,
    pixel_steps,
    random_ranks,
    region_relevance,
    removal_ranks,
    removed_sets,
)
from fer_batch.explain.targets import positive_int


@dataclass(frozen=True)
class FlippingCurves:
    """Score of an image's target while its regions are hidden one after another.

    Attributes
    ----------
    scores : shape (M, N, K + 1), float64
        In the order of each method's relevance; NaN where a map is not finite or the same everywhere.
    random : shape (R, N, K + 1), float64
        In random orders.
    hidden : shape (M, N, K + 1), float64
        Share of the pixels in regions that is hidden at every point of `scores`.
    random_hidden : shape (R, N, K + 1), float64
        The same of `random`.
    """

    scores: NDArray[np.float64]
    random: NDArray[np.float64]
    hidden: NDArray[np.float64]
    random_hidden: NDArray[np.float64]


@dataclass(frozen=True)
class PixelCurves:
    """Score of an image's target while pixels are taken away or brought in.

    Attributes
    ----------
    deletion : shape (M, N, K + 1), float64
        The most relevant pixels are hidden first; NaN where a map is not finite or the same everywhere.
    insertion : shape (M, N, K + 1), float64
        The most relevant pixels are shown first, from a blurred image on.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]


@dataclass(frozen=True)
class RegionDrops:
    """Fall of a target's score when one region is hidden.

    Attributes
    ----------
    inside : shape (N,), float64
        Of the region; NaN where it is empty.
    elsewhere : shape (R, N), float64
        Of the region moved elsewhere; NaN where there is no room for it.
    """

    inside: NDArray[np.float64]
    elsewhere: NDArray[np.float64]


def flipping_curves(
    model: nn.Module,
    images: Array,
    targets: ArrayLike,
    maps: Array,
    regions: NDArray[np.integer],
    options: Perturbation | None = None,
    *,
    n_steps: int | None = None,
    n_random: int = 10,
    reduce: str = "mean",
    seed: int = 0,
) -> FlippingCurves:
    """Pixel flipping by regions under several methods, beside random orders.

    Parameters
    ----------
    model
        Returns logits [N, n_outputs]; in evaluation mode, on any device.
    images : shape (N, C, H, W), float32
        As the network takes them.
    targets : shape (N,), integers
        Output of each image.
    maps : shape (M, N, H, W), floating
        Of M methods.
    regions : shape (N, H, W), integers
        Region of each pixel; -1 is never hidden.
    options
        How regions are hidden.
    n_steps
        Steps K from the whole image to all regions hidden; None for one region a step (of the image with most).
    n_random
        Random orders R, the same for all methods.
    reduce
        Regions are ranked by the `mean` or the `sum` of their relevance.
    seed
        Of the random orders, and of the order of regions with the same relevance.

    Returns
    -------
    FlippingCurves

    Raises
    ------
    ValueError
        If shapes do not fit, or a target is no output of the network.

    References
    ----------
    Samek et al. (2017), IEEE TNNLS 28(11). Bach et al. (2015), PLoS ONE 10(7).
    """
    target = _checked(images, targets, maps, regions)
    n_regions = int(regions.max()) + 1
    if n_regions < 1:
        raise ValueError("expected at least one region, every label is -1")
    pixels = np.stack([np.bincount(one[one >= 0], minlength=n_regions) for one in regions])
    present = pixels > 0
    ranks = removal_ranks(region_relevance(maps, regions, n_regions, reduce), seed)
    ranks = np.concatenate([ranks, random_ranks(present, n_random, seed)])
    removed = removed_sets(ranks, present, n_steps or n_regions)
    scores = scores_of_sets(model, images, target, regions, removed, options or Perturbation())
    scores[: len(maps)][~_defined(maps)] = np.nan
    hidden = np.einsum("onks,ns->onk", removed, pixels) / np.maximum(pixels.sum(1), 1)[:, None]
    m = len(maps)
    return FlippingCurves(scores[:m], scores[m:], hidden[:m], hidden[m:])


def pixel_curves(
    model: nn.Module,
    images: Array,
    targets: ArrayLike,
    maps: Array,
    options: Perturbation | None = None,
    *,
    n_pixels: int = 224,
    start: str | Array = "blur",
) -> PixelCurves:
    """Deletion and insertion by pixels under several methods.

    Parameters
    ----------
    model, images, targets, options
        As in `flipping_curves`.
    maps : shape (M, N, H, W), floating
        Of M methods.
    n_pixels
        Hidden or shown in one step.
    start
        What insertion starts from, as `Perturbation.hide`.

    Returns
    -------
    PixelCurves

    Raises
    ------
    ValueError
        If shapes do not fit, or a target is no output of the network.

    References
    ----------
    Petsiuk, Das & Saenko (2018), RISE, BMVC, section 4.
    """
    target = _checked(images, targets, maps)
    positive_int("n_pixels", n_pixels)
    hide = options or Perturbation()
    show = replace(hide, hide=start)
    curves = []
    for own in maps:
        groups = pixel_steps(np.nan_to_num(own), n_pixels)
        n_groups = int(groups.max()) + 1
        removed = np.tri(n_groups + 1, n_groups, -1, dtype=bool)  # row k: the first k groups
        both = [
            scores_of_sets(model, images, target, groups, np.broadcast_to(sets, (1, len(images), *sets.shape)), how)
            for sets, how in ((removed, hide), (~removed, show))
        ]
        curves.append(np.concatenate(both))
    deletion, insertion = np.array(curves).reshape(len(maps), 2, len(images), -1).swapaxes(0, 1)
    for scores in (deletion, insertion):
        scores[~_defined(maps)] = np.nan
    return PixelCurves(deletion, insertion)


def region_drops(
    model: nn.Module,
    images: Array,
    targets: ArrayLike,
    masks: NDArray[np.bool_],
    options: Perturbation | None = None,
    *,
    n_elsewhere: int = 10,
    within: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> RegionDrops:
    """What hiding the region of a target costs its score, beside hiding as much elsewhere.

    Parameters
    ----------
    model, images, targets, options
        As in `flipping_curves`.
    masks : shape (N, H, W), bool
        Region of each image's target.
    n_elsewhere
        Places R that the region is moved to: same shape, same area, nothing in common with the region.
    within : shape (N, H, W), bool, optional
        Where the moved region may lie, such as the face; the whole image if not given.
    seed
        Of the places.

    Returns
    -------
    RegionDrops

    Raises
    ------
    ValueError
        If shapes do not fit, or a target is no output of the network.
    """
    target = _checked(images, targets, regions=masks)
    drops = np.full((1 + n_elsewhere, len(images)), np.nan)
    for i, mask in enumerate(masks):
        if not mask.any():
            continue
        moved = moved_masks(mask, n_elsewhere, (seed, i), None if within is None else within[i])
        hidden = np.concatenate([np.zeros((1, *mask.shape), bool), mask[None], moved])
        pictures = Pictures(model, images[i : i + 1], target[i : i + 1], options or Perturbation(), i)
        scores = pictures.scores_of_masks(np.zeros(len(hidden), np.int64), hidden)
        drops[: len(hidden) - 1, i] = scores[0] - scores[1:]
    return RegionDrops(drops[0], drops[1:])


def _checked(
    images: Array, targets: ArrayLike, maps: Array | None = None, regions: NDArray[np.generic] | None = None
) -> NDArray[np.int64]:
    """The targets, once all shapes fit."""
    target = np.asarray(targets)
    if not len(images):
        raise ValueError("expected at least one image")
    if images.ndim != 4 or target.shape != (len(images),) or target.dtype.kind not in "iu" or (target < 0).any():
        raise ValueError(
            f"expected images (N, C, H, W) and the output of each, got {images.shape} and {target.dtype} {target.shape}"
        )
    shape = (len(images), *images.shape[2:])
    if maps is not None and maps.shape[1:] != shape:
        raise ValueError(
            f"expected maps (M, {', '.join(map(str, shape))}) as the images, got {maps.shape}; bring smaller ones to "
            "that size first (option upsample of the CAM methods)"
        )
    if regions is not None and regions.shape != shape:
        raise ValueError(f"expected regions {shape} as the images, got {regions.shape}")
    return target.astype(np.int64)


def _defined(maps: Array) -> NDArray[np.bool_]:
    """Whether a map ranks anything, shape (M, N)."""
    flat = maps.reshape(*maps.shape[:2], -1)
    return np.isfinite(flat).all(-1) & (flat.min(-1) < flat.max(-1))
