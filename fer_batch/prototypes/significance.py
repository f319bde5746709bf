"""How surprising it is that a group has a pattern often: the exact test, and the correction for many tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln


def upper_tail(at_least: ArrayLike, n_all: int, n_having: ArrayLike, n_drawn: int) -> NDArray[np.float64]:
    r"""Chance that a group of `n_drawn` of `n_all` sequences has at least so many of the `n_having` with a pattern.

    .. math:: p = \sum_{j \ge k} \binom{K}{j} \binom{N - K}{n - j} / \binom{N}{n}

    Parameters
    ----------
    at_least, n_having : shape (m,), int
        k and K of each test.
    n_all, n_drawn
        N and n.

    Returns
    -------
    shape (m,), float64, in [0, 1]

    Notes
    -----
    The hypergeometric tail, summed upwards until terms are below e^-60 of the largest. `scipy.stats.hypergeom.sf` gives
    the same to 1e-9 and is as fast for 1,000 sequences, but for 100,000 it takes 2.3 s (each pair once; 3.8 s called as
    it is) where this takes 0.2 s, which makes mining of `benchmarks/patterns_scale.py` 1.3 to 1.6 times slower.
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

    Returns
    -------
    shape (m,), float64, in [0, 1]
    """
    from scipy.stats import false_discovery_control  # a third of a second, in every worker that never tests

    p = np.asarray(p_values, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    q[tested] = false_discovery_control(p[tested])
    return q
