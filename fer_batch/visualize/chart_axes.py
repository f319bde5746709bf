"""Axes of the charts that compare methods: a name at every row, or curves with their legend beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from fer_batch.visualize.figure import INK, RULE, SMALL, SOFT_INK, TEXT, new_figure
from fer_batch.visualize.tiles import fitted, text_width

NAME_WIDTH = 2.2  # inches of a name beside a chart
_ROW, _WIDTH = 0.25, 4.3  # inches


def row_axes(names: Sequence[str], label: str, title: str) -> Axes:
    """Axes of a new figure with a name at every row; row 0 is at the top, `label` says what is measured."""
    shown = [fitted(name, NAME_WIDTH, 1) for name in names]
    left = 0.25 + max(map(text_width, shown))
    height, width = _ROW * len(names) + 0.1, left + _WIDTH + 0.25
    above = 0.52 if title else 0.3
    total = height + above + 0.52
    figure = new_figure(width, total)
    axes = figure.add_axes((left / width, 0.52 / total, _WIDTH / width, height / total))
    _plain(axes, "x")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), shown, color=INK)
    for tick in axes.get_yticklabels():
        tick.set_parse_math(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(label, fontsize=SMALL, color=SOFT_INK, parse_math=False)
    shown_title = fitted(title, width - 0.24, 1, TEXT + 1, bold=True)
    figure.text(0.12 / width, 1 - 0.2 / total, shown_title, fontsize=TEXT + 1, weight="bold", color=INK, va="center",
                parse_math=False)  # fmt: skip
    return axes


def curve_axes(names: Sequence[str], x: NDArray[np.float64], ticks: Sequence[str] | None) -> Axes:
    """Axes of a new figure with room for a legend to the right.

    Parameters
    ----------
    names
        Of all lines of the legend.
    x : shape (n,), units of the axis
        Where the ticks are.
    ticks
        Texts at `x`; by default numbers.
    """
    legend = 0.75 + min(NAME_WIDTH, max(map(text_width, names)))
    shown = [fitted(tick, 1.3, 1) for tick in ticks or ()]
    below = 0.55 + (0.75 * max(map(text_width, shown)) if shown else 0.0)
    height = max(2.6, 0.155 * len(names) + 0.1)
    width, total = 0.62 + _WIDTH + legend, 0.4 + height + below
    figure = new_figure(width, total)
    axes = figure.add_axes((0.62 / width, below / total, _WIDTH / width, height / total))
    _plain(axes, "y")
    if shown:
        axes.set_xticks(x, shown, rotation=45, ha="right", rotation_mode="anchor")
        for tick in axes.get_xticklabels():
            tick.set_parse_math(False)
    return axes


def _plain(axes: Axes, grid: str) -> None:
    axes.tick_params(labelsize=SMALL, colors=SOFT_INK, length=2.5)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(RULE)
    axes.grid(axis="x" if grid == "x" else "y", color=RULE, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)


def say(axes: Axes, place: int, words: str) -> None:
    """Words in place of a figure, at the left end of a row."""
    axes.text(0.015, place, words, transform=axes.get_yaxis_transform(), fontsize=SMALL, color=SOFT_INK,
              style="italic", va="center")  # fmt: skip
