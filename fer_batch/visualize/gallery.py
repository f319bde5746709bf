"""The commonest temporal prototypes of a group side by side (TP Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_batch.visualize.colours import Palette, label_text
from fer_batch.visualize.figure import INK, SMALL, SOFT_INK, TEXT, framed_image, inch_axes, new_figure
from fer_batch.visualize.stages import StagePanel, palette_of, panel_image

_MARGIN, _SIDE, _GAP, _NAME = 0.12, 0.82, 0.16, 1.15  # inches
_TEXT = 5.8  # points
MAX_PANELS = 10  # of a row


@dataclass(frozen=True)
class CommonPrototype:
    """One temporal prototype of a group and a sequence that shows it.

    Attributes
    ----------
    n_sequences
        Sequences of the group that have it.
    panels
        Stages of the example.
    n_more
        Later stages of it that have no panel.
    """

    n_sequences: int
    panels: tuple[StagePanel, ...]
    n_more: int = 0

    @property
    def n_stages(self) -> int:
        """All stages of the example."""
        return len(self.panels) + self.n_more


def prototype_gallery(
    prototypes: Sequence[CommonPrototype], n_total: int, palette: Palette | None = None, *, max_panels: int = MAX_PANELS
) -> Figure:
    """Small multiples of a group's commonest temporal prototypes, one row each (TP Fig. 5).

    Parameters
    ----------
    prototypes
        Most frequent first.
    n_total
        Sequences of the group, of which shares are said.
    palette
        Colours that other figures of the same report use.
    max_panels
        Later stages of a prototype are counted, not drawn.

    Returns
    -------
    Figure
        Its axes hold one image per drawn stage.
    """
    palette = palette or palette_of([panel for item in prototypes for panel in item.panels])
    columns = min(max((len(item.panels) for item in prototypes), default=1), max_panels)
    lines = [max((len(panel.labels) for panel in item.panels[:max_panels]), default=1) or 1 for item in prototypes]
    heights = [_SIDE + 0.115 * n + 0.22 for n in lines]
    more = 0.75 if any(item.n_stages > len(item.panels[:max_panels]) for item in prototypes) else 0.0
    width = 2 * _MARGIN + _NAME + columns * (_SIDE + _GAP) + more
    figure = new_figure(width, 2 * _MARGIN + (sum(heights) or 0.4))
    axes = inch_axes(figure)
    top = _MARGIN
    for item, height in zip(prototypes, heights, strict=True):
        noun = "sequence" if item.n_sequences == 1 else "sequences"
        share = f"\n{item.n_sequences / n_total:.0%} of {n_total}" if n_total else ""
        name = f"{item.n_sequences} {noun}{share}"
        axes.text(_MARGIN, top + _SIDE / 2, name, fontsize=SMALL, color=INK, va="center")
        shown = item.panels[:max_panels]
        for i, panel in enumerate(shown):
            left = _MARGIN + _NAME + i * (_SIDE + _GAP)
            _draw_panel(axes, panel, palette, left, top)
            if i + 1 < len(shown):
                _arrow(axes, left + _SIDE, top + _SIDE / 2)
        if item.n_stages > len(shown):
            text = f"and {item.n_stages - len(shown)}\nmore"
            left = _MARGIN + _NAME + columns * (_SIDE + _GAP)
            axes.text(left, top + _SIDE / 2, text, fontsize=SMALL, color=SOFT_INK, va="center", style="italic")
        top += height
    if not prototypes:
        axes.text(_MARGIN, 0.3, "no temporal prototype", fontsize=TEXT, color=SOFT_INK, style="italic", va="center")
    return figure


def _draw_panel(axes: Axes, panel: StagePanel, palette: Palette, left: float, top: float) -> None:
    framed_image(axes, panel_image(panel, palette, 140), left, top, _SIDE)
    names = [label_text(*label)[:14] for label in panel.labels] or ["NONE"]
    axes.text(
        left + _SIDE / 2, top + _SIDE + 0.04, "\n".join(names), fontsize=_TEXT, color=INK, ha="center", va="top",
        linespacing=1.15, parse_math=False,
    )  # fmt: skip


def _arrow(axes: Axes, x: float, y: float) -> None:
    arrow = {"arrowstyle": "-|>", "color": SOFT_INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 6}
    axes.annotate("", xy=(x + _GAP - 0.02, y), xytext=(x + 0.02, y), arrowprops=arrow)
