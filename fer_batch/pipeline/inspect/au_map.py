"""The map of Action Units of one face, as a picture."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_batch import facs
from fer_batch.regions import expression_maps, has_map
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.points import to_68
from fer_batch.sources.sidecar import read_landmarks
from fer_batch.types import InputError
from fer_batch.visualize.heatmap import jet
from fer_batch.visualize.standard_face import line_face


@dataclass(frozen=True)
class AuMap:
    """Which map is drawn.

    Attributes
    ----------
    landmarks
        File of 68 points in pixels: `.npy`, iBUG `.pts`, a `landmarks.csv` (its first whole row), or a line a point.
    expression, codebook, disgust_release
        As in `facs.expression_units`.
    size
        Side of the image the points are in, pixels.
    """

    landmarks: str
    expression: str
    codebook: str = "martinez"
    disgust_release: bool = False
    size: int = 224


def read_points(uri: str) -> NDArray[np.float32]:
    """Landmarks of one face from a file of any usual form.

    Parameters
    ----------
    uri
        As `AuMap.landmarks`.

    Returns
    -------
    shape (68, 2), float32, pixels (x, y)

    Raises
    ------
    InputError
        If it does not hold 68 points, or the 66 of an active appearance model.
    """
    data = read_bytes(uri)
    try:
        points = to_68(np.load(io.BytesIO(data)) if uri.endswith(".npy") else _from_text(data, uri))
    except ValueError as error:
        raise InputError(f"{uri}: {error}") from error
    if not np.isfinite(points).all():
        raise InputError(f"{uri}: expected 68 landmarks, {np.isnan(points).any(axis=1).sum()} of them are not given")
    return points


def _from_text(data: bytes, uri: str) -> NDArray[np.float32]:
    text = data.decode("utf-8", errors="replace")
    first = text.partition("\n")[0].replace(" ", "").split(",")
    if {"frame_index", "x0", "y67"} <= set(first):
        whole = read_landmarks(data, uri).by_frame()
        return next(iter(whole.values()), np.zeros((0, 2), np.float32))
    body = text.partition("{")[2].partition("}")[0] or text
    rows = [re.split(r"[,;\s]+", line.strip()) for line in body.splitlines() if re.match(r"\s*[-+.\d]", line)]
    wide = next((row for row in rows if len(row) != 2), None)
    if wide is not None:
        raise ValueError(f"expected a line with x and y for each point, got {' '.join(wide)[:60]!r}")
    return np.array(rows, np.float32).reshape(-1, 2)


def au_map_picture(which: AuMap) -> tuple[Image.Image, str]:
    """A map over the drawing of its face, and what it is in a sentence.

    Raises
    ------
    InputError
        If the file, the expression or the codebook is not understood, or there is no map.
    """
    points, size = read_points(which.landmarks), which.size
    try:
        units = facs.expression_units(which.expression, which.codebook, which.disgust_release)
    except ValueError as error:
        raise InputError(str(error)) from error
    names = " ".join(facs.au_name(unit) for unit in units)
    book = which.codebook + (", disgust as released" if which.disgust_release else "")
    options = (which.codebook, which.disgust_release)
    found = expression_maps(points[None], [which.expression], (size, size), *options)
    if not has_map(found)[0]:
        why = f"nothing of it is inside {size}x{size} pixels" if units else "the expression has no Action Units"
        raise InputError(f"{which.landmarks}: no map of {which.expression}: {why}")
    face = line_face(size, size, points)
    picture = Image.fromarray(np.round(0.45 * face + 0.55 * jet(found[0])).astype(np.uint8))
    return picture, f"{which.expression} ({book}): {names}; {size}x{size}, mean {found.mean():.3f}"
