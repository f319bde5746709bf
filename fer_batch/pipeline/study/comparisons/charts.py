"""Charts that several comparisons draw."""

from __future__ import annotations

from collections.abc import Sequence

from fer_batch.report.comparisons import MethodFigure
from fer_batch.report.page import Picture
from fer_batch.visualize.comparisons import intervals_figure
from fer_batch.visualize.figure import save


def interval_chart(
    figures: Sequence[MethodFigure],
    label: str,
    limits: tuple[float, float] | None = None,
    *,
    level: tuple[str, float] | None = None,
) -> Picture:
    """A dot and its interval for every method.

    Parameters
    ----------
    figures
        At least one.
    label
        What the axis measures.
    limits
        Ends of the axis.
    level
        Name and value of a line through all of them, instead of their chance.
    """
    chance = None if level is None else [level[1]] * len(figures)
    if level is None and all(one.chance is not None for one in figures):
        chance = [float(one.chance) for one in figures if one.chance is not None]
    chart = intervals_figure(
        [one.method for one in figures],
        [one.mean for one in figures],
        [one.low for one in figures],
        [one.high for one in figures],
        label,
        chance=chance,
        chance_name="chance" if level is None else f"{level[0]} {level[1]:g}",
        limits=limits,
    )
    return Picture(save(chart), f"{label}, with 95 % intervals, of {', '.join(one.method for one in figures)}")
