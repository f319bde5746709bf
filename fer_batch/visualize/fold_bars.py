"""A figure of several networks over their folds: the mean as a bar, every fold as a dot."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.figure import Figure

from fer_batch.visualize.chart_axes import row_axes, say
from fer_batch.visualize.figure import INK, SMALL, SOFT_INK

_PLAIN, _MARKED, _DOT = "#86b7d8", "#d8a586", "#1f2328"


def fold_bars_figure(
    names: Sequence[str],
    folds: Sequence[Sequence[float]],
    label: str,
    marked: Collection[str] = (),
    legend: str = "",
    title: str = "",
) -> Figure:
    """Bars from 0 to the mean over folds, with a dot for each fold (figure 5 of Gaya-Morey et al. 2024).

    Parameters
    ----------
    names
        From top to bottom, at least one.
    folds
        Of each name the figures of its folds, in [0, 1]; NaN where undefined.
    label
        What the axis measures.
    marked
        Names whose bars have the other colour.
    legend
        What that colour says.
    title
        Above all.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no name, or not as many lists as names.
    """
    if not names or len(names) != len(folds):
        raise ValueError(f"expected the folds of {len(names)} names, at least one, got {len(folds)}")
    axes = row_axes(names, label, title)
    axes.set_xlim(0, 1.1)
    axes.set_xticks(np.linspace(0, 1, 6))
    for place, (name, values) in enumerate(zip(names, folds, strict=True)):
        known = np.array([value for value in values if np.isfinite(value)])
        if not len(known):
            say(axes, place, "not known")
            continue
        axes.barh(place, known.mean(), height=0.62, color=_MARKED if name in marked else _PLAIN)
        axes.plot(known, np.full(len(known), place), "o", markersize=3, color=_DOT, alpha=0.65)
        axes.annotate(f"{known.mean():.2f}", (known.max(), place), (5, 0), textcoords="offset points", fontsize=SMALL,
                      color=INK, va="center")  # fmt: skip
    if legend:
        axes.text(1, 1.02, legend, transform=axes.transAxes, fontsize=SMALL, color=SOFT_INK, ha="right")
    return axes.figure  # type: ignore[return-value]
