"""Mean over classes of a figure's class means, with its interval by subject."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from fer_batch.evaluate.interval import subject_interval
from fer_batch.evaluate.subject_mean import SubjectMean, subject_numbers


def macro_mean(
    values: ArrayLike,
    classes: Sequence[Hashable],
    subjects: Sequence[Hashable],
    *,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> SubjectMean:
    r"""Unweighted mean over classes, :math:`\frac{1}{C} \sum_c m_c`, of its means over images (methods E-4).

    Its interval is that of `interval.subject_interval` for images that count :math:`1 / (C n_c)` and lie about the mean
    of their own class: that classes differ is no uncertainty of their mean.

    Parameters
    ----------
    values : shape (N,), floating
        In any unit; NaN where undefined.
    classes, subjects
        What each image shows, and whose face. Where every image has a subject of its own, the interval is by image.
    level
        Of the interval.
    bounds
        What the figure cannot leave; the interval is cut there.

    Returns
    -------
    SubjectMean
        Without an interval where a class has one subject only.

    Raises
    ------
    ValueError
        If values, classes and subjects are not one per image.
    """
    figures = np.asarray(values, np.float64)
    if figures.ndim != 1 or not len(classes) == len(subjects) == len(figures):
        raise ValueError(f"expected a value, a class and a subject per image, got {figures.shape}, {len(classes)} and "
                         f"{len(subjects)}")  # fmt: skip
    known = np.flatnonzero(~np.isnan(figures)).tolist()
    if not known:
        return SubjectMean(np.nan, np.nan, np.nan, 0, len(figures), 0)
    figures = figures[known]
    group, who = (subject_numbers([names[place] for place in known]) for names in (classes, subjects))
    n_in_class = np.bincount(group)
    means = np.bincount(group, figures) / n_in_class
    mean, weight = float(means.mean()), 1 / (len(means) * n_in_class[group])
    low = high = np.float64(np.nan)
    if np.bincount(np.unique(np.column_stack([group, who]), axis=0)[:, 0]).min() > 1:
        sums = np.bincount(who, weight * (figures - means[group] + mean))
        low, high = np.clip(subject_interval(np.bincount(who, weight), sums, level), *bounds)
    return SubjectMean(mean, float(low), float(high), len(known), len(classes) - len(known), int(who.max()) + 1)
