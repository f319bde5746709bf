"""Figures without global state, and their bytes."""

from __future__ import annotations

import io
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

INK, SOFT_INK, RULE, PALE = "#1f2328", "#57606a", "#c9ced4", "#f1f3f5"
TEXT, SMALL = 8.5, 7.2  # points, at the size the figure is drawn for

# Without these a picture of the same data would differ between two runs.
_REPRODUCIBLE = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of `width` by `height` inches that draws without a display."""
    figure = Figure(figsize=(width, height), dpi=144, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def inch_axes(figure: Figure) -> Axes:
    """Axes over the whole figure whose unit is an inch, y downwards, with nothing drawn."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return axes


def framed_image(axes: Axes, image: NDArray[np.uint8], left: float, top: float, side: float) -> None:
    """Draw an image as a square with a thin frame.

    Parameters
    ----------
    axes
        As `inch_axes` makes them.
    image : shape (H, W, 3), uint8
        RGB.
    left, top, side
        Of the square, in inches.
    """
    axes.imshow(image, extent=(left, left + side, top + side, top), aspect="auto", interpolation="antialiased")
    right, bottom = left + side, top + side
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=RULE, linewidth=0.7)


def save(figure: Figure, file_format: Literal["png", "svg", "pdf"] = "png", dpi: float = 144) -> bytes:
    """The bytes of a figure, the same for the same figure.

    Parameters
    ----------
    figure
        Drawn as it is.
    file_format
        `png`, `svg` or `pdf`.
    dpi : pixels per inch

    Raises
    ------
    ValueError
        If the format is none of these.
    """
    if file_format not in _REPRODUCIBLE:
        raise ValueError(f"file_format must be one of {sorted(_REPRODUCIBLE)}, got {file_format!r}")
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "fer_batch"}):
        figure.savefig(buffer, format=file_format, dpi=dpi, metadata=_REPRODUCIBLE[file_format])
    return buffer.getvalue()


def png(image: NDArray[np.uint8]) -> bytes:
    """An image of shape (H, W) or (H, W, 3), uint8, as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()
