"""How a training went: what every fold lost epoch by epoch, and how well each target is found in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fer_batch.visualize.figure import INK, RULE, SMALL, SOFT_INK, TEXT, new_figure

_COLOURS = {"train": "#0072b2", "validation": "#d55e00", "test": "#009e73"}
_HEIGHT, _CURVE = 2.7, 2.9  # inches


def training_figure(
    curves: Mapping[tuple[str, str], Sequence[Sequence[float]]],
    targets: Sequence[str],
    f1: NDArray[np.floating],
    title: str = "",
) -> Figure:
    """Curves of the folds, and F1 of every target on the test parts.

    Parameters
    ----------
    curves
        `(split, metric)` to one line per fold, of any lengths; metrics `loss` and `f1` are drawn.
    targets
        Names of the columns of `f1`.
    f1 : shape (F, A), in [0, 1]
        Of every fold on its test part; NaN where it is undefined.
    title
        Above all.

    Returns
    -------
    Figure
        Axes `loss`, `f1` where a part was measured epoch by epoch, and `targets`.
    """
    metrics = [m for m in ("loss", "f1") if any(metric == m for _, metric in curves)]
    width_targets = max(2.4, 0.26 * len(targets) + 0.8)
    width = 0.6 + len(metrics) * (_CURVE + 0.55) + width_targets + 0.15
    total = _HEIGHT + 0.95
    figure = new_figure(width, total)
    left, bottom, height = 0.6, 0.66, _HEIGHT - 0.3

    def place(label: str, span: float) -> Axes:
        axes = figure.add_axes((left / width, bottom / total, span / width, height / total), label=label)
        axes.tick_params(labelsize=SMALL, colors=SOFT_INK, length=2.5)
        for name, spine in axes.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(RULE)
        axes.grid(axis="y", color=RULE, linewidth=0.5, alpha=0.6)
        axes.set_axisbelow(True)
        return axes

    for metric in metrics:
        _draw_curves(place(metric, _CURVE), metric, {s: lines for (s, m), lines in curves.items() if m == metric})
        left += _CURVE + 0.55
    _draw_targets(place("targets", width_targets), targets, np.asarray(f1, np.float64))
    figure.text(0.6 / width, 1 - 0.2 / total, title, fontsize=TEXT + 1, weight="bold", color=INK, va="center")
    return figure


def _draw_curves(axes: Axes, metric: str, lines: Mapping[str, Sequence[Sequence[float]]]) -> None:
    longest = max(len(line) for found in lines.values() for line in found)
    for split in sorted(lines, key=list(_COLOURS).index):
        colour, found = _COLOURS[split], lines[split]
        alone = len(found) == 1
        if not alone:
            for line in found:
                axes.plot(range(1, len(line) + 1), line, color=colour, linewidth=0.6, alpha=0.3)
        table = np.full((len(found), longest), np.nan)
        for row, line in enumerate(found):
            table[row, : len(line)] = line
        middle = [np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else np.nan for column in table.T]
        label = split if alone else f"{split} (median)"
        axes.plot(range(1, longest + 1), middle, color=colour, linewidth=1.6, marker="o" if longest == 1 else "",
                  label=label)  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel("epoch", fontsize=SMALL, color=SOFT_INK)
    name = {"loss": "loss", "f1": "F1, mean over targets"}[metric]
    n_folds = max(len(found) for found in lines.values())
    axes.set_title(f"{name}, {n_folds} fold{'s'[: n_folds > 1]}", fontsize=TEXT, color=INK, loc="left")
    axes.set_ylim(bottom=0)
    if metric == "f1":
        axes.set_ylim(0, 1.02)
    axes.legend(fontsize=SMALL, frameon=False, labelcolor=SOFT_INK)


def _draw_targets(axes: Axes, targets: Sequence[str], f1: NDArray[np.float64]) -> None:
    rng = np.random.default_rng(0)  # moves dots apart that would hide each other
    for place, column in enumerate(f1.T):
        known = column[~np.isnan(column)]
        jitter = rng.uniform(-0.22, 0.22, len(known)) if len(known) > 1 else np.zeros(len(known))
        axes.plot(place + jitter, known, "o", color=_COLOURS["test"], alpha=0.5, markersize=3.4, markeredgewidth=0)
        if len(known):
            axes.plot([place - 0.32, place + 0.32], [known.mean()] * 2, color=INK, linewidth=1.6)
        else:
            axes.text(place, 0.02, "undefined", rotation=90, fontsize=SMALL, color=SOFT_INK, ha="center", va="bottom")
    axes.set_xlim(-0.6, len(targets) - 0.4)
    axes.set_ylim(0, 1.02)
    axes.set_xticks(range(len(targets)), targets, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_title("test F1 by fold, and its mean", fontsize=TEXT, color=INK, loc="left")
