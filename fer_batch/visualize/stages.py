"""The temporal prototype of a sequence as a strip: one panel per stage (methods TP-11, TP Figs. 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from fer_batch.visualize.chips import chip
from fer_batch.visualize.colours import Label, Palette, label_text
from fer_batch.visualize.figure import INK, RULE, SMALL, SOFT_INK, TEXT, inch_axes, new_figure
from fer_batch.visualize.hatches import texture
from fer_batch.visualize.heatmap import faded, project_onto, projection_on, resize_face
from fer_batch.visualize.standard_face import line_face
from fer_batch.visualize.tags import tags

_CHIP_CHARACTERS = 20
_NOTHING = "no stage: no frame with a usable face"


@dataclass(frozen=True)
class StagePanel:
    """What one panel shows.

    Attributes
    ----------
    labels
        `(("AU01", "A"), ("AU02", ""))`; none for a NONE stage, an empty letter for a target without a defined map.
    maps : each of shape (h, w)
        Prototype map of each label, in their order; None where there is none.
    first_frame, last_frame
        Inclusive.
    n_frames, n_missing_frames
        Ok frames, and frames in between and up to the next stage that are not ok.
    face : uint8, shape (H, W) or (H, W, 3)
        Crop the maps belong to; None draws the standard face.
    seconds
        Duration, where the frame rate is known.
    """

    labels: tuple[Label, ...]
    maps: tuple[NDArray[np.floating] | None, ...]
    first_frame: int
    last_frame: int
    n_frames: int
    n_missing_frames: int = 0
    face: NDArray[np.uint8] | None = None
    seconds: float | None = None

    @property
    def unexplained(self) -> tuple[Label, ...]:
        """Labels without a letter and a map: of targets that are active and were not explained."""
        pairs = zip(self.labels, self.maps, strict=True)
        return tuple(label for label, found in pairs if not label[1] and found is None)

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.maps):
            raise ValueError(f"every label needs a map or None: {len(self.labels)} labels, {len(self.maps)} maps")


_SIDE, _GAP, _MARGIN = 1.55, 0.36, 0.12  # inches: of a panel, between two, around all
_CHIP_HEIGHT, _HEADING = 0.185, 0.24
_PER_ROW, _MAX_HEIGHT = 6, 8.1  # panels, and inches of a page: A4 across
_LINE = SMALL / 72 * 1.35
_FOOTER = 3 * _LINE + 0.12
_PIXELS = 224
_TAG = 6.0  # points
_CORNER = (0.13, 0.09)  # of a panel, for its number


def panel_image(panel: StagePanel, palette: Palette, side: int = 224) -> NDArray[np.uint8]:
    """The face of a stage with the Top-X projection of each of its labels.

    Parameters
    ----------
    panel
        One stage.
    palette
        Colours, and the share of the projection.
    side : pixels

    Parameters
    ----------
    panel
        The stage.
    palette
        Colours of the labels.
    side : pixels
        Of the square picture.
    share : percent
        Of the positive relevance of each map that is shown.

    Returns
    -------
    shape (side, side, 3), uint8
        A NONE stage is the face alone, paler.
    """
    face = line_face(side, side) if panel.face is None else resize_face(panel.face, side, side)
    if not panel.labels:
        return faded(face, 0.32)
    layers = [
        (relevance, texture(palette.style(*label), side, side))
        for label, relevance in zip(panel.labels, panel.maps, strict=True)
        if relevance is not None
    ]
    return project_onto(face, layers, share=palette.maps.top_x)


def thumbnail_strip(
    panels: Sequence[StagePanel], palette: Palette | None = None, side: int = 56, limit: int = 8
) -> NDArray[np.uint8]:
    """The first `limit` panels side by side without text, for a table row.

    Parameters
    ----------
    panels
        In order of time.
    palette
        Colours that other figures of the same report use; by default those of these panels alone.
    side : pixels
        Of each square panel.
    limit
        Panels at most.

    Returns
    -------
    shape (side, k * (side + 4) - 4, 3), uint8
        Three grey dots at the end where stages were left out; a white square for no stage at all.
    """
    palette = palette or palette_of(panels)
    gap = np.full((side, 4, 3), 255, dtype=np.uint8)
    pieces: list[NDArray[np.uint8]] = []
    for panel in panels[:limit]:
        picture = panel_image(panel, palette, side)
        # A frame, without which the line face of a rest would float on the page.
        picture[[0, -1]] = picture[:, [0, -1]] = 215
        pieces += [picture, gap]
    if len(panels) > limit:
        dots = np.full((side, 20, 3), 255, dtype=np.uint8)
        for x in (3, 9, 15):
            dots[side // 2 - 1 : side // 2 + 2, x : x + 3] = 110
        pieces += [dots, gap]
    return np.hstack(pieces[:-1]) if pieces else np.full((side, side, 3), 255, dtype=np.uint8)


def stage_strips(panels: Sequence[StagePanel], palette: Palette | None = None) -> list[Figure]:
    """One panel per stage in reading order, arrows between them, on as many pages as keep every name readable.

    Parameters
    ----------
    panels
        In order of time.
    palette
        Colours that other figures of the same report use, and the share of Top-X projections; by default those of
        these panels alone.

    Returns
    -------
    list of Figure
        Pages that fit on A4 across. The only axes of each hold one image per stage, with gid `stage-<index>`.
    """
    palette = palette or palette_of(panels)
    # As many rows as the widest grid needs, then evenly filled: 8 stages stand as 4 and 4, not as 6 and 2.
    n_rows = max(1, -(-len(panels) // _PER_ROW))
    per_row = max(1, -(-len(panels) // n_rows))
    rows = [range(at, min(at + per_row, len(panels))) for at in range(0, len(panels), per_row)]
    pages: list[list[range]] = [[]]
    room = _MAX_HEIGHT
    for row in rows:
        height = _row_height([panels[i] for i in row])
        if pages[-1] and height > room:
            pages.append([])
            room = _MAX_HEIGHT
        pages[-1].append(row)
        room -= height
    return [_page(panels, page, per_row, palette) for page in pages]


def _header(row: Sequence[StagePanel]) -> float:
    return max(len(_chip_rows(panel)) for panel in row) * _CHIP_HEIGHT + 0.04


def _row_height(row: Sequence[StagePanel]) -> float:
    return _header(row) + _SIDE + _FOOTER


def _page(panels: Sequence[StagePanel], rows: Sequence[range], columns: int, palette: Palette) -> Figure:
    shown = sum(len(row) for row in rows)
    heading = _HEADING if shown < len(panels) or not shown else 0.0
    width = 2 * _MARGIN + max(columns, 2) * (_SIDE + _GAP) - _GAP
    height = 2 * _MARGIN + heading + sum(_row_height([panels[i] for i in row]) for row in rows)
    figure = new_figure(width, height)
    axes = inch_axes(figure)
    top = _MARGIN + heading
    if heading:
        title = f"stages {rows[0][0] + 1} to {rows[-1][-1] + 1} of {len(panels)}" if shown else _NOTHING
        axes.text(_MARGIN, _MARGIN, title, fontsize=TEXT, color=SOFT_INK, va="top", style="italic")
    for row in rows:
        header = _header([panels[i] for i in row])
        for column, number in enumerate(row):
            left = _MARGIN + column * (_SIDE + _GAP)
            _draw_panel(axes, panels[number], number, left, top + header, palette)
            if number != row[-1]:
                _arrow(axes, left + _SIDE, top + header + _SIDE / 2)
        top += header + _SIDE + _FOOTER
    return figure


def palette_of(panels: Sequence[StagePanel]) -> Palette:
    """Colours for the targets that occur in these panels."""
    return Palette({target for panel in panels for target, _ in panel.labels})


def _draw_panel(axes: Axes, panel: StagePanel, number: int, left: float, top: float, palette: Palette) -> None:
    image = panel_image(panel, palette, _PIXELS)
    right, bottom = left + _SIDE, top + _SIDE
    # y grows downwards, so the lower edge of the picture has the larger coordinate.
    artist = axes.imshow(image, extent=(left, right, bottom, top), aspect="auto", interpolation="antialiased")
    artist.set_gid(f"stage-{number}")
    colour = RULE if panel.labels else "#dfe3e7"
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=colour, linewidth=0.7)
    _draw_chips(axes, panel, left, top, palette)
    _draw_tags(axes, panel, left, top, palette.maps.top_x)
    place: dict[str, Any] = {"fontsize": SMALL, "ha": "center", "va": "top", "parse_math": False}
    middle = left + _SIDE / 2
    one = panel.first_frame == panel.last_frame
    span = f"frame {panel.first_frame}" if one else f"frames {panel.first_frame}–{panel.last_frame}"
    axes.text(middle, bottom + 0.05, span, color=INK, weight="bold", **place)
    duration = f"{panel.n_frames} frame" + ("" if panel.n_frames == 1 else "s")
    if panel.seconds is not None:
        duration += f" · {panel.seconds:.2f} s"
    axes.text(middle, bottom + 0.05 + _LINE, duration, color=SOFT_INK, **place)
    if panel.n_missing_frames:
        axes.text(middle, bottom + 0.05 + 2 * _LINE, f"{panel.n_missing_frames} missing", color="#9a3412", **place)
    box = {"boxstyle": "square,pad=0.12", "facecolor": "white", "alpha": 0.65, "linewidth": 0}
    if panel.labels and len(panel.unexplained) == len(panel.labels):
        note: dict[str, Any] = place | {"va": "bottom", "style": "italic", "bbox": box}
        axes.text(middle, bottom - 0.04, "active, not explained", color=INK, **note)
    corner: dict[str, Any] = place | {"ha": "left", "weight": "bold", "bbox": box}
    axes.text(left + 0.045, top + 0.035, str(number + 1), color=INK, **corner)


def _draw_tags(axes: Axes, panel: StagePanel, left: float, top: float, share: float) -> None:
    """Short names on the projections of a panel that has several."""
    known = [(label, m) for label, m in zip(panel.labels, panel.maps, strict=True) if m is not None]
    if len(known) < 2:
        return
    shown = [projection_on(relevance, _PIXELS, _PIXELS, share, "all") for _, relevance in known]
    style: dict[str, Any] = {"fontsize": _TAG, "color": INK, "ha": "center", "va": "center", "weight": "bold"}
    for x, y, name in tags([label for label, _ in known], shown, _TAG / 72 / _SIDE, _CORNER):
        text = axes.text(left + x * _SIDE, top + y * _SIDE, name, parse_math=False, **style)
        text.set_path_effects([withStroke(linewidth=1.6, foreground="white")])


def _draw_chips(axes: Axes, panel: StagePanel, left: float, top: float, palette: Palette) -> None:
    rows = _chip_rows(panel)
    for index, row in enumerate(rows):
        y = top - 0.05 - (len(rows) - index - 0.5) * _CHIP_HEIGHT
        for column, label in enumerate(row):
            x = left + _SIDE * (column + 0.5) / len(row)
            if label is None:
                axes.text(x, y, "NONE", fontsize=SMALL, color=SOFT_INK, ha="center", va="center", style="italic")
            else:
                chip(axes, x, y, _shortened(label_text(*label)), palette.style(*label), SMALL)


def _chip_rows(panel: StagePanel) -> list[list[Label | None]]:
    """Labels in rows of one or two, as their widths allow."""
    if not panel.labels:
        return [[None]]
    # Roughly 0.62 em a character, and the padding of the box.
    room = _SIDE / 2 - 0.12
    per_row = 2 if all(len(label_text(*label)) * 0.62 * SMALL / 72 <= room for label in panel.labels) else 1
    labels: list[Label | None] = list(panel.labels)
    return [labels[at : at + per_row] for at in range(0, len(labels), per_row)]


def _shortened(text: str) -> str:
    return text if len(text) <= _CHIP_CHARACTERS else text[: _CHIP_CHARACTERS - 1] + "…"


def _arrow(axes: Axes, x: float, y: float) -> None:
    inset = 0.22 * _GAP
    axes.annotate(
        "",
        xy=(x + _GAP - inset, y),
        xytext=(x + inset, y),
        arrowprops={
            "arrowstyle": "-|>", "color": SOFT_INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9,
        },
    )  # fmt: skip
