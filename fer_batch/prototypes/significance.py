"""How surprising it is that a group has something often."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln


def upper_tail(at_least: ArrayLike, n_all: int, n_having: ArrayLike, n_drawn: int) -> NDArray[np.float64]:
    r"""Chance that `n_drawn` of `n_all` stories hold at least so many of the `n_having` that have something.

    .. math:: p = \sum_{j \ge k} \binom{K}{j} \binom{N - K}{n - j} / \binom{N}{n}

    The hypergeometric tail, summed upwards until terms are below e^-60 of the largest: as `scipy.stats.hypergeom.sf`,
    for many at once.

    Parameters
    ----------
    at_least, n_having : shape (m,), int
    """
    k, having = (np.asarray(values, np.int64) for values in (at_least, n_having))
    pairs, inverse = np.unique(np.column_stack([k, having]), axis=0, return_inverse=True)
    k, having = pairs[:, 0], pairs[:, 1]
    mean = n_drawn * having / n_all
    deviation = np.sqrt(mean * (1 - having / n_all))
    low = np.maximum(k, np.maximum(0, n_drawn - (n_all - having)))
    high = np.minimum(np.minimum(having, n_drawn), np.ceil(np.maximum(k, mean) + 12 * deviation + 60).astype(np.int64))
    log_factorial = gammaln(np.arange(n_all + 1) + 1.0)

    def log_choose(n: NDArray[np.int64], m: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(log_factorial[n] - log_factorial[m] - log_factorial[n - m])

    total = log_factorial[n_all] - log_factorial[n_drawn] - log_factorial[n_all - n_drawn]
    p = np.zeros(len(k))
    n_terms = np.maximum(high - low + 1, 0)
    for begin in range(0, len(k), 4096):  # bounded memory
        part = slice(begin, begin + 4096)
        n = n_terms[part]
        row = np.repeat(np.arange(len(n)), n)
        j = np.arange(len(row)) + np.repeat(low[part] - (np.cumsum(n) - n), n)
        own = having[part][row]
        terms = np.exp(log_choose(own, j) + log_choose(n_all - own, n_drawn - j) - total)
        p[part] = np.bincount(row, terms, len(n))
    return np.asarray(np.minimum(p, 1.0)[inverse.reshape(-1)])


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Smallest false discovery rate at which each hypothesis is rejected (Benjamini & Hochberg 1995).

    Parameters
    ----------
    p_values : shape (m,)
        NaN where nothing was tested, which stays NaN and does not count.
    """
    p = np.asarray(p_values, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    if len(order):
        scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
        q[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return q
