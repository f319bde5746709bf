"""Comparison of explanations by eye: people by classes under one method, and images under every method.

Methods 14, PD 5.4 to 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fer_batch.visualize.heatmap import resize_face
from fer_batch.visualize.rendering import LEGENDS, Look, rendered, rendering, view_title, views
from fer_batch.visualize.tiles import Band, Tile, answer_title, tiles_figure

Layout = Literal["face_and_map", "map"]
_SIDE = 224  # pixels of a picture at most: more is not seen at the size of a tile
_BAND = 6  # methods beside each other


@dataclass(frozen=True)
class Explained:
    """One image under the methods that explain it.

    Attributes
    ----------
    face : shape (H, W) or (H, W, 3), uint8; or None
        The crop that was explained.
    maps : each (h, w), floating, of any grid
        By method, or variant of one (`lime (n_samples=10)`).
    truth, predicted
        Names of the annotated and of the predicted class; `truth` is empty where it is not known.
    correct
        Whether the prediction is right; None compares the names, which pain of two levels needs to have said.
    reason
        Why a map is missing, such as `no image of this class`.
    """

    face: NDArray[np.uint8] | None = None
    maps: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    truth: str = ""
    predicted: str = ""
    correct: bool | None = None
    reason: str = ""

    @property
    def wrong(self) -> bool:
        """Whether it is known to be misclassified."""
        if self.correct is not None:
            return not self.correct
        return bool(self.truth and self.predicted) and self.truth != self.predicted

    @property
    def title(self) -> str:
        """`true / predicted`."""
        return answer_title(self.truth, self.predicted, self.wrong)


def comparison_grid(
    cells: Sequence[Sequence[Explained]],
    rows: Sequence[str],
    columns: Sequence[str],
    method: str,
    look: Look | None = None,
    *,
    layout: Layout = "face_and_map",
) -> Figure:
    """People by classes under one method, each cell titled true / predicted.

    Parameters
    ----------
    cells
        One sequence per person, in the order of `columns`.
    rows, columns
        People, and classes such as `pain3, pain4, disgust, happiness`.
    method
        Whose maps are shown, or those of which variant of it.
    look
        Which of the pictures of `RENDERING`; by default the method's first.
    layout
        `face_and_map`: the face above its map; `map` alone.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a row has more or fewer cells than there are columns.
    """
    look = look or rendering(method).looks[0]
    tiles = [[_cell(cell, method, look, layout) for cell in row] for row in cells]
    return tiles_figure([Band(columns, rows, tiles)], view_title(method, look), _note([(method, look)], cells))


def methods_figure(
    images: Sequence[tuple[str, Explained]], methods: Sequence[str], title: str = "", *, per_band: int = _BAND
) -> Figure:
    """Images, one row each, under every method: misclassified pairs of one person, or stills of other data sets.

    Parameters
    ----------
    images
        (name of the row, image); at least one.
    methods
        In any order, or variants of some; drawn in that of `RENDERING`, LIME twice.
    title
        Above all.
    per_band
        Pictures beside the face; more go below, where the face stands again.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no image or no method.
    """
    shown = views(methods)
    if not images or not shown:
        raise ValueError(f"expected at least one image and one method, got {len(images)} and {len(shown)}")
    wide = -(-len(shown) // -(-len(shown) // per_band))  # the bands are about as wide as each other
    bands = []
    for start in range(0, len(shown), wide):
        part = shown[start : start + wide]
        columns = ["true / predicted", *(view_title(method, look) for method, look in part)]
        tiles = [[_face(image), *(_map(image, method, look) for method, look in part)] for _, image in images]
        bands.append(Band(columns, [name for name, _ in images], tiles))
    return tiles_figure(bands, title, _note(shown, [[image for _, image in images]]))


def _cell(cell: Explained, method: str, look: Look, layout: Layout) -> Tile:
    if cell.face is None or method not in cell.maps:
        title = cell.title if cell.truth or cell.predicted else ""
        return Tile((), title, cell.wrong, cell.reason or "no map of this image")
    picture = _small(rendered(cell.face, cell.maps[method], look))
    images = (_small(cell.face), picture) if layout == "face_and_map" else (picture,)
    return Tile(images, cell.title, cell.wrong)


def _face(image: Explained) -> Tile:
    if image.face is None:
        return Tile((), image.title, image.wrong, image.reason or "no image")
    return Tile((_small(image.face),), image.title, image.wrong)


def _map(image: Explained, method: str, look: Look) -> Tile:
    if image.face is None or method not in image.maps:
        return Tile((), reason=image.reason or "no map of this method")
    return Tile((_small(rendered(image.face, image.maps[method], look)),))


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return resize_face(image, *(min(n, _SIDE) for n in image.shape[:2]))


def _note(shown: Sequence[tuple[str, Look]], cells: Sequence[Sequence[Explained]]) -> str:
    names: dict[Look, list[str]] = {}
    for method, look in shown:
        names.setdefault(look, []).append(view_title(method, look))
    parts = [LEGENDS[look] if len(names) == 1 else f"{', '.join(who)}: {LEGENDS[look]}" for look, who in names.items()]
    if any(cell.wrong for row in cells for cell in row):
        parts.append("✗ and a broken frame: misclassified")
    return " ".join(f"{part[:1].upper()}{part[1:]}." for part in parts)
