"""Sheets of maps on the standard face: the masks of expressions, and heatmaps by network and class (methods 14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fer_batch.regions import standard_face
from fer_batch.visualize.figure import INK, PALE, RULE, SMALL, SOFT_INK, TEXT, inch_axes, new_figure
from fer_batch.visualize.heatmap import bwr, jet, jet_colours
from fer_batch.visualize.standard_face import line_face, strokes
from fer_batch.visualize.tiles import fitted

_DPI = 144  # of `figure.save`: a pixel of a map is one of the picture
_MARGIN, _GAP, _LINE, _BESIDE, _BAR = 0.12, 0.14, 0.16, 1.4, 0.42  # inches
_MASK = np.array([0, 114, 178])


@dataclass(frozen=True)
class Panel:
    """One map on the standard face.

    Attributes
    ----------
    image : shape (H, W, 3), uint8, RGB; or None
        None leaves the panel blank with its title.
    title
        Under it, one line.
    mask : shape (H, W), bool; or None
        Whose outline is drawn.
    outline
        Its colour.
    lines
        Whether the lines of the standard face are drawn: of a map on that face.
    """

    image: NDArray[np.uint8] | None
    title: str = ""
    mask: NDArray[np.bool_] | None = None
    outline: str = "white"
    lines: bool = True


def heatmap_panel(heatmap: NDArray[np.floating], title: str = "", mask: NDArray[np.bool_] | None = None) -> Panel:
    """A heatmap in JET, from its lowest value to its highest (methods H-4).

    Parameters
    ----------
    heatmap : shape (H, W), any unit
        On the standard face.
    title
        Under it.
    mask : shape (H, W), bool
        Where evidence of the class is expected.
    """
    return Panel(jet(heatmap), title, mask)


def difference_panel(
    difference: NDArray[np.floating], title: str = "", where: NDArray[np.bool_] | None = None
) -> Panel:
    """A difference of two heatmaps: red where the first has more, blue where the second has, white where neither.

    Parameters
    ----------
    difference : shape (H, W), any unit
        On the standard face.
    title
        Under it.
    where : shape (H, W), bool
        What is outlined: where a test finds a difference.
    """
    return Panel(bwr(difference), title, where, "black")


def mask_panel(mask: NDArray[np.bool_], title: str = "") -> Panel:
    """A mask laid over the lines of the standard face.

    Parameters
    ----------
    mask : shape (H, W), bool
        On the standard face.
    title
        Under it.
    """
    points, (height, width) = standard_face()
    face = line_face(mask.shape[0], mask.shape[1], points * (mask.shape[1] / width, mask.shape[0] / height)).astype(
        np.float64
    )
    face[mask] = 0.45 * face[mask] + 0.55 * _MASK
    return Panel(np.round(face).astype(np.uint8), title)


def sheet_figure(
    panels: Sequence[Sequence[Panel | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str = "",
    note: str = "",
    colour_bar: bool = False,
) -> Figure:
    """Panels in their full size, under the names of their columns and beside those of their rows.

    Parameters
    ----------
    panels
        One sequence per row, as long as `columns`; None where there is no map.
    rows, columns
        Names, any text.
    title, note
        Above and below all.
    colour_bar
        Whether a bar says what the colours of heatmaps mean.

    Returns
    -------
    Figure
        Drawn by `figure.save` at 144 dots an inch, a pixel of a map is one of the picture.

    Raises
    ------
    ValueError
        If there is no panel, or a row has more or fewer than there are columns.
    """
    if not panels or not columns or [len(row) for row in panels] != [len(columns)] * len(rows):
        raise ValueError(f"expected {len(rows)} rows of {len(columns)} panels, got {[len(row) for row in panels]}")
    height, width = _shape(panels)
    beside = _BESIDE if any(rows) else 0.0
    total_width = 2 * _MARGIN + beside + len(columns) * (width + _GAP) - _GAP
    notes = fitted(note, total_width - 2 * _MARGIN, 6).splitlines()
    top = _MARGIN + (0.26 if title else 0.0) + 0.2
    row_height = height + _LINE + _GAP
    below = _BAR * colour_bar + 0.13 * len(notes) + _MARGIN
    figure = new_figure(total_width, top + len(rows) * row_height + below)
    axes = inch_axes(figure)
    _say(axes, _MARGIN, _MARGIN + 0.08, fitted(title, total_width - 2 * _MARGIN, 1, TEXT + 1, bold=True), TEXT + 1)
    lefts = [_MARGIN + beside + place * (width + _GAP) for place in range(len(columns))]
    for left, name in zip(lefts, columns, strict=True):
        _say(axes, left, top - 0.1, fitted(name, width, 1, bold=True), SMALL)
    for number, (name, row) in enumerate(zip(rows, panels, strict=True)):
        here = top + number * row_height
        _say(axes, _MARGIN, here + height / 2, fitted(name, _BESIDE - 0.1, 4, bold=True), SMALL)
        for left, panel in zip(lefts, row, strict=True):
            _draw(axes, panel or Panel(None, "no map"), left, here, width, height)
    end = top + len(rows) * row_height
    if colour_bar:
        _draw_bar(axes, lefts[0], end, width)
    axes.text(_MARGIN, end + _BAR * colour_bar, "\n".join(notes), fontsize=SMALL, color=SOFT_INK, va="top",
              parse_math=False)  # fmt: skip
    return figure


def _shape(panels: Sequence[Sequence[Panel | None]]) -> tuple[float, float]:
    """Height and width of a panel in inches."""
    for row in panels:
        for panel in row:
            if panel is not None and panel.image is not None:
                return panel.image.shape[0] / _DPI, panel.image.shape[1] / _DPI
    _, (height, width) = standard_face()
    return height / _DPI, width / _DPI


def _say(axes: Axes, x: float, y: float, text: str, size: float) -> None:
    axes.text(x, y, text, fontsize=size, color=INK, weight="bold", va="center", parse_math=False)


def _draw(axes: Axes, panel: Panel, left: float, top: float, width: float, height: float) -> None:
    right, bottom = left + width, top + height
    if panel.image is None:
        axes.fill([left, right, right, left], [top, top, bottom, bottom], color=PALE, linewidth=0)
    else:
        axes.imshow(panel.image, extent=(left, right, bottom, top), aspect="auto", interpolation="antialiased")
        if panel.lines:
            _draw_lines(axes, left, top, width, height)
        if panel.mask is not None and panel.mask.any() and not panel.mask.all():
            _draw_outline(axes, panel.mask, panel.outline, left, top, width, height)
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=RULE, linewidth=0.7)
    axes.text(left + width / 2, bottom + 0.03, fitted(panel.title, width, 1), fontsize=SMALL, color=SOFT_INK,
              ha="center", va="top", parse_math=False)  # fmt: skip


def _draw_lines(axes: Axes, left: float, top: float, width: float, height: float) -> None:
    """The lines of the standard face, without which a place in a map has no name."""
    points, (rows, columns) = standard_face()
    for line in strokes(points):
        x, y = left + (line[:, 0] + 0.5) * width / columns, top + (line[:, 1] + 0.5) * height / rows
        axes.plot(x, y, color="black", linewidth=0.6, alpha=0.55)


def _draw_outline(
    axes: Axes, mask: NDArray[np.bool_], colour: str, left: float, top: float, width: float, height: float
) -> None:
    x = left + (np.arange(mask.shape[1]) + 0.5) * width / mask.shape[1]
    y = top + (np.arange(mask.shape[0]) + 0.5) * height / mask.shape[0]
    axes.contour(x, y, mask.astype(np.float64), [0.5], colors=colour, linewidths=0.9, linestyles="--")


def _draw_bar(axes: Axes, left: float, top: float, width: float) -> None:
    colours = jet_colours(np.linspace(0, 1, 256))[None]
    axes.imshow(colours, extent=(left, left + width, top + 0.14, top), aspect="auto")
    for x, words, side in ((left, "lowest of the map", "left"), (left + width, "highest", "right")):
        axes.text(x, top + 0.18, words, fontsize=SMALL, color=SOFT_INK, ha=side, va="top")
