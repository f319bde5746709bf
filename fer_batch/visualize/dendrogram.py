"""Dendrograms of networks by how alike their heatmaps are (figure 10 of Gaya-Morey et al. 2024)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram

from fer_batch.visualize.chart_axes import row_axes
from fer_batch.visualize.figure import INK, SMALL, SOFT_INK

_LINE, _MARKED = "#0072b2", "#9a3412"


def dendrogram_figure(
    links: NDArray[np.float64], names: Sequence[str], marked: Collection[str] = (), title: str = "", legend: str = ""
) -> Figure:
    """A dendrogram that lies on its side, its distances from 0 to 1, or as far as they go.

    Parameters
    ----------
    links : shape (N - 1, 4), float64
        As `scipy.cluster.hierarchy.linkage` gives them.
    names
        Of the N leaves, at least two.
    marked
        Names that have a filled mark; others have an open one.
    title
        Above all.
    legend
        What a filled mark says.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are not as many names as leaves.
    """
    if len(names) < 2 or len(links) != len(names) - 1:
        raise ValueError(f"expected the N - 1 links of {len(names)} names, at least two, got {len(links)}")
    drawn = dendrogram(links, no_plot=True)
    order = [names[leaf] for leaf in drawn["leaves"]]
    axes = row_axes(order, "1 - correlation of the heatmaps", title)
    for y, x in zip(np.array(drawn["icoord"]), np.array(drawn["dcoord"]), strict=True):
        axes.plot(x, (y - 5) / 10, color=_LINE, linewidth=1.4)
    for place, name in enumerate(order):
        filled = name in marked
        axes.plot([0], [place], "o", markersize=5, color=_MARKED, markerfacecolor=_MARKED if filled else "white",
                  clip_on=False, zorder=5)  # fmt: skip
    axes.set_xlim(0, max(1.0, 1.04 * float(links[:, 2].max())))
    for height, y in _merges(drawn["icoord"], drawn["dcoord"]):
        axes.annotate(f"{height:.2f}", (height, y), (3, 2), textcoords="offset points", fontsize=SMALL, color=INK,
                      va="bottom")  # fmt: skip
    if legend:
        axes.text(1, 1.02, f"● {legend}", transform=axes.transAxes, fontsize=SMALL, color=SOFT_INK, ha="right")
    return axes.figure  # type: ignore[return-value]


def _merges(across: Sequence[Sequence[float]], up: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Height of every merge, and where on the axis of the leaves its middle is."""
    return [(height[1], ((leaf[1] + leaf[2]) / 2 - 5) / 10) for leaf, height in zip(across, up, strict=True)]
