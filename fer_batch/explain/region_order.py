"""Regions of an image in the order of their relevance, and regions elsewhere: numpy only.

Regions are numbers in a label image, -1 where a pixel is in none: superpixels (`segments`), squares, landmark regions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate

from fer_batch.types import InputError

REDUCTIONS = ("mean", "sum")


def grid_segments(shape: tuple[int, int], side: int) -> NDArray[np.int64]:
    """Squares as regions; those at the right and lower edge are what is left.

    Parameters
    ----------
    shape
        Height and width, pixels.
    side
        Of a square, pixels.

    Returns
    -------
    shape (H, W), int64
        Numbered row by row.
    """
    rows, columns = (np.arange(n) // side for n in shape)
    return rows[:, None] * (columns[-1] + 1) + columns


def pixel_steps(maps: NDArray[np.floating], n_pixels: int) -> NDArray[np.int64]:
    """Groups of pixels as regions, the most relevant group first: deletion by pixels.

    Parameters
    ----------
    maps : shape (N, H, W), floating, any unit
        Ties are in reading order.
    n_pixels
        In a group; the last has what is left.

    Returns
    -------
    shape (N, H, W), int64
        Number of the group, 0 the most relevant.
    """
    rows = maps.reshape(len(maps), -1)
    groups = np.empty(rows.shape, np.int64)
    np.put_along_axis(groups, np.argsort(-rows, axis=1, kind="stable"), np.arange(rows.shape[1]) // n_pixels, 1)
    return groups.reshape(maps.shape)


def region_relevance(
    maps: NDArray[np.floating], labels: NDArray[np.integer], n_regions: int, reduce: str = "mean"
) -> NDArray[np.float64]:
    """Relevance of every region of every image under several maps.

    Parameters
    ----------
    maps : shape (M, N, H, W), floating
        Of M methods.
    labels : shape (N, H, W), integers
        -1 in no region.
    n_regions
        The S.
    reduce
        `mean` or `sum` over a region's pixels.

    Returns
    -------
    shape (M, N, S), in the unit of the maps
        NaN for a region that the image does not have.

    Raises
    ------
    InputError
        If `reduce` is neither.
    """
    if reduce not in REDUCTIONS:
        raise InputError(f"reduce {reduce!r}: expected {' or '.join(REDUCTIONS)}")
    m, n = maps.shape[:2]
    found = np.full((m, n, n_regions), np.nan)
    for i in range(n):
        inside = labels[i] >= 0
        at = labels[i][inside]
        count = np.bincount(at, minlength=n_regions)
        for k in range(m):
            total = np.bincount(at, maps[k, i][inside].astype(np.float64), n_regions)
            value = total / np.maximum(count, 1) if reduce == "mean" else total
            found[k, i] = np.where(count > 0, value, np.nan)
    return found


def removal_ranks(relevance: NDArray[np.floating], seed: int = 0) -> NDArray[np.int64]:
    """When each region goes: 0 first, the most relevant.

    Parameters
    ----------
    relevance : shape (..., N, S), floating
        NaN for a region that the image does not have: it comes last.
    seed
        Of the order of ties, which else would be that of their numbers, mostly from top to bottom; the same for every
        method.

    Returns
    -------
    shape (..., N, S), int64
        A permutation of 0 to S - 1 in each row.
    """
    tie = np.random.default_rng(seed).random(relevance.shape[-2:])
    keys = np.where(np.isnan(relevance), np.inf, -relevance)
    order = np.lexsort((np.broadcast_to(tie, keys.shape), keys), axis=-1)
    ranks = np.empty(order.shape, np.int64)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), -1)
    return ranks


def random_ranks(present: NDArray[np.bool_], n_orders: int, seed: int = 0) -> NDArray[np.int64]:
    """`removal_ranks` of regions in random order.

    Parameters
    ----------
    present : shape (N, S), bool
        Which regions each image has; the others come last.
    n_orders
        The R.
    seed
        Of the orders.

    Returns
    -------
    shape (R, N, S), int64
    """
    draw = np.random.default_rng(seed).random((n_orders, *present.shape))
    return removal_ranks(np.where(present, draw, np.nan), seed)


def removed_sets(ranks: NDArray[np.int64], present: NDArray[np.bool_], n_steps: int) -> NDArray[np.bool_]:
    """Which regions are gone after each step.

    Parameters
    ----------
    ranks : shape (O, N, S), int64
        Of `removal_ranks`.
    present : shape (N, S), bool
        Which regions each image has.
    n_steps
        The K: after step k, k / K of an image's regions are gone, rounded.

    Returns
    -------
    shape (O, N, K + 1, S), bool
        Nothing at first, all that the image has at last.
    """
    steps = np.arange(n_steps + 1)
    gone = np.floor(present.sum(1)[:, None] * steps / n_steps + 0.5)
    return ranks[:, :, None, :] < gone[None, :, :, None]


def moved_masks(
    mask: NDArray[np.bool_], n: int, seed: int | Sequence[int] = 0, within: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """A region moved elsewhere: same shape and area, no pixel in common with where it was.

    Parameters
    ----------
    mask : shape (H, W), bool
    n
        How many places; all different where there are as many.
    seed
        Of the places.
    within : shape (H, W), bool, optional
        Where it may lie (the face); the whole image if not given.

    Returns
    -------
    shape (n, H, W), bool
        Of shape (0, H, W) where the region is empty, or has no room elsewhere.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros((0, *mask.shape), bool)
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    taken = mask if within is None else mask | ~within
    overlap = correlate(taken.astype(np.float64), crop.astype(np.float64), "valid", "fft")
    places = np.argwhere(overlap < 0.5)  # counts of pixels, up to the rounding of the transform
    if not len(places):
        return np.zeros((0, *mask.shape), bool)
    rng = np.random.default_rng(seed)
    moved = np.zeros((n, *mask.shape), bool)
    for one, (y, x) in zip(moved, places[rng.choice(len(places), n, replace=len(places) < n)], strict=True):
        one[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return moved
