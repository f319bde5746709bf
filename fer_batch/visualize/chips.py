"""The name of a label on its colour and hatch, in figures for print."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from fer_batch.visualize.colours import Style, channels


def chip(axes: Axes, x: float, y: float, text: str, style: Style, size: float) -> None:
    """Draw it around a point of the axes, `size` points high."""
    box = {"boxstyle": "round,pad=0.24,rounding_size=0.35", "facecolor": style.fill, "linewidth": 0.6}
    name = axes.text(x, y, text, fontsize=size, color=style.ink, ha="center", va="center", parse_math=False)
    if not style.hatch:
        name.set_bbox(box | {"edgecolor": style.edge})
        return
    # Hatches have the colour of the edge: between ground and text, so that they are seen and the text is read.
    (r, g, b), (ink_r, ink_g, ink_b) = style.rgb, channels(style.ink)
    name.set_bbox(box | {"edgecolor": ((r + ink_r) / 2, (g + ink_g) / 2, (b + ink_b) / 2), "hatch": style.hatch})
    name.set_path_effects([withStroke(linewidth=2.2, foreground=style.fill)])
