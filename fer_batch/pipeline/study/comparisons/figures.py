"""Figures as comparisons keep and publish them: JSON values, with None for what is undefined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from fer_batch.evaluate.subject_mean import SubjectMean
from fer_batch.report.comparisons import MethodFigure


def known(value: float | None) -> float | None:
    """The value, or None where it is not finite: a table has NULL for what is undefined."""
    return float(value) if value is not None and math.isfinite(value) else None


def number(value: float | None) -> float:
    """The value, or NaN for None."""
    return math.nan if value is None else float(value)


def numbers(values: Iterable[float | None]) -> list[float]:
    """The values, with NaN for None."""
    return [number(value) for value in values]


def kept(found: SubjectMean) -> list[float | None]:
    """Mean, ends of the interval, images and people, as JSON values."""
    return [known(found.mean), known(found.low), known(found.high), found.n, found.n_subjects]


def figure(name: str, values: Sequence[float | None], chance: float | None = None, network: str = "") -> MethodFigure:
    """What `kept` has left, for a page.

    Parameters
    ----------
    name
        As the page calls it.
    values
        Of `kept`.
    chance
        Level by chance.
    network
        Which network, where there are several.
    """
    mean, low, high, n, n_subjects = numbers(values)
    return MethodFigure(name, mean, low, high, int(n), int(n_subjects), chance, network=network)
