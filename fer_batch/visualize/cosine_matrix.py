"""How well layers and class maps agree with maps of where to look, by class (Belharbi et al. 2024, Fig. 10, 11)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fer_batch.visualize.figure import INK, RULE, SMALL, SOFT_INK, TEXT, new_figure
from fer_batch.visualize.tiles import fitted, text_width

_CELL, _LINE, _LEFT, _RIGHT, _TOP = 0.62, 0.42, 1.15, 0.15, 0.62  # inches
_WHITE_FROM = 0.55  # of the scale, where white text is read better than black
_NAME = 1.5  # inches of a column's name


def cosine_matrix_figure(
    cosines: ArrayLike,
    classes: Sequence[str],
    columns: Sequence[str],
    n: Sequence[int],
    *,
    mean: ArrayLike,
    constant: ArrayLike,
    title: str = "",
) -> Figure:
    """Mean cosines, classes down, layers and class maps across; below them their mean and what a constant map has.

    Parameters
    ----------
    cosines : shape (C, L), in [0, 1]
        NaN where undefined.
    classes, columns
        Names, any text.
    n
        Images of each class.
    mean, constant : shape (L,), in [0, 1]
        Unweighted mean over the classes, and that of a constant map.
    title
        Above all.

    Returns
    -------
    Figure
        With the axes `cosines`.

    Raises
    ------
    ValueError
        If the shapes do not fit the names.
    """
    values = np.asarray(cosines, np.float64)
    below = np.stack([np.asarray(mean, np.float64), np.asarray(constant, np.float64)])
    if values.shape != (len(classes), len(columns)) or below.shape[1:] != (len(columns),) or len(n) != len(classes):
        raise ValueError(f"expected cosines ({len(classes)}, {len(columns)}) and {len(columns)} means, got "
                         f"{values.shape} and {below.shape[1:]}")  # fmt: skip
    shown = np.vstack([values, below])
    names = [fitted(name, _NAME, 1) for name in columns]
    beneath = 0.3 + 0.75 * max(map(text_width, names), default=0.0)
    across, down = _CELL * len(columns), _LINE * len(shown)
    width, height = _LEFT + across + _RIGHT, _TOP + down + beneath
    figure = new_figure(width, height)
    place = (_LEFT / width, beneath / height, across / width, down / height)
    axes = figure.add_axes(place, label="cosines")
    axes.imshow(np.nan_to_num(shown), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*shown.shape):
        value = shown[row, column]
        colour = "white" if value > _WHITE_FROM else INK
        axes.text(column, row, "-" if np.isnan(value) else f"{value:.2f}", ha="center", va="center", fontsize=TEXT,
                  color=colour, weight="bold" if row == len(classes) else "normal")  # fmt: skip
    axes.axhline(len(classes) - 0.5, color=SOFT_INK, linewidth=0.9)
    axes.set_xticks(range(len(columns)), names, rotation=45, ha="right", rotation_mode="anchor")
    rows = [f"{fitted(name, 1.0, 1)}\nn = {int(count):,}" for name, count in zip(classes, n, strict=True)]
    axes.set_yticks(range(len(shown)), [*rows, "mean of classes", "constant map"])
    axes.tick_params(labelsize=SMALL, colors=SOFT_INK, length=0)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)
    for spine in axes.spines.values():
        spine.set_color(RULE)
    figure.text(0.1 / width, 1 - 0.2 / height, fitted(title, width - 0.2, 1, TEXT + 1, bold=True), fontsize=TEXT + 1,
                weight="bold", color=INK, va="center", parse_math=False)  # fmt: skip
    figure.text(0.1 / width, 1 - 0.42 / height, "mean cosine", fontsize=SMALL, color=SOFT_INK, va="center")
    return figure
