"""How much of an explanation lies inside the region its Action Unit names (methods E-2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.evaluate.interval import subject_interval


def relevance_mass(relevance: NDArray[np.floating], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    r"""Share of the positive relevance that falls inside a region: the mu of Rieger et al.

    .. math:: \mu_n = \sum_{p \in M_n} R^+_{np} \,/\, \sum_p R^+_{np}

    Parameters
    ----------
    relevance : shape (N, H, W), logit units
        Signed relevance of one Action Unit, colour channels summed.
    region : shape (N, H, W)
        True inside the region, on the pixel grid of `relevance`.

    Returns
    -------
    shape (N,), in [0, 1]
        NaN for a frame with an empty region, no positive relevance, or a map that is not finite.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Rieger et al. (2020), ESANN, Eq. 2. Arras, Osman & Samek (2022), Information Fusion 81: relevance mass accuracy.
    """
    if relevance.shape != region.shape or relevance.ndim != 3:
        raise ValueError(f"relevance {relevance.shape} and region {region.shape} must share one shape (N, H, W)")
    positive = np.maximum(relevance, 0.0, dtype=np.float64)
    finite = np.isfinite(relevance).all((1, 2))
    peak = np.where(finite, positive.max((1, 2), initial=0.0), 0.0)
    defined = (peak > 0) & region.any((1, 2))
    # Divided by the peak first, so that the sums of tiny maps do not fall below what floats can tell from zero.
    positive = np.divide(positive, peak[:, None, None], out=np.zeros_like(positive), where=defined[:, None, None])
    inside, total = (positive * region).sum((1, 2)), positive.sum((1, 2))
    return np.divide(inside, total, out=np.full(total.shape, np.nan), where=defined)


def region_share(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of the image that a region covers: what `relevance_mass` gives for a map without any preference.

    Parameters
    ----------
    region : shape (N, H, W)

    Returns
    -------
    shape (N,), in (0, 1]
        NaN for an empty region.

    Raises
    ------
    ValueError
        If there are not three axes.
    """
    if region.ndim != 3:
        raise ValueError(f"expected a region (N, H, W), got {region.shape}")
    share = region.sum((1, 2)) / max(region.shape[1] * region.shape[2], 1)
    return np.where(share > 0, share, np.nan)


def resized(maps: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Maps brought bilinearly to the pixel grid of a crop, where they meet a region.

    Parameters
    ----------
    maps : shape (N, h, w)
    shape
        Height and width, not smaller than those of the maps: this interpolates and does not average.

    Returns
    -------
    shape (N, *shape)
        Pixels are areas (`align_corners=False`), edges are held; every value lies between those of the map.

    Raises
    ------
    ValueError
        If the maps are larger than the shape, empty, or have not three axes.
    """
    if maps.ndim != 3 or maps.shape[1] > shape[0] or maps.shape[2] > shape[1] or 0 in maps.shape[1:]:
        raise ValueError(f"expected maps (N, h, w) of at most {shape[0]} x {shape[1]} pixels, got {maps.shape}")
    if maps.shape[1:] == tuple(shape):
        return maps.astype(np.float64)
    rows, columns = (_bilinear(size, target) for size, target in zip(maps.shape[1:], shape, strict=True))
    return rows @ maps.astype(np.float64) @ columns.T


def _bilinear(size: int, target: int) -> NDArray[np.float64]:
    """Weight of each of `size` pixels in each of `target` pixels."""
    place = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
    return np.clip(1.0 - np.abs(place[:, None] - np.arange(size)), 0.0, None)


@dataclass(frozen=True)
class Localisation:
    """Mean relevance mass of one target, and whether it is more than chance.

    Attributes
    ----------
    mean, chance, weighted
        Mean of mu, of the region's share of the image, and of their quotient, over the same frames; NaN for none.
    n, n_undefined
        Frames with a defined mu, and frames without.
    n_subjects
        Subjects in the n frames.
    low, high
        Interval of the mean of mu by subject; NaN where there are too few subjects for one.
    """

    mean: float
    chance: float
    weighted: float
    n: int
    n_undefined: int
    n_subjects: int
    low: float
    high: float

    @property
    def above_chance(self) -> bool | None:
        """Whether the whole interval lies above chance level; None where there is no interval."""
        # Maps without any preference are at chance, not above it by what rounding makes of their sums.
        return None if np.isnan(self.low) else self.low > self.chance * (1 + 1e-9)


def localisation_of_subjects(
    n_frames: ArrayLike,
    mass: ArrayLike,
    share: ArrayLike,
    weighted: ArrayLike,
    *,
    n_undefined: int = 0,
    level: float = 0.95,
) -> Localisation:
    """Mean relevance mass over frames that are summed up by subject (methods E-2, VP-k).

    By convention the frames are the true positives of one target. The interval of the mean mu is
    `interval.subject_interval`, cut at 0 and 1.

    Parameters
    ----------
    n_frames : shape (S,)
        Frames with a defined mu of each subject; all positive.
    mass, share, weighted : shape (S,)
        Sums over these frames of mu, of the region's share, and of their quotient.
    n_undefined
        Frames without a defined mu.
    level
        Of the interval.

    Raises
    ------
    ValueError
        If counts and sums are not one per subject, or a count is not positive.
    """
    count = np.asarray(n_frames, np.int64)
    mu, area, relative = (np.asarray(values, np.float64) for values in (mass, share, weighted))
    if not (count.shape == mu.shape == area.shape == relative.shape) or count.ndim != 1 or (count < 1).any():
        raise ValueError(
            f"expected one positive count and three sums per subject, got {count}, {mu.shape}, {area.shape}, "
            f"{relative.shape}"
        )
    n, n_subjects = int(count.sum()), len(count)
    if not n:
        return Localisation(np.nan, np.nan, np.nan, 0, n_undefined, 0, np.nan, np.nan)
    mean, chance = float(mu.sum() / n), float(area.sum() / n)
    low, high = np.clip(subject_interval(count, mu, level), 0, 1)
    return Localisation(mean, chance, float(relative.sum() / n), n, n_undefined, n_subjects, float(low), float(high))
