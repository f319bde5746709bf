"""Interval of a mean over frames that come from few subjects (methods VP-k)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

MIN_SUBJECTS = 4  # with three, the quantile of t is above 4 and hardly any mean differs from chance


def subject_interval(
    n_frames: ArrayLike, sums: ArrayLike, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Interval of the mean over all frames, :math:`\sum_g s_g / \sum_g n_g`, for subjects that are a sample of others.

    Frames of one subject are alike, so subjects are the witnesses. The mean is a ratio of sums over subjects; with
    :math:`w_g = n_g / \sum n` and residuals :math:`e_g = w_g (s_g / n_g - \mu)` its variance is that of the jackknife
    by subject (CR3), :math:`\frac{G-1}{G} \sum_g u_g^2` with :math:`u_g = e_g / (1 - w_g)`, and its quantile *q* is
    that of t with :math:`1 / \sum w_g^2 - 1` degrees of freedom: G - 1 where all have as many frames, fewer where some
    have most of them. The end on the side of the longer tail moves out by :math:`|\gamma| (2 q^2 + 1) / 6` standard
    errors more, with :math:`\gamma = \sum u_g^3 / (\sum u_g^2)^{3/2}`; the other end stays.

    Parameters
    ----------
    n_frames : shape (..., G)
        Frames of each subject, all positive.
    sums : shape (..., G)
        Sum over the frames of each subject of what is averaged.
    level
        Share of such intervals that shall cover the mean of the subjects' population.

    Returns
    -------
    low, high : shape (...)
        NaN for fewer than `MIN_SUBJECTS` subjects, and where so few of them have most of the frames that they count
        as fewer than two, :math:`1 / \sum w_g^2 < 2`.

    Raises
    ------
    ValueError
        If shapes differ, a count is not positive, or the level is not between 0 and 1.

    Notes
    -----
    Chosen by simulation: `benchmarks/verdict_interval.py`, table in docs/verdict.md.

    References
    ----------
    Bell & McCaffrey (2002), Survey Methodology 28(2): CR3. Carter, Schnepel & Steigerwald (2017), Review of Economics
    and Statistics 99(4): effective number of clusters. Hall (1992), JRSS B 54(1): skewness of a studentised mean.
    """
    count, total = np.asarray(n_frames, np.float64), np.asarray(sums, np.float64)
    if count.shape != total.shape or not count.ndim:
        raise ValueError(f"expected a count and a sum per subject, got shapes {count.shape}, {total.shape}")
    if not (count > 0).all():
        raise ValueError(f"expected at least one frame of each subject, got {count.min():g}")
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, got {level}")
    n_subjects = count.shape[-1]
    if n_subjects < MIN_SUBJECTS:
        return np.full(count.shape[:-1], np.nan), np.full(count.shape[:-1], np.nan)
    weight = count / count.sum(-1, keepdims=True)
    mean = total.sum(-1) / count.sum(-1)
    u = weight * (total / count - mean[..., None]) / (1 - weight)
    squares = (u**2).sum(-1)
    error = np.sqrt(squares * (n_subjects - 1) / n_subjects)
    dof = 1 / (weight**2).sum(-1) - 1
    quantile = special.stdtrit(np.where(dof >= 1, dof, np.nan), (1 + level) / 2)
    skewness = np.divide((u**3).sum(-1), squares**1.5, out=np.zeros_like(mean), where=squares > 0)
    shift = skewness * (2 * quantile**2 + 1) / 6
    low = mean - (quantile + np.maximum(0, -shift)) * error
    return low, mean + (quantile + np.maximum(0, shift)) * error
