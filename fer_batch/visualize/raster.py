"""Maps as small PNG files of few colours, for pages that show thousands of them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_batch.types import MapStyle
from fer_batch.visualize.heatmap import Colour, blended, jet_colours, resize_map, shadow, stretched
from fer_batch.visualize.projection import normalise

SIDE = 112  # pixels at most
_STYLE = MapStyle()
_LEVELS = 63  # of each sign of a map: finer than an eye sees, coarse enough to compress


def map_png(relevance: NDArray[np.floating], style: MapStyle = _STYLE, side: int = SIDE) -> bytes:
    """A map as `coloured` shows it, in 127 colours and at most `side` pixels a side; grey where undefined.

    Parameters
    ----------
    relevance : shape (h, w)
    style
        Normalisation and colours.
    side
        Pixels; a larger map is made smaller.
    """
    height, width = (min(n, side) for n in relevance.shape)
    small = resize_map(relevance, height, width)
    if style.colours == "jet":
        values = 2 * stretched(small) - 1
        colours = 255 * jet_colours(np.linspace(0, 1, 2 * _LEVELS + 1))
    else:
        values = normalise(small, two_sided=style.two_sided)
        colours = _blue_white_red()
    codes = np.where(np.isfinite(values), np.round(np.nan_to_num(values) * _LEVELS) + _LEVELS, 2 * _LEVELS + 1)
    return _png(codes, np.vstack([colours, [204.0] * 3]))


def _blue_white_red() -> NDArray[np.float64]:
    """Colours of 127 levels, channels to 255."""
    weakness = 255 - np.abs(np.arange(-_LEVELS, _LEVELS + 1)) / _LEVELS * 255
    sign = np.sign(np.arange(-_LEVELS, _LEVELS + 1))
    full = np.full_like(weakness, 255.0)
    return np.stack([np.where(sign < 0, weakness, full), weakness, np.where(sign > 0, weakness, full)], 1)


def projection_png(layers: Sequence[tuple[NDArray[np.float64], Colour]]) -> bytes:
    """Projections on a transparent ground, to be laid over the face that `faded` gives: together as `project_onto`.

    Parameters
    ----------
    layers
        (`projection_on` of a map, all of one shape; colour); at least one.
    """
    colour, opaque = blended(layers, layers[0][0].shape)
    inside = opaque > 0
    # Five bits a channel: finer than an eye sees on a patch, coarse enough to compress.
    pixels = np.zeros((*inside.shape, 4), np.uint8)
    pixels[..., :3] = np.round(colour * 31).astype(np.uint8) * 8
    # Over the rim alone black shows; inside it darkens what shines through, which 1 - opacity leaves little of.
    pixels[..., 3] = np.round(np.where(inside, opaque, shadow(inside)) * 31).astype(np.uint8) * 8
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _png(codes: NDArray[np.floating], colours: NDArray[np.floating]) -> bytes:
    image = Image.fromarray(codes.astype(np.uint8), mode="P")
    image.putpalette(np.round(colours).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
