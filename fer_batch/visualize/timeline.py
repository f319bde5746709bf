"""When which target is active, and in which cluster (methods TP-12, TP Fig. 2), as a figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fer_batch.visualize.colours import UNLETTERED, Palette
from fer_batch.visualize.figure import INK, PALE, RULE, SMALL, SOFT_INK, TEXT, new_figure
from fer_batch.visualize.timeline_layout import Bar, Layout, Row, Timeline, layout

_ROW = 0.3  # inches
_CURVE = 0.36


def timeline(data: Timeline, palette: Palette | None = None, *, probability: bool = True) -> Figure:
    """Frames on x, one row per target that is ever active or annotated, cells in the colour of their cluster.

    Parameters
    ----------
    data
        The sequence.
    palette
        Colours that other figures of the same report use.
    probability
        Also draw each row's probability below, where known.

    Returns
    -------
    Figure
        Axes `rows`, and `probability` below where drawn.
    """
    palette = palette or Palette(data.targets)
    plan = layout(data)
    n, n_rows = plan.n_frames, len(plan.rows)
    n_curves = n_rows if probability and data.probability is not None else 0
    width = float(np.clip(2.2 + 0.24 * n, 7.0, 10.9))
    longest = max((len(row.name) for row in plan.rows), default=4)
    left, right, top, bottom = 0.3 + 0.082 * max(longest, 5), 0.34, 0.28, 0.6
    body, below = max(n_rows, 1) * _ROW, n_curves * _CURVE
    gap = 0.34 if n_curves else 0.0
    height = top + body + gap + below + bottom
    figure = new_figure(width, height)
    x0, w = left / width, (width - left - right) / width
    axes = figure.add_axes((x0, (height - top - body) / height, w, body / height), label="rows")
    _draw_rows(axes, data, plan, palette, cell=(width - left - right) / max(n, 1))
    bottom_axes = axes
    if n_curves:
        bottom_axes = figure.add_axes((x0, bottom / height, w, below / height), label="probability", sharex=axes)
        _draw_curves(bottom_axes, data, plan, palette)
        axes.tick_params(labelbottom=False)
    _label_frames(bottom_axes, data, plan)
    return figure


def _draw_rows(axes: Axes, data: Timeline, plan: Layout, palette: Palette, cell: float) -> None:
    """Bars of runs; `cell` is the width of one frame in inches."""
    n_rows = max(len(plan.rows), 1)
    # Where there is ground truth, its line needs room inside the row, or it would seem to belong to the next one.
    height = 0.8 if data.annotated is None else 0.7
    axes.set(xlim=(0, max(plan.n_frames, 1)), ylim=(n_rows, 0))
    for y in range(n_rows):
        axes.axhspan(y, y + 1, facecolor=PALE if y % 2 == 0 else "white", edgecolor="none", zorder=0)
    _draw_bars(axes, plan.rows, palette, cell, height)
    if data.annotated is not None:
        for y, row in enumerate(plan.rows):
            axes.broken_barh(row.annotated, (y + 0.86, 0.09), facecolor=INK, linewidth=0, zorder=4, gid="annotated")
    for start, length in plan.missing:
        axes.axvspan(
            start, start + length, facecolor="#ffffff", edgecolor="#8b949e", hatch="//////", linewidth=0, zorder=3,
            gid="missing",
        )  # fmt: skip
    _mark_stages(axes, plan, cell)
    axes.set_yticks(np.arange(len(plan.rows)) + 0.5)
    axes.set_yticklabels([row.name for row in plan.rows], fontsize=TEXT, color=INK, parse_math=False)
    axes.tick_params(axis="both", length=0)
    if plan.empty:
        box = {"boxstyle": "square,pad=0.2", "facecolor": "white", "linewidth": 0}  # over the hatching
        axes.text(
            0.5, 0.5, plan.empty, transform=axes.transAxes, ha="center", va="center", fontsize=TEXT, color=SOFT_INK,
            style="italic", zorder=5, bbox=box,
        )  # fmt: skip
    for spine in axes.spines.values():
        spine.set_color(RULE)


def _draw_bars(axes: Axes, rows: tuple[Row, ...], palette: Palette, cell: float, height: float) -> None:
    bars: dict[tuple[str, str], list[tuple[int, Bar]]] = {}
    for y, row in enumerate(rows):
        for bar in row.bars:
            bars.setdefault((row.target, bar.letter), []).append((y, bar))
    for (target, letter), pieces in bars.items():
        style = palette.style(target, letter)
        for y in {row for row, _ in pieces}:
            spans = [(bar.start, bar.length) for row, bar in pieces if row == y]
            # An edge as wide as the bar would hide the colour of bars that are narrower than a few pixels.
            edge = 0.5 if cell * min(length for _, length in spans) > 0.03 else 0.0
            axes.broken_barh(
                spans, (y + 0.1, height), facecolor=style.fill, edgecolor=style.edge if edge else "none",
                linewidth=edge, hatch=style.hatch or None, zorder=2,
            )  # fmt: skip
        for y, bar in pieces:
            start, length = bar.widest
            if length * cell > 0.13 * max(len(letter), 1):
                axes.text(
                    start + length / 2, y + 0.12 + height / 2, letter or UNLETTERED, ha="center", va="center",
                    color=style.ink, fontsize=TEXT, weight="bold", zorder=4,
                )  # fmt: skip


def _mark_stages(axes: Axes, plan: Layout, cell: float) -> None:
    small: dict[str, Any] = {"va": "bottom", "fontsize": SMALL, "color": SOFT_INK, "linespacing": 0.35}
    for number, start, end in plan.stages:
        if number > 1:
            axes.axvline(
                start, color=INK, linewidth=0.7, alpha=0.65, linestyle=(0, (3, 2)), zorder=5, gid="stage-boundary"
            )
        if (end - start) * cell > 0.075 * len(str(number)) + 0.03:
            middle, above = (start + end) / 2, axes.get_xaxis_transform()
            axes.text(middle, 1.0, f"{number}\n", transform=above, ha="center", **small)
    if plan.stages:
        axes.text(-0.012, 1.0, "stage\n", transform=axes.transAxes, ha="right", **small)


def _draw_curves(axes: Axes, data: Timeline, plan: Layout, palette: Palette) -> None:
    """One small curve per row, each from 0 at its lower edge to 1 at its upper edge."""
    x = np.arange(plan.n_frames) + 0.5
    axes.set_ylim(len(plan.rows), 0)
    for y, row in enumerate(plan.rows):
        style = palette.style(row.target, "A")
        floor, curve = y + 0.94, y + 0.94 - 0.84 * plan.curve(data, row)
        axes.fill_between(x, floor, curve, step="mid", color=style.fill, alpha=0.28, linewidth=0)
        axes.plot(x, curve, color=style.fill, linewidth=1.1, drawstyle="steps-mid")
        axes.axhline(floor, color=RULE, linewidth=0.5)
        if data.threshold is not None:
            axes.axhline(floor - 0.84 * data.threshold, color=SOFT_INK, linewidth=0.5, linestyle=(0, (2, 2)))
    axes.set_yticks(np.arange(len(plan.rows)) + 0.55)
    axes.set_yticklabels([row.name for row in plan.rows], fontsize=SMALL, color=SOFT_INK, parse_math=False)
    axes.tick_params(axis="both", length=0)
    axes.set_title(plan.curve_title, fontsize=SMALL, color=SOFT_INK, loc="left", pad=3)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _label_frames(axes: Axes, data: Timeline, plan: Layout) -> None:
    """Ticks at cell centres that name the frame, and its time where the rate is known."""
    n = plan.n_frames

    def name(position: float, _: int | None = None) -> str:
        at = round(position - 0.5)
        return "\n".join(filter(None, plan.tick(data, at))) if 0 <= at < n else ""

    if n <= 25 and (data.fps is None or n <= 12):
        axes.set_xticks(np.arange(n) + 0.5)
    else:
        ticks = MaxNLocator(nbins=12, integer=True).tick_values(0, n)
        axes.set_xticks([t + 0.5 for t in ticks if 0 <= t < n])
    axes.xaxis.set_major_formatter(FuncFormatter(name))
    axes.tick_params(axis="x", labelsize=SMALL, labelcolor=INK, length=2, color=RULE, labelbottom=True)
    notes = dict(plan.notes)
    sampled = notes.pop("sampled", "")
    words = "; ".join(["frame" + (f" ({sampled})" if sampled else ""), *notes.values()])
    axes.set_xlabel(words, fontsize=SMALL, color=SOFT_INK)
