"""The photographed smile made a relaxed face, and the folds that Action Units draw on it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.posed import astronaut as portrait
from fer_batch.posed.geometry import (
    ORIGIN,
    SPAN,
    TEXTURE_SCALE,
    Array,
    control_points,
    mirrored,
    smooth,
    to_texture,
)
from fer_batch.regions.thin_plate import thin_plate_map

Float = NDArray[np.float32]
Image = NDArray[np.uint8]
Pixels = NDArray[Any]  # OpenCV's stubs name no dtype

_SHADE_ORIGIN, _SHADE_SPAN, _SHADE_SCALE = np.array([165.0, 60.0]), (120, 132), 2


def _mask(polygons: tuple[Array, ...], feather: float) -> Pixels:
    """Polygons of portrait pixels as a soft mask on the texture."""
    side = SPAN * TEXTURE_SCALE
    mask = np.zeros((side, side), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.round(to_texture(polygon) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), feather * TEXTURE_SCALE).astype(np.float32) / 255


def _distance_to(lines: tuple[Array, ...], origin: Array, span: tuple[int, int], scale: float) -> Pixels:
    """Distance in portrait pixels of every texel to the nearest of some polylines."""
    fine = 2 * scale
    canvas = np.full((round(span[1] * fine), round(span[0] * fine)), 255, np.uint8)
    for line in lines:
        points = (smooth(line, 8) - origin + 0.5) * fine - 0.5
        cv2.polylines(canvas, [np.round(points * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
    distance = np.asarray(cv2.distanceTransform(canvas, cv2.DIST_L2, 5), np.float32) / np.float32(fine)
    return cv2.resize(distance, (round(span[0] * scale), round(span[1] * scale)), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Relaxed:
    """The relaxed portrait and what can be laid over it."""

    texture: Pixels  # RGB, 0..255
    skin: Pixels
    background: Pixels
    shades: Pixels  # [au, texels]: change of the light at intensity 5
    shade_aus: tuple[int, ...]


@cache
def relaxed() -> Relaxed:
    """The relaxed portrait; made once per process."""
    from skimage import data

    image = data.astronaut()
    digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
    if digest != portrait.IMAGE_SHA256:
        raise ValueError(
            f"expected the astronaut portrait {portrait.IMAGE_SHA256[:12]}, scikit-image has {digest[:12]}"
        )
    side = SPAN * TEXTURE_SCALE
    forward = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) * TEXTURE_SCALE
    forward[:, 2] = to_texture(np.zeros((1, 2)))[0]
    smile = cv2.warpAffine(image, forward, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    smiling, rest = control_points()
    folds = tuple(np.array(line) for line in portrait.SMILE_FOLDS)
    distance = _distance_to(folds, ORIGIN, (SPAN, SPAN), TEXTURE_SCALE)
    unfolded = cv2.inpaint(smile, (distance < 2.3).astype(np.uint8), 7, cv2.INPAINT_TELEA)
    near = np.exp(-((distance / 3.0) ** 4))[..., None].astype(np.float32)
    plain = smile * (1 - near) + cv2.GaussianBlur(unfolded, (0, 0), 3.0) * near
    maps = thin_plate_map(to_texture(rest), to_texture(smiling), (side, side), step=3)
    texture = cv2.remap(plain.astype(np.float32), *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    texture = _with_closed_lips(np.clip(texture, 0, 255), rest)
    shades, shade_aus = _shade_layers()

    outline = np.concatenate([rest[:17], np.array(portrait.FACE_OUTLINE_TOP, dtype=float)])
    skin = _mask(
        (outline, np.array(portrait.NECK, dtype=float), *(np.array(e, dtype=float) for e in portrait.EARS)), 0.8
    )
    return Relaxed(np.clip(texture, 0, 255), skin, _background(texture, skin), shades, shade_aus)


def _with_closed_lips(texture: Pixels, rest: Array) -> Pixels:
    """Take the photographed lips and teeth out of the texture and lay closed lips in their place."""
    upper, lower = smooth(rest[48:55]), smooth(rest[[54, 55, 56, 57, 58, 59, 48]])
    whole = np.concatenate([upper, lower[1:-1]])
    hole = (_mask((whole,), 0.9) > 0.06).astype(np.uint8)
    skin = cv2.inpaint(texture.astype(np.uint8), hole, 9, cv2.INPAINT_TELEA)
    soft = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 3.0)[..., None]
    out = texture * (1 - soft) + cv2.GaussianBlur(skin, (0, 0), 4.0) * soft
    rng = np.random.default_rng(7)  # the grain of the skin, lost in the filling
    out += soft * cv2.GaussianBlur(rng.normal(0, 9, texture.shape[:2]).astype(np.float32), (0, 0), 1.6)[..., None]
    seam = smooth(0.5 * (rest[[60, 61, 62, 63, 64]] + rest[[60, 67, 66, 65, 64]]), 8)
    for edge, colour, alpha in ((upper, (178, 106, 98), 0.80), (lower, (196, 122, 114), 0.78)):
        ring = np.concatenate([edge, seam[::-1] if edge is upper else seam])
        mask = _mask((ring,), 0.45)[..., None] * alpha
        out = out * (1 - mask) + np.array(colour, np.float32) * mask
    distance = _distance_to((seam,), ORIGIN, (SPAN, SPAN), TEXTURE_SCALE)
    lips = _mask((whole,), 0.4)
    out *= (1 - 0.30 * np.exp(-0.5 * (distance / 1.0) ** 2) * lips)[..., None]
    centre = to_texture(rest[[57, 66]].mean(0, keepdims=True))[0]
    rows, columns = np.mgrid[: texture.shape[0], : texture.shape[1]].astype(np.float32)
    shine = np.exp(-0.5 * (((columns - centre[0]) / 17) ** 2 + ((rows - centre[1]) / 4.5) ** 2)) * lips
    return np.clip(out + 26 * shine[..., None], 0, 255)


def _background(texture: Pixels, skin: Pixels) -> Pixels:
    """Soft mask of the studio backdrop: light, grey, and connected to the upper corners."""
    light = texture.mean(2)
    spread = texture.max(2) - texture.min(2)
    candidate: Pixels = ((light > 135) & (spread < 52) & (skin < 0.3)).astype(np.uint8)
    candidate = cv2.morphologyEx(candidate, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, labels = cv2.connectedComponents(candidate)
    keep = {int(labels[y, x]) for y, x in ((5, 5), (5, -5), (300, 5), (420, -5))} - {0}
    backdrop = np.isin(labels, sorted(keep)).astype(np.uint8)
    mask: Pixels = cv2.morphologyEx(backdrop, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    mask = cv2.dilate(mask, np.ones((7, 7), np.uint8))  # over the light rim that the backdrop leaves on hair and skin
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.0)


def _shade_layers() -> tuple[Pixels, tuple[int, ...]]:
    """Change of the light by each Action Unit at intensity 5, over the relaxed face."""
    width, height = (round(s * _SHADE_SCALE) for s in _SHADE_SPAN)
    layers = {au: np.zeros((height, width), np.float32) for au in portrait.POSED_AUS}
    x = (np.arange(width) + 0.5) / _SHADE_SCALE - 0.5 + _SHADE_ORIGIN[0]
    y = (np.arange(height) + 0.5) / _SHADE_SCALE - 0.5 + _SHADE_ORIGIN[1]
    for au, where, line, half_width, depth in portrait.LINES:
        points = np.array(line, dtype=float)
        for side in (points, mirrored(points)) if where == "side" else (points,):
            layers[au] += depth * _fold(x, y, smooth(side, 10), half_width)
    for au, where, centre, (radius_x, radius_y), gain in portrait.BULGES:
        point = np.array([centre], dtype=float)
        for cx, cy in np.concatenate([point, mirrored(point)]) if where == "side" else point:
            spot = ((x - cx) / radius_x)[None] ** 2 + ((y - cy) / radius_y)[:, None] ** 2
            layers[au] += (gain * np.exp(-0.5 * spot)).astype(np.float32)
    for cx, cy in portrait.CHIN_DIMPLES:
        spot = ((x - cx) ** 2)[None] + ((y - cy) ** 2)[:, None]
        layers[17] -= (0.20 * np.exp(-0.5 * spot / 1.1**2)).astype(np.float32)
    aus = tuple(au for au in portrait.POSED_AUS if layers[au].any())
    return np.stack([layers[au].ravel() for au in aus]), aus


def _fold(x: Array, y: Array, curve: Array, half_width: float) -> Pixels:
    """A line of skin, -1 in its depth, fading towards its ends, with light on its rims."""
    taper = np.sin(np.pi * np.linspace(0.03, 0.97, len(curve))) ** 0.6
    reach = 4 * half_width + 1
    columns = np.flatnonzero((x > curve[:, 0].min() - reach) & (x < curve[:, 0].max() + reach))
    rows = np.flatnonzero((y > curve[:, 1].min() - reach) & (y < curve[:, 1].max() + reach))
    window = np.ix_(rows, columns)
    squared = (x[columns][None, :, None] - curve[:, 0]) ** 2 + (y[rows][:, None, None] - curve[:, 1]) ** 2
    dark = (taper * np.exp(-0.5 * squared / half_width**2)).max(-1)
    wide = (taper * np.exp(-0.5 * squared / (2.4 * half_width) ** 2)).max(-1)
    out = np.zeros((len(y), len(x)), np.float32)
    out[window] = -1.25 * dark + 0.35 * wide
    return out


def shaded(image: Pixels, maps: tuple[Float, Float], fold: float, intensities: Mapping[int, float]) -> Image:
    """A warped frame with the folds of some Action Units; `maps` are those it was warped by, `fold` their depth."""
    base = relaxed()
    # folds deepen late: half the intensity shows less than half the fold
    gains = np.array([(intensities.get(au, 0.0) / 5) ** 1.2 * fold for au in base.shade_aus], np.float32)
    if not gains.any():
        return image
    active = gains > 0
    width, height = (round(s * _SHADE_SCALE) for s in _SHADE_SPAN)
    shade: Pixels = (gains[active] @ base.shades[active]).reshape(height, width)
    ratio = _SHADE_SCALE / TEXTURE_SCALE
    offset = to_texture(_SHADE_ORIGIN[None])[0]
    x, y = (((m - o + 0.5) * ratio - 0.5).astype(np.float32) for m, o in zip(maps, offset, strict=True))
    shade = cv2.remap(shade, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    factor = np.clip(1 + shade, 0.3, 1.4)
    return np.clip(image * factor[..., None], 0, 255).astype(np.uint8)
