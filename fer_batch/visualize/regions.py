"""Regions of Action Units over a face or a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

_INK = "#1f2328"
_OVERSAMPLING = 3
_GAP = 10  # px between the pictures of a sheet
_CAPTION = 34  # px


def outlined(
    image: NDArray[np.uint8], outlines: NDArray[np.floating], colour: str = "#009e73", fill: float = 0.0
) -> NDArray[np.uint8]:
    """An image with the edges of regions drawn on it.

    Parameters
    ----------
    image : shape (H, W, 3), uint8, RGB
    outlines : shape (b, 4, 2), px (x, y) of this image
        Corners of each box; a box that is not finite is left out.
    colour
        `#rrggbb`; the line has a white rim, so that it shows on any ground.
    fill : in [0, 1]
        Opacity of the colour inside.

    Returns
    -------
    shape (H, W, 3), uint8, RGB

    Raises
    ------
    ValueError
        If the shapes are others.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected an image (H, W, 3), got {image.shape}")
    if outlines.ndim != 3 or outlines.shape[1:] != (4, 2):
        raise ValueError(f"expected outlines (b, 4, 2), got {outlines.shape}")
    height, width = image.shape[:2]
    scale = _OVERSAMPLING
    ink = ImageColor.getrgb(colour)
    line = max(scale, round(0.009 * min(height, width) * scale))
    edges = Image.new("RGBA", (width * scale, height * scale), (*ink, 0))
    area = Image.new("L", edges.size, 0)
    # Pixel centres sit at integers.
    boxes = [[tuple(p) for p in (corners + 0.5) * scale] for corners in outlines if np.isfinite(corners).all()]
    for paint, thickness in (((255, 255, 255, 230), 2 * line), ((*ink, 255), line)):
        canvas = ImageDraw.Draw(edges)
        for corners in boxes:
            canvas.line([*corners, *corners[:2]], fill=paint, width=thickness, joint="curve")
    for corners in boxes:
        ImageDraw.Draw(area).polygon(corners, fill=round(255 * fill))
    picture = Image.fromarray(image).convert("RGBA")
    tint = Image.new("RGBA", picture.size, (*ink, 255))
    tint.putalpha(area.resize(picture.size, Image.Resampling.BOX))
    picture.alpha_composite(tint)
    picture.alpha_composite(edges.resize(picture.size, Image.Resampling.BOX))
    return np.asarray(picture.convert("RGB"))


def sheet(pictures: Sequence[tuple[str, NDArray[np.uint8]]], columns: int) -> NDArray[np.uint8]:
    """Pictures of one size in rows, each with its caption of one or two lines above it.

    Parameters
    ----------
    pictures
        (caption, image of shape (H, W, 3), uint8, RGB); at least one, all of the same shape.
    columns
        Pictures in a row.

    Returns
    -------
    shape (H', W', 3), uint8, RGB
    """
    height, width = pictures[0][1].shape[:2]
    n_rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * (width + _GAP) + _GAP, n_rows * (height + _CAPTION + _GAP) + _GAP), "white")
    canvas, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for number, (caption, picture) in enumerate(pictures):
        row, column = divmod(number, columns)
        left, top = _GAP + column * (width + _GAP), _GAP + row * (height + _CAPTION + _GAP)
        canvas.multiline_text((left, top), caption, fill=_INK, font=font, spacing=2)
        page.paste(Image.fromarray(picture), (left, top + _CAPTION))
    return np.asarray(page)
