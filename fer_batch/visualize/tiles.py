"""Figures of small pictures in rows and columns, each with its title, for comparison by eye."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fer_batch.visualize.figure import INK, PALE, RULE, SMALL, SOFT_INK, TEXT, framed_image, inch_axes, new_figure

WRONG = "#9a3412"
_MARGIN, _SIDE, _GAP, _LINE = 0.12, 1.14, 0.14, 0.125  # inches; a line of small text
_BESIDE, _LEAST_WIDTH = 0.95, 3.0
_PER_LINE, _NAME = 21, 15  # characters that fit over a picture, and beside a row
_NOTE_PER_INCH, _TITLE_PER_INCH = 18, 13


@dataclass(frozen=True)
class Tile:
    """One cell: pictures above each other under a title.

    Attributes
    ----------
    images : each (H, W, 3), uint8, RGB
        From top to bottom; none leaves the cell blank with its reason.
    title
        One line, or two with a line break.
    wrong
        Whether the title is that of a misclassified image: a cross before it, a broken frame around the cell.
    reason
        Why there is no picture.
    """

    images: tuple[NDArray[np.uint8], ...] = ()
    title: str = ""
    wrong: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Band:
    """Rows of tiles under one line of column names.

    Attributes
    ----------
    columns, rows
        Names, any text.
    tiles
        One sequence per row, as long as `columns`.

    Raises
    ------
    ValueError
        If there is no tile, or a row has more or fewer tiles than there are columns.
    """

    columns: Sequence[str]
    rows: Sequence[str]
    tiles: Sequence[Sequence[Tile]]

    def __post_init__(self) -> None:
        found = [len(row) for row in self.tiles]
        if not found or not self.columns or found != [len(self.columns)] * len(self.rows):
            raise ValueError(
                f"expected {len(self.rows)} rows of {len(self.columns)} tiles, at least one, got rows of {found}"
            )


def tiles_figure(bands: Sequence[Band], title: str = "", note: str = "") -> Figure:
    """Tiles under the names of their columns and beside the names of their rows.

    Parameters
    ----------
    bands
        From top to bottom; at least one.
    title, note
        Above and below all.

    Returns
    -------
    Figure
        One axes over the whole figure, in inches.
    """
    beside = _BESIDE if any(name for band in bands for name in band.rows) else 0.0
    n_columns = max(len(band.columns) for band in bands)
    width = max(2 * _MARGIN + beside + n_columns * (_SIDE + _GAP) - _GAP, _LEAST_WIDTH)
    drawn = [replace(band, tiles=[[_shown(tile) for tile in row] for row in band.tiles]) for band in bands]
    notes = textwrap.wrap(one_line(note), int(width * _NOTE_PER_INCH))
    titles = textwrap.wrap(one_line(title), int(width * _TITLE_PER_INCH))[:3]
    top = _MARGIN + 0.19 * len(titles) + (0.06 if titles else 0.0)
    figure = new_figure(width, top + sum(_band_height(band) for band in drawn) + _LINE * len(notes) + _MARGIN)
    axes = inch_axes(figure)
    axes.text(_MARGIN, _MARGIN, "\n".join(titles), fontsize=TEXT + 1, weight="bold", color=INK, va="top",
              parse_math=False)  # fmt: skip
    for band in drawn:
        _draw_band(axes, band, _MARGIN + beside, top)
        top += _band_height(band)
    axes.text(_MARGIN, top, "\n".join(notes), fontsize=SMALL, color=SOFT_INK, va="top", parse_math=False)
    return figure


def one_line(text: str) -> str:
    """Text without line breaks, control characters and characters that turn the direction of writing."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def fitted(text: str, width: int, lines: int) -> str:
    """Text in at most so many lines of so many characters, an ellipsis for what does not fit."""
    wrapped = textwrap.wrap(one_line(text), width, break_on_hyphens=False)
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], wrapped[lines - 1][: width - 1].rstrip() + "…"]
    return "\n".join(wrapped)


def answer_title(truth: str, predicted: str) -> str:
    """`true / predicted`, in two lines where one is too short."""
    names = [fitted(name, _PER_LINE - 3, 1) for name in (truth or "?", predicted or "?")]
    joined = " / ".join(names)
    return joined if len(joined) <= _PER_LINE else f"{names[0]} /\n{names[1]}"


def _shown(tile: Tile) -> Tile:
    title = "\n".join(fitted(line, _PER_LINE, 1) for line in tile.title.split("\n")[:2])
    return Tile(tile.images, f"✗ {title}" if tile.wrong else title, tile.wrong, tile.reason)


def _heads(band: Band) -> list[str]:
    return [fitted(name, _PER_LINE - 2, 2) for name in band.columns]


def _head_height(band: Band) -> float:
    return _LINE * (max(head.count("\n") for head in _heads(band)) + 1) + 0.06 if any(band.columns) else 0.0


def _band_height(band: Band) -> float:
    return _head_height(band) + sum(_row_height(row) for row in band.tiles)


def _draw_band(axes: Axes, band: Band, first: float, top: float) -> None:
    lefts = [first + i * (_SIDE + _GAP) for i in range(len(band.columns))]
    top += _head_height(band)
    for left, head in zip(lefts, _heads(band), strict=True):
        _text(axes, left + _SIDE / 2, top - 0.06, head, va="bottom", weight="bold")
    for name, row in zip(band.rows, band.tiles, strict=True):
        height = _row_height(row) - _GAP
        _text(axes, _MARGIN, top + height / 2, fitted(name, _NAME, 4), ha="left", va="center")
        for left, tile in zip(lefts, row, strict=True):
            _draw(axes, tile, left, top, _title_lines(row), height)
        top += height + _GAP


def _title_lines(row: Sequence[Tile]) -> int:
    return max(tile.title.count("\n") + 1 if tile.title else 0 for tile in row)


def _row_height(row: Sequence[Tile]) -> float:
    n_images = max(1, max(len(tile.images) for tile in row))
    return _LINE * _title_lines(row) + 0.05 + n_images * (_SIDE + 0.04) + _GAP


def _draw(axes: Axes, tile: Tile, left: float, top: float, lines: int, height: float) -> None:
    start = top + _LINE * lines + 0.05
    colour = WRONG if tile.wrong else INK
    _text(axes, left + _SIDE / 2, start - 0.04, tile.title, va="bottom", color=colour)
    for number, image in enumerate(tile.images):
        framed_image(axes, image, left, start + number * (_SIDE + 0.04), _SIDE)
    if tile.images and tile.wrong:
        bottom = start + len(tile.images) * (_SIDE + 0.04) - 0.04
        x, y = np.array([left, left + _SIDE]), np.array([start, bottom])
        axes.plot(x[[0, 1, 1, 0, 0]], y[[0, 0, 1, 1, 0]], color=WRONG, linewidth=1.8, linestyle=(0, (4, 1.5)))
    if not tile.images:
        low, high = start, top + height - 0.04
        axes.fill([left, left + _SIDE, left + _SIDE, left], [low, low, high, high], color=PALE, linewidth=0)
        axes.plot([left, left + _SIDE, left + _SIDE, left, left], [low, low, high, high, low], color=RULE,
                  linewidth=0.7, linestyle=":")  # fmt: skip
        reason = fitted(tile.reason or "no image", _PER_LINE - 2, 5)
        _text(axes, left + _SIDE / 2, (low + high) / 2, reason, va="center", color=SOFT_INK, style="italic")


def _text(
    axes: Axes, x: float, y: float, text: str, *, ha: str = "center", va: str = "center", color: str = INK,
    weight: str = "normal", style: str = "normal",
) -> None:  # fmt: skip
    axes.text(x, y, text, fontsize=SMALL, color=color, ha=ha, va=va, weight=weight, style=style, linespacing=1.15,
              parse_math=False)  # fmt: skip
