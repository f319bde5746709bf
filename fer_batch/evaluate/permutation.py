"""Where the mean maps of two groups of people differ: a permutation test, corrected over all pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

MIN_SUBJECTS = 3  # of a group; with fewer its variance says nothing
_ROUNDING = 1e-9  # two arrangements of the same people differ by rounding alone
_BLOCK = 64  # arrangements at a time


@dataclass(frozen=True)
class MapDifference:
    """Difference of two groups of maps.

    Attributes
    ----------
    difference : shape (H, W), float64, unit of the maps
        Mean over the people of one group minus that of the other; of pairs the mean of their differences.
    statistic : shape (H, W), float64
        The difference over the sum of its standard error and a constant, the median error of all pixels (of pairs: had
        the groups no difference): Student's t, of different people Welch's, that does not grow where few people happen
        to be alike. 0 where all are the same.
    p : shape (H, W), float64, in (0, 1]
        Corrected over pixels: share of the arrangements whose largest absolute statistic reaches that of the pixel.
    n_a, n_b
        People.
    paired
        Whether each person is in both groups.
    n_arrangements
        Ways of changing people's places that were tried, the observed one among them; no p is below 1 over it.
    exact
        Whether these are all that there are.
    """

    difference: NDArray[np.float64]
    statistic: NDArray[np.float64]
    p: NDArray[np.float64]
    n_a: int
    n_b: int
    paired: bool
    n_arrangements: int
    exact: bool

    def significant(self, level: float = 0.05) -> NDArray[np.bool_]:
        """Where the groups differ, shape (H, W): in at most `level` of all tests of equal groups any pixel is there."""
        return self.p <= level


def paired_difference(
    a: NDArray[np.floating], b: NDArray[np.floating], n_arrangements: int = 2000, seed: int = 0
) -> MapDifference:
    """Difference of two maps of each person: signs of whole maps are changed.

    Parameters
    ----------
    a, b : shape (n, H, W), floating, any unit
        One map of each person in each group, in the same order.
    n_arrangements
        At most so many; all, where there are no more.
    seed
        Of the draw.

    Returns
    -------
    MapDifference

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or there are fewer than three people.

    References
    ----------
    Nichols & Holmes (2002), Human Brain Mapping 15: the maximum statistic. Tusher, Tibshirani & Chu (2001), PNAS 98:
    the constant in the denominator.
    """
    one, other = _checked(a), _checked(b)
    if one.shape != other.shape:
        raise ValueError(f"expected as many maps of one shape, got {one.shape} and {other.shape}")
    n = len(one)
    rows = (one - other).reshape(n, -1)
    squares = (rows**2).sum(0)
    scale = np.sqrt(squares / n / (n - 1))

    def statistic(signs: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = signs @ rows / n
        return _over(mean, np.sqrt(np.maximum(squares / n - mean**2, 0) / (n - 1)), scale)

    exact = 2**n <= n_arrangements
    arrangements = _all_signs(n) if exact else _drawn_signs(n, n_arrangements, seed)
    return _result(rows.mean(0), statistic, arrangements, one.shape[1:], (n, n), True, exact)


def unpaired_difference(
    a: NDArray[np.floating], b: NDArray[np.floating], n_arrangements: int = 2000, seed: int = 0
) -> MapDifference:
    """Difference of two groups of different people: who belongs to which group is changed.

    The error is Welch's: maps of people who were seen once scatter more than means of many maps of a person. A test
    of equal groups says at level .05 that they differ in 5 % of cases, in up to 9 % where one has few people with few
    maps each.

    Parameters
    ----------
    a, b : shape (n_a, H, W) and (n_b, H, W), floating, any unit
        One map of each person.
    n_arrangements, seed
        As in `paired_difference`.

    Returns
    -------
    MapDifference

    Raises
    ------
    ValueError
        If maps differ in shape, a value is not finite, or a group has fewer than three people.

    References
    ----------
    Janssen (1997), Statistics & Probability Letters 36: Welch's error in a permutation test.
    """
    one, other = _checked(a), _checked(b)
    if one.shape[1:] != other.shape[1:]:
        raise ValueError(f"expected maps of one shape, got {one.shape[1:]} and {other.shape[1:]}")
    n_a, n_b = len(one), len(other)
    n = n_a + n_b
    rows = np.concatenate([one, other]).reshape(n, -1)
    rows = rows - rows.mean(0)  # changes no difference, and keeps the sums of squares small
    each = rows**2
    squares = each.sum(0)
    scale = np.sqrt(squares / (n - 2) * (1 / n_a + 1 / n_b))

    def statistic(member: NDArray[np.float64]) -> NDArray[np.float64]:
        sums, own = member @ rows, member @ each  # of those in the first group; the others' sums are minus that
        within_a = np.maximum(own - sums**2 / n_a, 0) / (n_a - 1)
        within_b = np.maximum(squares - own - sums**2 / n_b, 0) / (n_b - 1)
        return _over(sums / n_a + sums / n_b, np.sqrt(within_a / n_a + within_b / n_b), scale, each_its_own=True)

    exact = comb(n, n_a) <= n_arrangements
    arrangements = _all_groups(n, n_a) if exact else _drawn_groups(n, n_a, n_arrangements, seed)
    difference = rows[:n_a].mean(0) - rows[n_a:].mean(0)
    return _result(difference, statistic, arrangements, one.shape[1:], (n_a, n_b), False, exact)


def _checked(maps: NDArray[np.floating]) -> NDArray[np.float64]:
    found = np.asarray(maps, np.float64)
    if found.ndim != 3 or len(found) < MIN_SUBJECTS:
        raise ValueError(f"expected maps (n, H, W) of {MIN_SUBJECTS} people or more, got shape {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError("expected finite maps")
    return found


def _over(
    mean: NDArray[np.float64], error: NDArray[np.float64], scale: NDArray[np.float64], each_its_own: bool = False
) -> NDArray[np.float64]:
    """Means over their standard errors and a constant; 0 where nobody differs.

    Without the constant the largest of many pixels is one whose few people happen to be alike. It is the median of
    `scale`, an error of each pixel that no arrangement changes, or `each_its_own`: of the errors of the arrangement, as
    these tell groups apart whose people are known from few maps and from many.
    """
    known = scale > 0
    if not known.any():
        return np.zeros_like(mean)
    usual = float(np.median(scale[known]))
    constant = np.median(error[:, known], axis=1, keepdims=True) if each_its_own else usual
    below = np.maximum(error + constant, _ROUNDING * usual)  # 0 where both groups are alike within
    return np.divide(mean, below, out=np.zeros_like(mean), where=np.broadcast_to(known, mean.shape))


def _all_signs(n: int) -> Iterator[NDArray[np.float64]]:
    """Every change of signs, the observed one first, in blocks of shape (k, n)."""
    numbers = np.arange(2**n)
    for start in range(0, len(numbers), _BLOCK):
        yield np.asarray(1 - 2 * (numbers[start : start + _BLOCK, None] >> np.arange(n) & 1), np.float64)


def _drawn_signs(n: int, n_arrangements: int, seed: int) -> Iterator[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    yield np.ones((1, n))
    for start in range(1, n_arrangements, _BLOCK):
        yield np.asarray(1 - 2 * rng.integers(0, 2, (min(_BLOCK, n_arrangements - start), n)), np.float64)


def _all_groups(n: int, n_a: int) -> Iterator[NDArray[np.float64]]:
    """Every choice of the first group, the observed one first, in blocks of shape (k, n) of 0 and 1."""
    block: list[NDArray[np.float64]] = []
    for chosen in combinations(range(n), n_a):
        block.append(np.isin(np.arange(n), chosen).astype(np.float64))
        if len(block) == _BLOCK:
            yield np.stack(block)
            block = []
    if block:
        yield np.stack(block)


def _drawn_groups(n: int, n_a: int, n_arrangements: int, seed: int) -> Iterator[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    first = (np.arange(n) < n_a).astype(np.float64)
    yield first[None]
    for start in range(1, n_arrangements, _BLOCK):
        yield rng.permuted(np.tile(first, (min(_BLOCK, n_arrangements - start), 1)), axis=1)


def _result(
    difference: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    arrangements: Iterator[NDArray[np.float64]],
    shape: tuple[int, ...],
    n_people: tuple[int, int],
    paired: bool,
    exact: bool,
) -> MapDifference:
    """The observed statistic, which is that of the first arrangement, among the largest ones of all."""
    observed: NDArray[np.float64] = np.zeros(0)
    largest: list[NDArray[np.float64]] = []
    for block in arrangements:
        values = statistic(block)
        observed = values[0] if not largest else observed
        largest.append(np.abs(values).max(axis=1))
    highest = np.sort(np.concatenate(largest))
    reached = len(highest) - np.searchsorted(highest, np.abs(observed) * (1 - _ROUNDING), "left")
    return MapDifference(
        difference.reshape(shape), observed.reshape(shape), (reached / len(highest)).reshape(shape), *n_people,
        paired, len(highest), exact,
    )  # fmt: skip
