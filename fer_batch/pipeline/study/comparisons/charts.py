"""Charts that several comparisons draw."""

from __future__ import annotations

from collections.abc import Sequence

from fer_batch.report.comparisons import MethodFigure
from fer_batch.report.page import Picture
from fer_batch.visualize.comparisons import intervals_figure
from fer_batch.visualize.figure import save


def interval_chart(figures: Sequence[MethodFigure], label: str, limits: tuple[float, float] | None = None) -> Picture:
    """A dot and its interval for every method.

    Parameters
    ----------
    figures
        At least one.
    label
        What the axis measures.
    limits
        Ends of the axis.
    """
    chance = None
    if all(one.chance is not None for one in figures):
        chance = [float(one.chance) for one in figures if one.chance is not None]
    figure = intervals_figure(
        [one.method for one in figures],
        [one.mean for one in figures],
        [one.low for one in figures],
        [one.high for one in figures],
        label,
        chance=chance,
        limits=limits,
    )
    return Picture(save(figure), f"{label}, with 95 % intervals, of {', '.join(one.method for one in figures)}")
