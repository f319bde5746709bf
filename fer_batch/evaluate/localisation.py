"""How much of an explanation lies inside the region its Action Unit names (methods E-2)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
    """
    if region.ndim != 3:
        raise ValueError(f"expected a region (N, H, W), got {region.shape}")
    share = region.sum((1, 2)) / max(region.shape[1] * region.shape[2], 1)
    return np.where(share > 0, share, np.nan)


def size_weighted_mass(relevance: NDArray[np.floating], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """`relevance_mass` over `region_share`: 1 at chance level, whatever the size of the region.

    References
    ----------
    Kohlbrenner et al. (2020), IJCNN.
    """
    return relevance_mass(relevance, region) / region_share(region)


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
    mean, chance
        Of mu and of the region's share of the image, over the same frames; NaN for none.
    n, n_undefined
        Frames with a defined mu, and frames without.
    low, high
        Bootstrap interval of the mean, drawn by subject; NaN for fewer than two subjects.
    above_chance
        The whole interval of the difference of mu and share lies above zero; None where there is no interval.
    """

    mean: float
    chance: float
    n: int
    n_undefined: int
    low: float
    high: float
    above_chance: bool | None


def localisation_summary(
    mass: ArrayLike,
    share: ArrayLike,
    subjects: Sequence[Hashable],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    n_draws: int = 2000,
) -> Localisation:
    """Mean relevance mass over the frames given, by convention the true positives of one target (methods E-2, VP-k).

    Frames of one subject are alike, so whole subjects are drawn, with replacement, not frames.

    Parameters
    ----------
    mass, share : shape (n,)
        `relevance_mass` and `region_share` of the frames.
    subjects
        Whose face each frame shows.
    rng
        Of the bootstrap.
    level, n_draws
        Of the interval.
    """
    mu, area = np.asarray(mass, np.float64), np.asarray(share, np.float64)
    if mu.shape != area.shape or mu.ndim != 1 or len(subjects) != len(mu):
        raise ValueError(
            f"expected one mass, share and subject per frame, got {mu.shape}, {area.shape}, {len(subjects)}"
        )
    defined = ~np.isnan(mu) & ~np.isnan(area)
    n = int(defined.sum())
    if not n:
        return Localisation(np.nan, np.nan, 0, len(mu), np.nan, np.nan, None)
    numbers: dict[Hashable, int] = {}
    of_frame = np.array(
        [numbers.setdefault(s, len(numbers)) for s, keep in zip(subjects, defined, strict=True) if keep]
    )
    mean, chance = float(mu[defined].mean()), float(area[defined].mean())
    n_subjects = len(numbers)
    if n_subjects < 2:
        return Localisation(mean, chance, n, len(mu) - n, np.nan, np.nan, None)
    count = np.bincount(of_frame)
    drawn = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n_draws)
    frames = drawn @ count
    mu_drawn = drawn @ np.bincount(of_frame, mu[defined]) / frames
    share_drawn = drawn @ np.bincount(of_frame, area[defined]) / frames
    tail = (1 - level) / 2
    low, high = np.quantile(mu_drawn, [tail, 1 - tail])
    above = np.quantile(mu_drawn - share_drawn, tail) > 0
    return Localisation(mean, chance, n, len(mu) - n, float(low), float(high), bool(above))
