"""Heatmaps as binary maps, and how well those overlap with a mask (methods E-6, E-7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu


def stretched(heatmap: NDArray[np.floating]) -> NDArray[np.uint8]:
    r"""The map as 8-bit grey: :math:`\lfloor 255 (H - \min H) / (\max H - \min H) \rfloor` (methods H-4).

    Parameters
    ----------
    heatmap : any shape, floating
        One map, in any unit.

    Returns
    -------
    the same shape, uint8
        A constant map is 0 throughout.

    Raises
    ------
    ValueError
        If a value is not finite: there is no grey for it.
    """
    values = np.asarray(heatmap, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"expected finite values, got {np.count_nonzero(~np.isfinite(values))} that are not")
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    return (255 * ((values - low) / (high - low))).astype(np.uint8)


def otsu_threshold(grey: NDArray[np.uint8]) -> int:
    """The grey value that divides an 8-bit map into two classes of least variance within; what is above is foreground.

    Parameters
    ----------
    grey : any shape, uint8
        One map. Of equally good thresholds the lowest is taken; a constant map gives its value, so no foreground.

    Raises
    ------
    ValueError
        If the map is not of 8 bits.

    References
    ----------
    Otsu (1979), IEEE Trans. Systems, Man, and Cybernetics 9.
    """
    if grey.dtype != np.uint8:
        raise ValueError(f"expected an 8-bit map, got {grey.dtype}; see `stretched`")
    return int(threshold_otsu(grey)) if grey.size else 0


def foreground(heatmap: NDArray[np.floating] | NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a map is above its Otsu threshold; nowhere in a constant map (methods E-7).

    Parameters
    ----------
    heatmap : any shape
        One map. An 8-bit one is taken as it is, any other is stretched to 8 bits first.

    Returns
    -------
    the same shape, bool
    """
    is_grey = heatmap.dtype == np.uint8
    grey = np.asarray(heatmap, np.uint8) if is_grey else stretched(np.asarray(heatmap, np.float64))
    return grey > otsu_threshold(grey)


@dataclass(frozen=True)
class Overlap:
    """Agreement of binary maps with masks, each shape (N,).

    Attributes
    ----------
    iou
        Intersection over union (Gaya-Morey et al. 2024, Eq. 3).
    precision, recall, f1
        Of the pixels of the maps as found pixels of the masks.

    Notes
    -----
    NaN where the denominator has no pixel.
    """

    iou: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def overlap(found: NDArray[np.bool_], mask: NDArray[np.bool_]) -> Overlap:
    """How well binary maps match masks (methods E-6).

    Parameters
    ----------
    found, mask : shape (N, H, W), bool

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if found.shape != mask.shape or found.ndim != 3:
        raise ValueError(f"expected two arrays of one shape (N, H, W), got {found.shape} and {mask.shape}")
    one, other = found.astype(bool), mask.astype(bool)
    both, either = (np.count_nonzero(c, axis=(1, 2)).astype(np.float64) for c in (one & other, one | other))
    sizes = [np.count_nonzero(c, axis=(1, 2)).astype(np.float64) for c in (one, other)]

    def share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)

    return Overlap(share(both, either), share(both, sizes[0]), share(both, sizes[1]), share(2 * both, sum(sizes)))
