"""Relevance as colour: the blue-white-red map, and coloured projections laid over a face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fer_batch.types import MapStyle
from fer_batch.visualize.projection import Ties, normalise, top_relevance

Colour = tuple[float, float, float] | NDArray[np.float64]  # channels in [0, 1]: one colour, or (H, W, 3)

_STYLE = MapStyle()
_GREY_OF_UNDEFINED = 0.8
_LUMA = np.array([0.299, 0.587, 0.114])


def bwr(relevance: NDArray[np.floating], *, two_sided: bool = False) -> NDArray[np.uint8]:
    """Blue for negative, white for zero, red for positive relevance.

    Parameters
    ----------
    relevance : shape (..., H, W)
        Signed; each map is normalised by itself.
    two_sided
        As in `normalise`.

    Returns
    -------
    shape (..., H, W, 3), uint8
        A map that is undefined is plain grey.

    References
    ----------
    Methods RV-3.
    """
    values = normalise(relevance, two_sided=two_sided)
    weakness = 1 - np.abs(values)
    colours = np.stack(
        [
            np.where(values < 0, weakness, 1.0),
            weakness,
            np.where(values > 0, weakness, 1.0),
        ],
        axis=-1,
    )
    return _to_bytes(np.where(np.isnan(values)[..., None], _GREY_OF_UNDEFINED, colours))


def jet(relevance: NDArray[np.floating]) -> NDArray[np.uint8]:
    """JET from the lowest value of a map, blue, to its highest, red.

    Parameters
    ----------
    relevance : shape (..., H, W)
        Each map is stretched by itself.

    Returns
    -------
    shape (..., H, W, 3), uint8
        A constant map is blue throughout; one that is undefined is plain grey.

    References
    ----------
    Methods RV-3 and H-4: the colours of Grad-CAM and of Gaya-Morey et al. (2024).
    """
    values = stretched(relevance)
    colours = jet_colours(np.nan_to_num(values))
    return _to_bytes(np.where(np.isnan(values)[..., None], _GREY_OF_UNDEFINED, colours))


def jet_colours(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Colours of JET, channels in [0, 1].

    Parameters
    ----------
    values : any shape, in [0, 1]

    Returns
    -------
    that shape and an axis of 3
    """
    centres = np.array([3.0, 2.0, 1.0])  # quarters of the scale at which red, green and blue are at their middle
    return np.clip(1.5 - np.abs(4 * np.asarray(values, np.float64)[..., None] - centres), 0, 1)


def stretched(relevance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each map from 0, its lowest value, to 1, its highest; zero where constant, NaN where undefined.

    Parameters
    ----------
    relevance : shape (..., H, W)

    Returns
    -------
    shape (..., H, W), in [0, 1]
    """
    values = np.asarray(relevance, np.float64)
    values = np.where(np.isfinite(values).all(axis=(-2, -1), keepdims=True), values, np.nan)
    low, high = (f(values, axis=(-2, -1), keepdims=True) for f in (np.min, np.max))
    return (values - low) / np.where(high > low, high - low, 1.0)


def coloured(relevance: NDArray[np.floating], style: MapStyle) -> NDArray[np.uint8]:
    """A map in the colours of a style, shape (..., H, W) to (..., H, W, 3), uint8."""
    return jet(relevance) if style.colours == "jet" else bwr(relevance, two_sided=style.two_sided)


def resize_map(relevance: NDArray[np.floating], height: int, width: int) -> NDArray[np.float32]:
    """Bilinear resampling of one map to another grid, pixel areas aligned.

    Parameters
    ----------
    relevance : shape (h, w)
    height, width
        Of the new grid, in pixels.

    Returns
    -------
    shape (height, width), float32
    """
    values = np.ascontiguousarray(relevance, dtype=np.float32)
    if values.shape == (height, width):
        return values
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))


def resize_face(face: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A face crop in another size and in RGB.

    Parameters
    ----------
    face : shape (H, W) or (H, W, 3), uint8
        Grey or RGB.
    height, width
        Of the result, in pixels.

    Returns
    -------
    shape (height, width, 3), uint8

    Raises
    ------
    ValueError
        If the face has another shape or dtype.
    """
    if face.dtype != np.uint8 or not (face.ndim == 2 or (face.ndim == 3 and face.shape[2] == 3)):
        raise ValueError(f"a face is uint8 of shape (H, W) or (H, W, 3), got {face.dtype} {face.shape}")
    image = Image.fromarray(np.ascontiguousarray(face)).convert("RGB")
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def faded(face: NDArray[np.uint8], strength: float = 0.48) -> NDArray[np.uint8]:
    """The face in light grey, so that colour on it means relevance only.

    Parameters
    ----------
    face : shape (H, W, 3)
    strength : in [0, 1]
        How much of the contrast stays.
    """
    grey = (face.astype(np.float64) / 255) @ _LUMA
    return _to_bytes(np.repeat((1 - strength * (1 - grey))[..., None], 3, axis=-1))


def overlay(
    face: NDArray[np.uint8], relevance: NDArray[np.floating], style: MapStyle = _STYLE, *, opacity: float = 0.85
) -> NDArray[np.uint8]:
    """The map over a greyed face, which shows where relevance is zero (in JET: where it is lowest).

    Parameters
    ----------
    face : shape (H, W, 3)
    relevance : shape (h, w)
        Any grid; resampled bilinearly to the face.
    style
        Normalisation and colours.
    opacity : in [0, 1]
        Of the strongest relevance.

    Returns
    -------
    shape (H, W, 3), uint8
    """
    shown = resize_map(relevance, *face.shape[:2])
    if style.colours == "jet":
        values = np.nan_to_num(stretched(shown))
        pure = jet_colours(values) * 255
    else:
        values = normalise(shown, two_sided=style.two_sided)
        pure = np.where(values[..., None] < 0, [0, 0, 255], [255, 0, 0])
    strength = np.nan_to_num(np.abs(values))[..., None] ** 0.7 * opacity
    base = faded(face).astype(np.float64)
    return np.round(base * (1 - strength) + pure * strength).astype(np.uint8)


def project_onto(
    face: NDArray[np.uint8],
    layers: Sequence[tuple[NDArray[np.floating], Colour]],
    *,
    share: float = 25.0,
    ties: Ties = "all",
) -> NDArray[np.uint8]:
    """Top-X projections over a greyed face, each in its own colour.

    Parameters
    ----------
    face : shape (H, W, 3)
    layers
        (map of any grid, colour). Maps smaller than the face are upsampled bilinearly before
        they are projected; larger ones are projected first, as resampling would smear their peaks.
    share, ties
        As in `top_relevance`.

    Returns
    -------
    shape (H, W, 3)
        Where projections meet, their colours mix in proportion to their relative relevance.
    """
    height, width = face.shape[:2]
    colour, opaque = blended(
        [(projection_on(relevance, height, width, share, ties), rgb) for relevance, rgb in layers], (height, width)
    )
    base = faded(face).astype(np.float64) / 255 * (1 - shadow(opaque > 0)[..., None])
    return _to_bytes(base * (1 - opaque[..., None]) + colour * opaque[..., None])


def blended(
    layers: Sequence[tuple[NDArray[np.float64], Colour]], shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Colour (H, W, 3) and opacity (H, W) of projections in [0, 1], each in its own colour.

    Where projections meet, their colours mix in proportion to their relative relevance.
    """
    weight, opaque, colour = np.zeros(shape), np.zeros(shape), np.zeros((*shape, 3))
    for shown, rgb in layers:
        strength = np.where(shown > 0, 0.55 + 0.4 * shown, 0.0)
        weight += strength
        colour += strength[..., None] * np.asarray(rgb)
        opaque = np.maximum(opaque, strength)
    return np.divide(colour, weight[..., None], out=colour, where=weight[..., None] > 0), opaque


def shadow(shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Darkness of a soft rim, without which light colours would not stand out from light skin.

    Parameters
    ----------
    shown : shape (H, W), bool
        Where projections are.

    Returns
    -------
    shape (H, W), float64, in [0, 1]
    """
    if not shown.any():
        return np.zeros(shown.shape)
    blurred = Image.fromarray(shown.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(max(shown.shape) / 75))
    return 0.32 * np.minimum(1.0, 1.6 * np.asarray(blurred, dtype=np.float64) / 255)


def projection_on(
    relevance: NDArray[np.floating], height: int, width: int, share: float, ties: Ties
) -> NDArray[np.float64]:
    """The Top-X projection of a map on the grid of a face.

    Parameters
    ----------
    relevance : shape (h, w)
        Signed. A map that is not larger than the face is upsampled before it is projected; a larger one after.
    height, width
        Of the face, in pixels.
    share, ties
        As in `top_relevance`.

    Returns
    -------
    shape (height, width), float64, in [0, 1]
    """
    if relevance.shape[0] <= height and relevance.shape[1] <= width:
        return normalise(np.nan_to_num(top_relevance(resize_map(relevance, height, width), share, ties)))
    projected = np.nan_to_num(top_relevance(relevance, share, ties)).astype(np.float32)
    # A box filter keeps single pixels visible where nearest-neighbour sampling would drop them.
    small = np.asarray(Image.fromarray(projected).resize((width, height), Image.Resampling.BOX))
    return normalise(small)


def _to_bytes(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
