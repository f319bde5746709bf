"""The number of clusters and the mean map of each, as figures (methods 9, RV-3 to RV-5)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fer_batch.types import MapStyle
from fer_batch.visualize.chips import chip
from fer_batch.visualize.colours import Palette, Style, label_text
from fer_batch.visualize.figure import INK, PALE, RULE, SMALL, SOFT_INK, TEXT, framed_image, inch_axes, new_figure
from fer_batch.visualize.hatches import texture
from fer_batch.visualize.heatmap import coloured, overlay, project_onto, resize_face, resize_map
from fer_batch.visualize.spectrum_layout import (
    ClusterDecision,
    ClusterMap,
    has_spectrum,
    spectrum_layout,
    without_spectrum,
)
from fer_batch.visualize.standard_face import line_face

__all__ = ["ClusterDecision", "ClusterMap", "cluster_figure", "has_spectrum", "projection_figure", "without_spectrum"]

_MARGIN, _GAP = 0.12, 0.12
_PIXELS = 224
_ORANGE = Style("#e69f00", "#8f6300", "#1f2328")
_STYLE = MapStyle()


def cluster_figure(decision: ClusterDecision, palette: Palette | None = None, *, per_row: int = 5) -> Figure:
    """The spectrum with the chosen number of clusters, and per cluster its mean map over an exemplar.

    Parameters
    ----------
    decision
        One target of one sequence.
    palette
        Colours that other figures of the same report use.
    per_row
        Clusters in one row.

    Returns
    -------
    Figure
        Axes `maps` that hold two images per cluster, its map and Top-X over the face, and axes `spectrum` where there
        are three maps or more; a sentence stands in its place for fewer.
    """
    palette = palette or Palette([decision.target])
    side, head = 1.35, 0.3
    charted = has_spectrum(decision)
    spectrum = 2.9 if charted else 1.3
    rows = [decision.clusters[i : i + per_row] for i in range(0, len(decision.clusters), per_row)]
    columns = max((len(row) for row in rows), default=1)
    width = _MARGIN + spectrum + 0.45 + columns * (side + _GAP) + _MARGIN
    block = head + 2 * side + 0.06 + 0.12
    height = max(len(rows), 1) * block + 2 * _MARGIN
    figure = new_figure(width, height)
    axes = inch_axes(figure)
    axes.set_label("maps")
    if charted:
        _draw_spectrum(
            figure.add_axes(
                (0.5 / width, 1 - (_MARGIN + 0.35 + 2.05) / height, (spectrum - 0.4) / width, 2.05 / height),
                label="spectrum",
            ),
            decision,
        )
    else:
        axes.text(_MARGIN, _MARGIN + head + side, without_spectrum(decision), fontsize=TEXT, color=INK, va="center")
    for r, row in enumerate(rows):
        for c, cluster in enumerate(row):
            left = _MARGIN + spectrum + 0.45 + c * (side + _GAP)
            top = _MARGIN + r * block
            style = palette.style(decision.target, cluster.letter)
            chip(axes, left + side / 2, top + 0.12, label_text(decision.target, cluster.letter), style, TEXT)
            framed_image(axes, _map_cell(cluster, palette.maps), left, top + head, side)
            framed_image(
                axes, _projected_cell(cluster, style, palette.maps.top_x), left, top + head + side + 0.06, side
            )
            frames = f"{cluster.n_frames} frame" + ("" if cluster.n_frames == 1 else "s")
            axes.text(
                left + side - 0.04, top + head + 0.05, frames, fontsize=SMALL, color=SOFT_INK, ha="right", va="top"
            )
    return figure


def projection_figure(
    relevance: NDArray[np.floating],
    face: NDArray[np.uint8] | None = None,
    *,
    style: Style = _ORANGE,
    maps: MapStyle = _STYLE,
) -> Figure:
    """TP Fig. 3: the map in colours, its overlay, and its two Top-X projections, side by side.

    Parameters
    ----------
    relevance : shape (h, w)
        One map.
    face : uint8, shape (H, W) or (H, W, 3)
        The crop it explains; None draws the standard face.
    style
        Of the projections.
    maps
        Normalisation and colours of the map, and the shares of the projections.
    """
    side, head, legend = 1.9, 0.28, 0.42
    base = line_face(_PIXELS, _PIXELS) if face is None else resize_face(face, _PIXELS, _PIXELS)
    cells = [
        ("relevance", _upscaled(relevance, maps)),
        ("relevance over the face", overlay(base, relevance, maps)),
        *(
            (f"Top-{share:g} %", project_onto(base, [(relevance, texture(style, _PIXELS, _PIXELS))], share=share))
            for share in maps.shares
        ),
    ]
    width = 2 * _MARGIN + len(cells) * (side + _GAP) - _GAP
    figure = new_figure(width, 2 * _MARGIN + head + side + legend)
    axes = inch_axes(figure)
    for i, (title, image) in enumerate(cells):
        left = _MARGIN + i * (side + _GAP)
        axes.text(left + side / 2, _MARGIN + head / 2, title, fontsize=TEXT, color=INK, ha="center", va="center")
        framed_image(axes, image, left, _MARGIN + head, side)
    top = _MARGIN + head + side + 0.1
    ramp = coloured(np.linspace(-1, 1, 101)[None, :].repeat(2, axis=0), maps)
    ends = ("lowest", "", "highest") if maps.colours == "jet" else ("against", "0", "for")
    axes.imshow(ramp, extent=(_MARGIN, _MARGIN + side, top + 0.09, top), aspect="auto", interpolation="nearest")
    for share_of_width, text, align in zip((0.0, 0.5, 1.0), ends, ("left", "center", "right"), strict=True):
        axes.text(_MARGIN + share_of_width * side, top + 0.13, text, fontsize=SMALL, color=SOFT_INK, ha=align, va="top")
    axes.text(
        _MARGIN + side + _GAP, top + 0.02,
        "Top-x: the fewest pixels that together hold x percent of the positive relevance",
        fontsize=SMALL, color=SOFT_INK, ha="left", va="top",
    )  # fmt: skip
    return figure


def _draw_spectrum(axes: Axes, decision: ClusterDecision) -> None:
    plan = spectrum_layout(decision)
    values, k, n = plan.values, plan.n_clusters, len(plan.values)
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    for spine in ("left", "bottom"):
        axes.spines[spine].set_color(RULE)
    axes.tick_params(labelsize=SMALL, labelcolor=INK, color=RULE, length=2)
    axes.set_xlabel("eigenvalue number", fontsize=SMALL, color=SOFT_INK)
    axes.set_ylabel("eigenvalue", fontsize=SMALL, color=SOFT_INK)
    axes.set_title(plan.title, fontsize=TEXT, color=INK, loc="left", weight="bold", pad=4)
    axes.set_title(plan.details, fontsize=SMALL, color=SOFT_INK, loc="right", pad=5, parse_math=False)
    if not n:
        axes.set(xticks=[], yticks=[])
        axes.text(
            0.5, 0.5, "no spectrum:\ntoo few maps to compare", transform=axes.transAxes, ha="center", va="center",
            fontsize=SMALL, color=SOFT_INK, style="italic",
        )  # fmt: skip
        return
    number = np.arange(1, n + 1)
    below = number <= k
    axes.vlines(number, 0, values, color=np.where(below, "#0072b2", "#b6bec7").tolist(), linewidth=1.4)
    axes.scatter(number[below], values[below], s=18, color="#0072b2", zorder=3)
    axes.scatter(number[~below], values[~below], s=14, color="#8b949e", zorder=3)
    if plan.gap is not None:
        before, after = plan.gap
        axes.axvspan(k, k + 1, color=PALE, zorder=0)
        axes.annotate(
            "", xy=(k + 0.5, after), xytext=(k + 0.5, before),
            arrowprops={"arrowstyle": "<->", "color": INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        axes.text(k + 0.5, after, "gap", fontsize=SMALL, color=INK, ha="center", va="bottom")
    axes.set_xlim(0.4, n + 0.6)
    axes.set_ylim(min(0.0, float(values.min())) - 0.03 * max(float(values.max()), 1e-3), None)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))


def _map_cell(cluster: ClusterMap, maps: MapStyle) -> NDArray[np.uint8]:
    if cluster.relevance is None:
        return np.full((_PIXELS, _PIXELS, 3), 240, dtype=np.uint8)
    return _upscaled(cluster.relevance, maps)


def _upscaled(relevance: NDArray[np.floating], maps: MapStyle) -> NDArray[np.uint8]:
    height, width = relevance.shape
    return coloured(resize_map(relevance, max(height, _PIXELS), max(width, _PIXELS)), maps)


def _projected_cell(cluster: ClusterMap, style: Style, share: float) -> NDArray[np.uint8]:
    face = line_face(_PIXELS, _PIXELS) if cluster.face is None else resize_face(cluster.face, _PIXELS, _PIXELS)
    colour = texture(style, _PIXELS, _PIXELS)
    return project_onto(face, [] if cluster.relevance is None else [(cluster.relevance, colour)], share=share)
