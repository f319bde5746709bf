"""PNG files of pages show what figures show."""

import io

import numpy as np
from PIL import Image

from fer_batch.types import MapStyle
from fer_batch.visualize.heatmap import bwr, coloured, faded, project_onto, projection_on
from fer_batch.visualize.raster import SIDE, map_png, projection_png


def blob(y: int, x: int, side: int = 64) -> np.ndarray:
    maps = np.zeros((side, side), np.float32)
    maps[y : y + 6, x : x + 6] = np.arange(1, 37).reshape(6, 6)
    return maps


def test_a_map_as_png_has_the_colours_of_bwr():
    relevance = blob(4, 8) - 2 * blob(40, 30)
    shown = np.asarray(Image.open(io.BytesIO(map_png(relevance))).convert("RGB"), int)
    assert np.abs(shown - bwr(relevance)).max() <= 4
    for style in (MapStyle("two_sided"), MapStyle(colours="jet")):
        shown = np.asarray(Image.open(io.BytesIO(map_png(relevance, style))).convert("RGB"), int)
        assert np.abs(shown - coloured(relevance, style)).max() <= 9
        assert np.abs(shown - bwr(relevance)).max() > 9
    large = Image.open(io.BytesIO(map_png(np.ones((400, 300), np.float32))))
    assert large.size == (SIDE, SIDE)
    undefined = np.asarray(Image.open(io.BytesIO(map_png(np.full((8, 8), np.nan)))).convert("RGB"))
    assert (undefined == 204).all()


def test_projections_over_a_pale_face_are_what_project_onto_draws():
    face = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    layers = [(blob(4, 8), (0.0, 0.45, 0.7)), (blob(6, 11), (0.9, 0.6, 0.0))]
    shown = [(projection_on(relevance, 64, 64, 25.0, "all"), rgb) for relevance, rgb in layers]
    top = np.asarray(Image.open(io.BytesIO(projection_png(shown))).convert("RGBA"), float)
    alpha = top[..., 3:] / 255
    composed = faded(face) * (1 - alpha) + top[..., :3] * alpha
    assert np.abs(composed - project_onto(face, layers)).mean() < 1.5
    inside = sum(one for one, _ in shown) > 0
    assert np.abs(composed - project_onto(face, layers))[inside].max() < 26
