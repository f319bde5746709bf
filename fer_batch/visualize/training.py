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


Curves = Mapping[tuple[str, str], Sequence[Sequence[float]]]
_NAMES = {"loss": "loss", "accuracy": "accuracy", "f1": "F1, mean over targets"}


def training_figure(curves: Curves, targets: Sequence[str], f1: NDArray[np.floating], title: str = "") -> Figure:
    """Curves of the folds, and F1 of every target on the test parts.

    Parameters
    ----------
    curves
        As for `curves_figure`.
    targets
        Names of the columns of `f1`.
    f1 : shape (F, A), in [0, 1]
        Of every fold on its test part; NaN where it is undefined.
    title
        Above all.

    Returns
    -------
    Figure
        The axes of `curves_figure`, and `targets`.
    """
    figure, axes = _columns([*_drawn(curves), "targets"], max(2.4, 0.26 * len(targets) + 0.8), title)
    _draw_targets(axes.pop("targets"), targets, np.asarray(f1, np.float64))
    for metric, own in axes.items():
        _draw_curves(own, metric, {split: lines for (split, name), lines in curves.items() if name == metric})
    return figure


def curves_figure(curves: Curves, title: str = "") -> Figure:
    """Loss and accuracy by epoch, of one fold or of several (figure 5.1 of Weitz 2018).

    Parameters
    ----------
    curves
        `(split, metric)` to one line per fold, of any lengths. Drawn are `loss`, and `accuracy` or, where there is
        none, `f1`; splits are `train`, `validation` and `test`.
    title
        Above all.

    Returns
    -------
    Figure
        With axes named after the metrics.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not _drawn(curves):
        raise ValueError(f"expected curves of loss, accuracy or f1, got {sorted({name for _, name in curves})}")
    figure, axes = _columns(_drawn(curves), 0.0, title)
    for metric, own in axes.items():
        _draw_curves(own, metric, {split: lines for (split, name), lines in curves.items() if name == metric})
    return figure


def _drawn(curves: Curves) -> list[str]:
    """The metrics that are drawn, in order; classes have an accuracy, and F1 would say the same once more."""
    found = {metric for _, metric in curves}
    return [name for name in _NAMES if name in found and not (name == "f1" and "accuracy" in found)]


def _columns(labels: Sequence[str], width_targets: float, title: str) -> tuple[Figure, dict[str, Axes]]:
    """A figure of axes side by side, by their labels; those of the targets have a width of their own."""
    spans = [width_targets if label == "targets" else _CURVE for label in labels]
    width, total = 0.6 + sum(spans) + 0.55 * (len(spans) - 1) + 0.15, _HEIGHT + 0.95
    figure, left, found = new_figure(width, total), 0.6, {}
    for label, span in zip(labels, spans, strict=True):
        place = (left / width, 0.66 / total, span / width, (_HEIGHT - 0.3) / total)
        found[label] = _quiet(figure.add_axes(place, label=label))
        left += span + 0.55
    figure.text(0.6 / width, 1 - 0.2 / total, title, fontsize=TEXT + 1, weight="bold", color=INK, va="center")
    return figure, found


def _quiet(axes: Axes) -> Axes:
    axes.tick_params(labelsize=SMALL, colors=SOFT_INK, length=2.5)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(RULE)
    axes.grid(axis="y", color=RULE, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    return axes


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
    n_folds = max(len(found) for found in lines.values())
    axes.set_title(f"{_NAMES[metric]}, {n_folds} fold{'s'[: n_folds > 1]}", fontsize=TEXT, color=INK, loc="left")
    axes.set_ylim(bottom=0)
    if metric != "loss":
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
