"""Maps as small PNG files of few colours, for pages that show thousands of them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_batch.visualize.heatmap import Colour, blended, resize_map, shadow
from fer_batch.visualize.projection import normalise

SIDE = 112  # pixels at most
_LEVELS = 63  # of each sign of a map: finer than an eye sees, coarse enough to compress


def map_png(relevance: NDArray[np.floating], side: int = SIDE) -> bytes:
    """Blue, white, red as in `bwr`, in 127 colours and at most `side` pixels a side; grey where undefined.

    The map has shape (h, w) and any unit: it is divided by its largest magnitude.
    """
    height, width = (min(n, side) for n in relevance.shape)
    values = normalise(resize_map(relevance, height, width))
    codes = np.where(np.isfinite(values), np.round(np.nan_to_num(values) * _LEVELS) + _LEVELS, 2 * _LEVELS + 1)
    weakness = 255 - np.abs(np.arange(-_LEVELS, _LEVELS + 1)) / _LEVELS * 255
    sign = np.sign(np.arange(-_LEVELS, _LEVELS + 1))
    full = np.full_like(weakness, 255.0)
    colours = np.stack([np.where(sign < 0, weakness, full), weakness, np.where(sign > 0, weakness, full)], 1)
    return _png(codes, np.vstack([colours, [204.0] * 3]))


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
