"""The story of a sequence as a strip: one panel per stage (methods TP-11, TP Figs. 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from fer_batch.visualize.colours import Label, Palette, label_text
from fer_batch.visualize.figure import INK, RULE, SMALL, SOFT_INK, TEXT, inch_axes, new_figure
from fer_batch.visualize.heatmap import faded, project_onto, projection_on, resize_face
from fer_batch.visualize.standard_face import line_face
from fer_batch.visualize.tags import tags

_CHIP_CHARACTERS = 20


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


@dataclass(frozen=True)
class _Grid:
    """Sizes of a strip in inches and points."""

    per_row: int
    side: float
    gap: float
    chip_height: float
    text: float
    pixels: int


_ROOMY = _Grid(per_row=6, side=1.55, gap=0.36, chip_height=0.185, text=SMALL, pixels=224)
_DENSE = _Grid(per_row=10, side=0.93, gap=0.18, chip_height=0.15, text=5.6, pixels=140)
_MARGIN = 0.12


def panel_image(panel: StagePanel, palette: Palette, side: int = 224, share: float = 25.0) -> NDArray[np.uint8]:
    """The face of a stage with the Top-`share` projection of each of its labels.

    Returns
    -------
    shape (side, side, 3), uint8
        A NONE stage is the face alone, paler.
    """
    face = line_face(side, side) if panel.face is None else resize_face(panel.face, side, side)
    if not panel.labels:
        return faded(face, 0.32)
    layers = [
        (relevance, palette.style(*label).rgb)
        for label, relevance in zip(panel.labels, panel.maps, strict=True)
        if relevance is not None
    ]
    return project_onto(face, layers, share=share)


def thumbnail_strip(
    panels: Sequence[StagePanel], palette: Palette | None = None, side: int = 56, limit: int = 8
) -> NDArray[np.uint8]:
    """The first `limit` panels side by side without text, for a table row.

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


def stage_strip(
    panels: Sequence[StagePanel],
    palette: Palette | None = None,
    *,
    share: float = 25.0,
    max_stages: int = 60,
) -> Figure:
    """One panel per stage in reading order, arrows between them.

    Parameters
    ----------
    panels
        In order of time.
    palette
        Colours that other figures of the same report use; by default those of these panels alone.
    share : percent
        Of the Top-X projection.
    max_stages
        Later stages are counted in a note instead of drawn.

    Returns
    -------
    Figure
        Its only axes hold one image per drawn stage, with gid `stage-<index>`.
    """
    palette = palette or palette_of(panels)
    shown = list(panels[:max_stages])
    grid = _ROOMY if len(shown) <= 3 * _ROOMY.per_row else _DENSE
    # As many rows as the widest grid needs, then evenly filled: 8 stages stand as 4 and 4, not as 6 and 2.
    n_rows = max(1, -(-len(shown) // grid.per_row))
    per_row = max(1, -(-len(shown) // n_rows))
    rows = [shown[at : at + per_row] for at in range(0, len(shown), per_row)]
    headers = [max(len(_chip_rows(panel, grid)) for panel in row) * grid.chip_height + 0.04 for row in rows]
    footer = 3 * grid.text / 72 * 1.35 + 0.12
    columns = max((len(row) for row in rows), default=1)
    width = 2 * _MARGIN + max(columns, 2) * (grid.side + grid.gap) - grid.gap
    note = 0.3 if len(panels) > len(shown) or not shown else 0.0
    figure = new_figure(width, 2 * _MARGIN + sum(headers) + len(rows) * (grid.side + footer) + note)
    axes = inch_axes(figure)
    top, number = _MARGIN, 0
    for row, header in zip(rows, headers, strict=True):
        for column, panel in enumerate(row):
            left = _MARGIN + column * (grid.side + grid.gap)
            _draw_panel(axes, panel, number, left, top + header, palette, grid, share)
            number += 1
            if number < len(shown):
                _arrow(axes, left + grid.side, top + header + grid.side / 2, grid)
        top += header + grid.side + footer
    if note:
        text = f"and {len(panels) - len(shown)} more stages" if shown else "no stage: no frame with a usable face"
        axes.text(_MARGIN, top + 0.15, text, fontsize=TEXT, color=SOFT_INK, va="center", style="italic")
    return figure


def palette_of(panels: Sequence[StagePanel]) -> Palette:
    """Colours for the targets that occur in these panels."""
    return Palette({target for panel in panels for target, _ in panel.labels})


def _draw_panel(
    axes: Axes, panel: StagePanel, number: int, left: float, top: float, palette: Palette, grid: _Grid, share: float
) -> None:
    side = grid.side
    image = panel_image(panel, palette, grid.pixels, share)
    # y grows downwards, so the lower edge of the picture has the larger coordinate.
    artist = axes.imshow(image, extent=(left, left + side, top + side, top), aspect="auto", interpolation="antialiased")
    artist.set_gid(f"stage-{number}")
    axes.plot(
        [left, left + side, left + side, left, left],
        [top, top, top + side, top + side, top],
        color=RULE if panel.labels else "#dfe3e7",
        linewidth=0.7,
    )
    _draw_chips(axes, panel, left, top, palette, grid)
    if grid is _ROOMY:
        _draw_tags(axes, panel, left, top, grid, share)
    place: dict[str, Any] = {"fontsize": grid.text, "ha": "center", "va": "top", "parse_math": False}
    line, middle = grid.text / 72 * 1.35, left + side / 2
    noun = "frame" if panel.first_frame == panel.last_frame else "frames"
    span = f"{panel.first_frame}" if noun == "frame" else f"{panel.first_frame}–{panel.last_frame}"
    compact = grid is _DENSE
    axes.text(middle, top + side + 0.05, span if compact else f"{noun} {span}", color=INK, weight="bold", **place)
    duration = f"{panel.n_frames}" + (" fr." if compact else " frame" if panel.n_frames == 1 else " frames")
    if panel.seconds is not None:
        duration += f" · {panel.seconds:.2f} s"
    axes.text(middle, top + side + 0.05 + line, duration, color=SOFT_INK, **place)
    if panel.n_missing_frames:
        missing = f"{panel.n_missing_frames} missing"
        axes.text(middle, top + side + 0.05 + 2 * line, missing, color="#9a3412", **place)
    if panel.labels and len(panel.unexplained) == len(panel.labels):
        note = "active,\nnot explained" if compact else "active, not explained"
        axes.text(
            middle,
            top + side - 0.04,
            note,
            fontsize=grid.text,
            color=INK,
            ha="center",
            va="bottom",
            style="italic",
            bbox={"boxstyle": "square,pad=0.12", "facecolor": "white", "alpha": 0.65, "linewidth": 0},
        )
    axes.text(
        left + 0.045,
        top + 0.035,
        str(number + 1),
        fontsize=grid.text,
        color=INK,
        ha="left",
        va="top",
        weight="bold",
        bbox={"boxstyle": "square,pad=0.12", "facecolor": "white", "alpha": 0.65, "linewidth": 0},
    )


def _draw_tags(axes: Axes, panel: StagePanel, left: float, top: float, grid: _Grid, share: float) -> None:
    """Short names on the projections of a panel that has several."""
    known = [(label, m) for label, m in zip(panel.labels, panel.maps, strict=True) if m is not None]
    if len(known) < 2:
        return
    shown = [projection_on(relevance, grid.pixels, grid.pixels, share, "all") for _, relevance in known]
    style: dict[str, Any] = {"fontsize": 5.6, "color": INK, "ha": "center", "va": "center", "weight": "bold"}
    for x, y, name in tags([label for label, _ in known], shown):
        text = axes.text(left + x * grid.side, top + y * grid.side, name, parse_math=False, **style)
        text.set_path_effects([withStroke(linewidth=1.4, foreground="white")])


def _draw_chips(axes: Axes, panel: StagePanel, left: float, top: float, palette: Palette, grid: _Grid) -> None:
    rows = _chip_rows(panel, grid)
    for index, row in enumerate(rows):
        y = top - 0.05 - (len(rows) - index - 0.5) * grid.chip_height
        for column, label in enumerate(row):
            x = left + grid.side * (column + 0.5) / len(row)
            if label is None:
                axes.text(x, y, "NONE", fontsize=grid.text, color=SOFT_INK, ha="center", va="center", style="italic")
                continue
            style = palette.style(*label)
            axes.text(
                x,
                y,
                _shortened(label_text(*label)),
                fontsize=grid.text,
                color=style.ink,
                ha="center",
                va="center",
                parse_math=False,
                bbox={
                    "boxstyle": "round,pad=0.22,rounding_size=0.35",
                    "facecolor": style.fill,
                    "edgecolor": style.edge,
                    "linewidth": 0.6,
                },
            )


def _chip_rows(panel: StagePanel, grid: _Grid) -> list[list[Label | None]]:
    """Labels in rows of one or two, as their widths allow."""
    if not panel.labels:
        return [[None]]
    # Roughly 0.62 em a character, and the padding of the box.
    room = grid.side / 2 - 0.12
    per_row = 2 if all(len(label_text(*label)) * 0.62 * grid.text / 72 <= room for label in panel.labels) else 1
    labels: list[Label | None] = list(panel.labels)
    return [labels[at : at + per_row] for at in range(0, len(labels), per_row)]


def _shortened(text: str) -> str:
    return text if len(text) <= _CHIP_CHARACTERS else text[: _CHIP_CHARACTERS - 1] + "…"


def _arrow(axes: Axes, x: float, y: float, grid: _Grid) -> None:
    inset = 0.22 * grid.gap
    axes.annotate(
        "",
        xy=(x + grid.gap - inset, y),
        xytext=(x + inset, y),
        arrowprops={
            "arrowstyle": "-|>",
            "color": SOFT_INK,
            "linewidth": 1.1,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 9 if grid is _ROOMY else 6,
        },
    )
