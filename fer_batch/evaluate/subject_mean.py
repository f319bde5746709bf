"""Mean of a figure over images, with its interval by subject and what was left out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.evaluate.interval import subject_interval


@dataclass(frozen=True)
class SubjectMean:
    """A mean over images.

    Attributes
    ----------
    mean
        Over all images where the figure is defined; NaN where there are none.
    low, high
        Interval of the mean by subject (`interval.subject_interval`); NaN where there are too few subjects.
    n, n_undefined
        Images where the figure is defined, and where it is not.
    n_subjects
        Subjects among the n images.
    """

    mean: float
    low: float
    high: float
    n: int
    n_undefined: int
    n_subjects: int


def subject_mean(
    values: ArrayLike,
    subjects: Sequence[Hashable],
    *,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> SubjectMean:
    """Mean over the images where a figure is defined, each image counting once.

    Parameters
    ----------
    values : shape (N,), floating
        In any unit; NaN where undefined.
    subjects
        Whose face each image shows.
    level
        Of the interval.
    bounds
        What the figure cannot leave; the interval is cut there.

    Returns
    -------
    SubjectMean

    Raises
    ------
    ValueError
        If values and subjects are not one per image.
    """
    figures = np.asarray(values, np.float64)
    if figures.ndim != 1 or len(subjects) != len(figures):
        raise ValueError(f"expected one value and one subject per image, got {figures.shape} and {len(subjects)}")
    defined = ~np.isnan(figures)
    number = subject_numbers([s for s, keep in zip(subjects, defined, strict=True) if keep])
    figures = figures[defined]
    if not len(figures):
        return SubjectMean(np.nan, np.nan, np.nan, 0, len(defined), 0)
    count = np.bincount(number)
    low, high = np.clip(subject_interval(count, np.bincount(number, figures), level), *bounds)
    n_undefined = len(defined) - len(figures)
    return SubjectMean(float(figures.mean()), float(low), float(high), len(figures), n_undefined, len(count))


def subject_numbers(subjects: Sequence[Hashable]) -> NDArray[np.int64]:
    """Subjects numbered from 0 in the order in which they come, shape (N,), int64."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(subject, len(numbers)) for subject in subjects], np.int64)
