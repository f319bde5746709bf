"""Two views of an explanation by superpixels (methods X-11): its best segments alone, and both signs on the face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fer_batch.visualize.heatmap import faded, resize_face

MAX_SHOWN = 3  # positive segments of the first view
_POSITIVE, _NEGATIVE = (0.0, 0.55, 0.2), (0.84, 0.12, 0.1)
_HIDDEN = 205  # the grey of what the first view leaves out
_SAME = 1e-6  # of the largest weight: less than one step of a stored map, more than what resampling adds
_SPECK = 0.25  # of the largest piece of equal weight: a smaller piece is a scattered part of that segment
_FINE = 64  # pixels a side from which the thinnest part of a superpixel may be left to its neighbours
_WHOLE = np.ones((3, 3), bool)
_UNDEFINED = 204


def segments_of(weights: NDArray[np.floating]) -> NDArray[np.int64]:
    """Superpixels with a weight, read back from a map in which every pixel has the weight of its superpixel.

    A level is a weight that fills a block of 3 x 3 somewhere (2 x 2 in a coarse map); other values, which resampling
    leaves along borders, take the level of the nearest pixel that has one. A level falls into its connected pieces, of
    which those smaller than a quarter of the largest belong to it: superpixels may be scattered. Two touching
    superpixels whose stored weights are equal count as one.

    Parameters
    ----------
    weights : shape (h, w), floating
        Piecewise constant, of any grid.

    Returns
    -------
    shape (h, w), int64
        0 where the weight is zero or undefined; segments from 1, largest magnitude first, then larger area.
    """
    levels = _levels(np.asarray(weights, np.float64))
    pieces = [piece for value in np.unique(levels[levels != 0]) for piece in _pieces(levels == value)]
    pieces.sort(key=lambda piece: (-abs(levels[piece][0]), -int(piece.sum()), int(piece.argmax())))
    labels = np.zeros(levels.shape, np.int64)
    for number, piece in enumerate(pieces, 1):
        labels[piece] = number
    return labels


def _levels(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The map with one value per level; zero where it is not finite."""
    weights = np.where(np.isfinite(weights), weights, 0.0)
    values, inverse = np.unique(weights, return_inverse=True)
    apart = np.diff(values) > _SAME * np.abs(values).max(initial=0.0)
    group = np.concatenate([[0], np.cumsum(apart)])
    merged = np.array([_middle(values[group == number]) for number in range(group[-1] + 1)])
    ranks = group[inverse].reshape(weights.shape)
    block = 3 if min(ranks.shape) >= _FINE else 2
    high, low = (
        extreme(ranks, block, mode="constant", cval=-1) for extreme in (ndimage.maximum_filter, ndimage.minimum_filter)
    )
    inside = high == low
    known = np.isin(ranks, np.unique(ranks[inside]))
    if not known.any():
        return merged[ranks]
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return merged[ranks[tuple(nearest)]]


def _middle(values: NDArray[np.float64]) -> float:
    return 0.0 if (values == 0).any() else float(np.median(values))


def _pieces(level: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    labels, n = ndimage.label(level, _WHOLE)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    large = np.flatnonzero(areas >= _SPECK * areas.max()) + 1
    found = [labels == number for number in large]
    found[int(areas[large - 1].argmax())] |= level & ~np.isin(labels, large)
    return found


def best_segments(
    face: NDArray[np.uint8], weights: NDArray[np.floating], n_shown: int = MAX_SHOWN
) -> NDArray[np.uint8]:
    """The face where its heaviest positive segments are, plain grey elsewhere.

    Parameters
    ----------
    face : shape (H, W) or (H, W, 3), uint8
    weights : shape (h, w)
        As in `segments_of`.
    n_shown
        Segments at most.

    Returns
    -------
    shape (H, W, 3), uint8, RGB

    References
    ----------
    Methods X-11, first view.
    """
    height, width = face.shape[:2]
    labels = segments_of(weights)
    positive = [number for number in range(1, labels.max() + 1) if np.median(weights[labels == number]) > 0]
    shown = _resized(np.isin(labels, positive[:n_shown]), height, width)
    return np.where(shown[..., None], resize_face(face, height, width), np.uint8(_HIDDEN))


def signed_segments(face: NDArray[np.uint8], weights: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Positive segments green and negative ones red with stripes, the heavier the stronger, over a greyed face.

    Parameters
    ----------
    face : shape (H, W) or (H, W, 3), uint8
    weights : shape (h, w)
        As in `segments_of`.

    Returns
    -------
    shape (H, W, 3), uint8, RGB
        Plain grey where the map is undefined.

    References
    ----------
    Methods X-11, second view. The stripes tell the signs apart for who does not see the colours.
    """
    height, width = face.shape[:2]
    if not np.isfinite(weights).all():
        return np.full((height, width, 3), _UNDEFINED, np.uint8)
    values = _by_row_and_column(_levels(np.asarray(weights, np.float64)), height, width)
    strength = np.abs(values) / max(np.abs(values).max(), np.finfo(np.float64).tiny)
    opacity = np.where(values == 0, 0.0, 0.2 + 0.4 * strength)
    rows, columns = np.indices(values.shape)
    stripe = max(2, min(height, width) // 40)
    opacity = np.where((values < 0) & ((rows + columns) // stripe % 3 == 0), opacity * 0.25, opacity)[..., None]
    ink = 255 * np.where((values > 0)[..., None], _POSITIVE, _NEGATIVE)
    base = faded(resize_face(face, height, width), 0.75).astype(np.float64)
    return np.round(base * (1 - opacity) + ink * opacity).astype(np.uint8)


def _resized(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    return _by_row_and_column(mask.astype(np.float64), height, width) > 0


def _by_row_and_column(values: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Nearest neighbour, which makes no new value."""
    rows = (np.arange(height) + 0.5) * values.shape[0] // height
    columns = (np.arange(width) + 0.5) * values.shape[1] // width
    return values[np.ix_(rows.astype(int), columns.astype(int))]
