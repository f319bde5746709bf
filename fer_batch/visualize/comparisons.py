"""Charts that compare explanation methods: an interval each, curves, and durations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from fer_batch.visualize.chart_axes import NAME_WIDTH, curve_axes, row_axes, say
from fer_batch.visualize.figure import INK, RULE, SMALL, SOFT_INK, TEXT
from fer_batch.visualize.line_styles import LineStyle, line_styles
from fer_batch.visualize.rendering import rendering
from fer_batch.visualize.tiles import fitted

_BLUE, _CHANCE, _PALE_BLUE = "#0072b2", "#9a3412", "#86b7d8"
_LOG_FROM = 20.0  # the longest duration over the shortest from which a linear axis would hide the short ones


@dataclass(frozen=True)
class Curve:
    """One curve, and its interval where it has one.

    Attributes
    ----------
    y : shape (n,), NaN where undefined
    low, high : shape (n,); or None
    """

    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None


def intervals_figure(
    names: Sequence[str],
    middle: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    label: str,
    *,
    chance: ArrayLike | None = None,
    chance_name: str = "chance",
    limits: tuple[float, float] | None = None,
    title: str = "",
) -> Figure:
    """A dot and its interval for every name, one below the other.

    Parameters
    ----------
    names
        From top to bottom, any text.
    middle, low, high : shape (n,)
        NaN where undefined: a row without a figure says so, a dot without an interval stands alone.
    label
        What the axis measures, with its unit.
    chance : scalar or shape (n,)
        What would be expected by chance, as an upright line.
    chance_name
        What that line is called, where it is another level.
    limits
        Ends of the axis; by default those of the figures.
    title
        Above all.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no name, or the arrays have other lengths.
    """
    values = _rows(names, middle, low, high)
    expected = np.full(len(names), np.nan) if chance is None else np.broadcast_to(np.asarray(chance, float), len(names))
    axes = row_axes(names, label, title)
    for place, (row, by_chance) in enumerate(zip(values, expected, strict=True)):
        _draw_interval(axes, place, row)
        if np.isfinite(by_chance):
            axes.plot([by_chance] * 2, [place - 0.36, place + 0.36], color=_CHANCE, linewidth=1.4,
                      linestyle=(0, (3, 1.5)), label=chance_name if place == 0 else None)  # fmt: skip
    found = np.concatenate([values.ravel(), expected])
    _set_limits(axes, found[np.isfinite(found)], limits)
    if np.isfinite(expected).any():
        _say_chance(axes, chance_name)
    return axes.figure  # type: ignore[return-value]


def curves_figure(
    x: ArrayLike,
    curves: Mapping[str, Curve],
    x_label: str,
    y_label: str,
    *,
    titles: Mapping[str, str] | None = None,
    ticks: Sequence[str] | None = None,
    chance: tuple[ArrayLike, ArrayLike] | None = None,
    reference: Curve | None = None,
    title: str = "",
) -> Figure:
    """Curves of several methods over one axis, with what chance gives.

    Parameters
    ----------
    x : shape (n,), ascending
        Such as the number of randomised layers, or the share of pixels removed.
    curves
        By method: its colour and dashes are the same in every chart.
    x_label, y_label
        What the axes measure, with units.
    titles
        Names of the methods in the legend; by default those of `RENDERING`.
    ticks
        Texts at `x`, such as names of layers.
    chance : two of scalar or shape (n,)
        Lower and upper end of a band.
    reference
        A further curve: random order.
    title
        Above all.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no curve, or one has another length than `x`.
    """
    at = np.asarray(x, np.float64)
    lengths = {name: len(np.asarray(curve.y)) for name, curve in curves.items()}
    if not curves or set(lengths.values()) != {len(at)}:
        raise ValueError(f"expected curves of {len(at)} points, at least one, got {lengths}")
    names = {name: (titles or {}).get(name) or rendering(name).title for name in curves}
    axes = curve_axes([*names.values(), "random order", "chance"], at, ticks)
    if chance is not None:
        low, high = (np.broadcast_to(np.asarray(end, np.float64), at.shape) for end in chance)
        axes.fill_between(at, low, high, color=RULE, alpha=0.55, linewidth=0, label="chance", zorder=1)
    if reference is not None:
        _draw_curve(axes, at, reference, LineStyle(SOFT_INK, (0, (1, 1)), ""), "random order")
    if ticks is None and (at == np.round(at)).all():
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    for name, style in line_styles(list(curves)).items():
        _draw_curve(axes, at, curves[name], style, fitted(names[name], NAME_WIDTH, 1))
    axes.set_xlabel(x_label, fontsize=SMALL, color=SOFT_INK, parse_math=False)
    axes.set_ylabel(y_label, fontsize=SMALL, color=SOFT_INK, parse_math=False)
    axes.set_title(
        fitted(title, 5.2, 1, TEXT + 1, bold=True),
        fontsize=TEXT + 1,
        weight="bold",
        color=INK,
        loc="left",
        parse_math=False,
    )
    for text in axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), fontsize=SMALL, frameon=False,
                            labelcolor=INK, handlelength=3.2).get_texts():  # fmt: skip
        text.set_parse_math(False)
    return axes.figure  # type: ignore[return-value]


def durations_figure(
    names: Sequence[str],
    seconds: ArrayLike,
    *,
    published: Mapping[str, tuple[float, float]] | None = None,
    label: str = "seconds per image",
    title: str = "",
) -> Figure:
    """What every method takes, and what a paper says it took.

    Bars; where the longest is more than 20 times the shortest, dots on a logarithmic axis, on which bars have no foot.

    Parameters
    ----------
    names
        From top to bottom, any text.
    seconds : shape (n,), positive
        NaN where not measured.
    published
        Name to the shortest and the longest duration that was printed, in seconds.
    label, title
        Of the axis, and above all.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no name, or the array has another length.
    """
    values = _rows(names, seconds)[:, 0]
    printed = {place: (published or {})[name] for place, name in enumerate(names) if name in (published or {})}
    known = [value for value in [*values, *np.ravel(list(printed.values()))] if np.isfinite(value) and value > 0]
    log = bool(known) and max(known) / min(known) > _LOG_FROM
    axes = row_axes(names, label + (" (logarithmic)" if log else ""), title)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    low = min(known, default=1.0) * 0.6 if log else 0.0
    axes.set_xlim(low, max(known, default=1.0) * (2.6 if log else 1.16))
    for place, value in enumerate(values):
        _draw_duration(axes, place, float(value), low, log)
        if place in printed:
            _draw_published(axes, place, printed[place])
    if printed:
        axes.text(1, 1.02, "open: published", transform=axes.transAxes, fontsize=SMALL, color=SOFT_INK, ha="right")
    return axes.figure  # type: ignore[return-value]


def _rows(names: Sequence[str], *columns: ArrayLike) -> NDArray[np.float64]:
    arrays = [np.asarray(column, np.float64) for column in columns]
    if not names or any(array.shape != (len(names),) for array in arrays):
        shapes = [array.shape for array in arrays]
        raise ValueError(f"expected figures of shape ({len(names)},), at least one, got {shapes}")
    return np.stack(arrays, 1)


def _draw_interval(axes: Axes, place: int, row: NDArray[np.float64]) -> None:
    middle, low, high = row
    if not np.isfinite(middle):
        say(axes, place, "undefined")
        return
    if np.isfinite(low) and np.isfinite(high):
        axes.plot([low, high], [place] * 2, color=_BLUE, linewidth=1.6)
        for end in (low, high):
            axes.plot([end] * 2, [place - 0.14, place + 0.14], color=_BLUE, linewidth=1.4)
    axes.plot([middle], [place], "o", color=_BLUE, markersize=4.6)


def _say_chance(axes: Axes, name: str) -> None:
    axes.text(1, 1.02, f"┆ {name}", transform=axes.transAxes, fontsize=SMALL, color=_CHANCE, ha="right")


def _set_limits(axes: Axes, found: NDArray[np.float64], limits: tuple[float, float] | None) -> None:
    low, high = limits or (min(0.0, found.min(initial=0.0)), max(found.max(initial=0.0), 0.0))
    if limits is None and low == high:
        high = 1.0
    margin = 0.03 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    if low < 0 < high:
        axes.axvline(0, color=SOFT_INK, linewidth=0.7, zorder=1)


def _draw_curve(axes: Axes, x: NDArray[np.float64], curve: Curve, style: LineStyle, label: str) -> None:
    y = np.asarray(curve.y, np.float64)
    if curve.low is not None and curve.high is not None:
        low, high = (np.asarray(end, np.float64) for end in (curve.low, curve.high))
        axes.fill_between(x, low, high, color=style.colour, alpha=0.12, linewidth=0)
    marker = style.marker if len(x) <= 40 else ""
    axes.plot(x, y, color=style.colour, linestyle=style.dashes, linewidth=1.5, marker=marker, markersize=3.6,
              label=label)  # fmt: skip


def _draw_duration(axes: Axes, place: int, value: float, low: float, log: bool) -> None:
    if not (np.isfinite(value) and value > 0):
        say(axes, place, "not measured")
        return
    if log:
        axes.plot([low, value], [place] * 2, color=RULE, linewidth=1.0)
        axes.plot([value], [place], "o", color=_BLUE, markersize=5)
    else:
        axes.barh(place, value, height=0.62, color=_PALE_BLUE)
    axes.annotate(f"{value:.3g} s", (value, place), (6 if log else 3, 0), textcoords="offset points", fontsize=SMALL,
                  color=INK, va="center", zorder=5)  # fmt: skip


def _draw_published(axes: Axes, place: int, printed: tuple[float, float]) -> None:
    low, high = printed
    if low == high:
        axes.plot([low], [place + 0.26], "D", markerfacecolor="white", color=SOFT_INK, markersize=4)
    else:
        axes.plot([low, high], [place + 0.26] * 2, color=SOFT_INK, linewidth=1.0, marker="D", markersize=4,
                  markerfacecolor="white")  # fmt: skip
