"""Figures of small pictures in rows and columns, each with its title, for comparison by eye."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from fer_batch.visualize.figure import INK, PALE, RULE, SMALL, SOFT_INK, TEXT, framed_image, inch_axes, new_figure

WRONG = "#9a3412"
_MARGIN, _SIDE, _GAP, _LINE = 0.12, 1.14, 0.14, 0.125  # inches; a line of small text
_BESIDE, _LEAST_WIDTH = 0.95, 3.0
_TILE, _CROSS = _SIDE + _GAP - 0.04, 0.13  # room over a picture, and what a cross takes of it
_LONGEST = 2000  # characters that are looked at


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
    notes = fitted(note, width - 2 * _MARGIN, 12).splitlines()
    titles = fitted(title, width - 2 * _MARGIN, 3, TEXT + 1, bold=True).splitlines()
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


@lru_cache(maxsize=8192)
def text_width(text: str, size: float = SMALL, bold: bool = False) -> float:
    """Inches that a line of text takes in points of `size`."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")  # type: ignore[arg-type]
    width: float = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return 1.02 * width / 72  # a drawn font is hinted, a measured one is not


def fitted(text: str, width: float, lines: int, size: float = SMALL, bold: bool = False) -> str:
    """Text in at most so many lines of `width` inches, an ellipsis for what does not fit.

    Parameters
    ----------
    text
        Any; line breaks and control characters become spaces.
    width, lines
        Room for it.
    size, bold
        Of the font, in points.
    """

    def fits(part: str) -> bool:
        return text_width(part, size, bold) <= width

    found: list[str] = []
    rest = one_line(text)[:_LONGEST]
    while rest and len(found) <= lines:
        length = bisect_right(range(1, len(rest) + 1), False, key=lambda n: not fits(rest[:n])) or 1
        space = rest.rfind(" ", 0, length + 1) if length < len(rest) else -1
        length = space if space > 0 else length
        found.append(rest[:length])
        rest = rest[length:].lstrip()
    if len(found) > lines:
        last = found[lines - 1]
        while last and not fits(last + "…"):
            last = last[:-1]
        found = [*found[: lines - 1], last.rstrip() + "…"]
    return "\n".join(found)


def answer_title(truth: str, predicted: str, wrong: bool = False) -> str:
    """`true / predicted`, in two lines where one is too short; a cross takes some of it where it is wrong."""
    room = _TILE - _CROSS * wrong
    names = [fitted(name, _TILE - 2 * _CROSS, 1) for name in (truth or "?", predicted or "?")]
    joined = " / ".join(names)
    return joined if text_width(joined) <= room else f"{names[0]} /\n{names[1]}"


def _shown(tile: Tile) -> Tile:
    title = "\n".join(fitted(line, _TILE - _CROSS * tile.wrong, 1) for line in tile.title.split("\n")[:2])
    return Tile(tile.images, f"✗ {title}" if tile.wrong else title, tile.wrong, tile.reason)


def _heads(band: Band) -> list[str]:
    return [fitted(name, _TILE, 2, bold=True) for name in band.columns]


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
        _text(axes, _MARGIN, top + height / 2, fitted(name, _BESIDE - 0.06, 4), ha="left", va="center")
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
        reason = fitted(tile.reason or "no image", _SIDE - 0.08, 5)
        _text(axes, left + _SIDE / 2, (low + high) / 2, reason, va="center", color=SOFT_INK, style="italic")


def _text(
    axes: Axes, x: float, y: float, text: str, *, ha: str = "center", va: str = "center", color: str = INK,
    weight: str = "normal", style: str = "normal",
) -> None:  # fmt: skip
    axes.text(x, y, text, fontsize=SMALL, color=color, ha=ha, va=va, weight=weight, style=style, linespacing=1.15,
              parse_math=False)  # fmt: skip
