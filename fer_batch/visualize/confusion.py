"""Which classes a network takes for which: the confusion matrix, in counts or in shares of the true class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from fer_batch.visualize.figure import INK, RULE, SMALL, SOFT_INK, TEXT, new_figure

_CELL, _LEFT, _BOTTOM, _TOP, _RIGHT = 0.72, 1.15, 0.45, 0.62, 0.15  # inches
_WHITE_FROM = 0.55  # of the scale, where white text is read better than black


def confusion_figure(confusion: ArrayLike, names: Sequence[str], normalise: bool = False, title: str = "") -> Figure:
    """The confusion matrix, true classes down and predicted ones across.

    Parameters
    ----------
    confusion : shape (C, C), int
        Samples by true (row) and predicted (column) class.
    names
        Of the C classes, in order.
    normalise
        Show shares of the true class (0 to 1) in the place of counts; the row of a class that does not occur is empty.
    title
        Above all.

    Returns
    -------
    Figure
        With the axes `confusion`. The colour of a cell is its share of the true class in either case, so that classes
        of different size are seen alike.

    Raises
    ------
    ValueError
        If the matrix is not square, has negative counts, or another number of names.
    """
    counts = np.asarray(confusion)
    if counts.ndim != 2 or counts.shape != (len(names), len(names)) or (counts < 0).any():
        raise ValueError(f"expected counts of shape ({len(names)}, {len(names)}) for {len(names)} names, got "
                         f"{counts.shape}{' with negative counts' if (counts < 0).any() else ''}")  # fmt: skip
    n = counts.sum(1, keepdims=True)
    shares = np.divide(counts, n, out=np.full(counts.shape, np.nan), where=n > 0)
    longest = max(map(len, names)) * 0.055
    left, side = max(_LEFT, 0.65 + longest), _CELL * len(names)
    width, height = left + side + _RIGHT, _BOTTOM + longest * 0.5 + side + _TOP
    figure = new_figure(width, height)
    axes = figure.add_axes(
        (left / width, (height - _TOP - side) / height, side / width, side / height), label="confusion"
    )
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1)
    _write_cells(axes, counts, shares, normalise)
    _name_classes(axes, names, n[:, 0])
    unit = "share of the true class" if normalise else "samples"
    figure.text(0.1 / width, 1 - 0.2 / height, title, fontsize=TEXT + 1, weight="bold", color=INK, va="center")
    figure.text(0.1 / width, 1 - 0.42 / height, unit, fontsize=SMALL, color=SOFT_INK, va="center")
    return figure


def _write_cells(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64], normalise: bool) -> None:
    for row, column in np.ndindex(*counts.shape):
        value = shares[row, column]
        text = "-" if np.isnan(value) else f"{value:.2f}" if normalise else f"{counts[row, column]:,}"
        axes.text(column, row, text, ha="center", va="center", fontsize=TEXT,
                  color="white" if value > _WHITE_FROM else INK)  # fmt: skip


def _name_classes(axes: Axes, names: Sequence[str], totals: NDArray[np.int64]) -> None:
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(
        range(len(names)), [f"{name}\nn = {int(total):,}" for name, total in zip(names, totals, strict=True)]
    )
    axes.tick_params(labelsize=SMALL, colors=SOFT_INK, length=0)
    axes.set_xlabel("predicted", fontsize=SMALL, color=SOFT_INK)
    axes.set_ylabel("true", fontsize=SMALL, color=SOFT_INK)
    for spine in axes.spines.values():
        spine.set_color(RULE)
