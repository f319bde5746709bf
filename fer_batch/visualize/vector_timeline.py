"""The timeline as SVG: the layout of `timeline`, small enough to draw one for every sequence of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fer_batch.visualize.colours import UNLETTERED, Palette, Style
from fer_batch.visualize.figure import INK, PALE, RULE, SOFT_INK
from fer_batch.visualize.hatches import TILES
from fer_batch.visualize.timeline_layout import Bar, Layout, Row, Timeline, layout, runs
from fer_batch.visualize.vector import drawing, element, words

WIDTH = 1100.0  # CSS pixels
MAX_COLUMNS = 2000  # of frames; a longer sequence is drawn in bins
_ROW, _CURVE, _TOP, _AXIS, _RIGHT = 30.0, 34.0, 22.0, 44.0, 26.0
_FONT, _SMALL = 13, 11


def timeline_svg(data: Timeline, palette: Palette, label: str) -> str:
    """Frames on x, one row per target that is ever active or annotated; below, their probabilities.

    A sequence of more than `MAX_COLUMNS` frames is drawn in bins, each with its commonest cluster.

    Parameters
    ----------
    data
        The sequence.
    palette
        Colours that other figures of the same report use.
    label
        Text that stands for the picture (`aria-label`).

    Returns
    -------
    str
        Bars have class `run`, bounds of stages `stage-boundary`, frames without a face `missing`.
    """
    data, per_column = _binned(data)
    plan = layout(data)
    curves = plan.rows if data.probability is not None else ()
    n, n_rows = plan.n_frames, max(len(plan.rows), 1)
    left = 16 + 7.6 * max((len(row.name) for row in plan.rows), default=5)
    if data.episodes:
        left = max(left, 64.0)  # room for the word above
    cell = (min(WIDTH, max(560.0, left + 26.0 * n)) - left - _RIGHT) / max(n, 1)
    width = left + cell * n + _RIGHT
    body = n_rows * _ROW
    axis = _TOP + body + (len(curves) * _CURVE + 26 if curves else 0)
    parts = [*_tiles(plan, palette)]
    for y in range(n_rows):
        fill = PALE if y % 2 == 0 else "#fff"
        parts.append(element("rect", x=left, y=_TOP + y * _ROW, width=cell * n, height=_ROW, fill=fill))
    for y, row in enumerate(plan.rows):
        parts += _row(row, palette, left, cell, _TOP + y * _ROW)
    parts += _missing(plan, left, cell, body)
    parts += _stages(plan, left, cell, body)
    if plan.empty:
        style = {"text_anchor": "middle", "font_size": _FONT, "fill": SOFT_INK, "font_style": "italic"}
        parts.append(words(plan.empty, left + cell * n / 2, _TOP + 20, **style))
    if curves:
        parts += _curves(data, plan, palette, left, cell, _TOP + body + 26)
    parts += _axis(data, plan, left, cell, axis, per_column)
    return drawing(width, axis + _AXIS, *parts, label=label, css="timeline")


def _row(row: Row, palette: Palette, left: float, cell: float, top: float) -> Iterator[str]:
    yield words(row.name, left - 8, top + 20, text_anchor="end", font_size=_FONT, fill=INK)
    for bar in row.bars:
        yield from _bar(bar, palette.style(row.target, bar.letter), left, cell, top)
    for start, length in row.annotated:
        place = {"x": left + start * cell, "y": top + _ROW - 4.5, "width": length * cell, "height": 3}
        yield element("rect", **place, fill=INK, class_="annotated")


def _bar(bar: Bar, style: Style, left: float, cell: float, top: float) -> Iterator[str]:
    x, width = left + bar.start * cell, bar.length * cell
    place = {"x": x, "y": top + 4, "width": width, "height": _ROW - 10, "rx": 2 if width > 8 else None}
    yield element("rect", **place, fill=style.fill, stroke=style.edge if width > 4 else None, class_="run")
    if style.hatch:
        yield element("rect", **place, fill=f"url(#hatch-{list(TILES).index(style.hatch)})")
    start, length = bar.widest
    if length * cell > 11 * max(len(bar.letter), 1):
        middle = left + (start + start + length) / 2 * cell
        text = {"text_anchor": "middle", "font_size": _FONT, "font_weight": 700, "fill": style.ink}
        yield words(bar.letter or UNLETTERED, middle, top + 19, **text)


def _tiles(plan: Layout, palette: Palette) -> Iterator[str]:
    used = {palette.style(row.target, bar.letter).hatch for row in plan.rows for bar in row.bars}
    tiles = [
        element(
            "pattern", element("path", d=path, stroke="#000", stroke_opacity=0.4, fill="none"),
            id=f"hatch-{number}", width=6, height=6, patternUnits="userSpaceOnUse",
        )
        for number, (hatch, path) in enumerate(TILES.items())
        if hatch in used
    ]  # fmt: skip
    if plan.missing:
        line = element("path", d="M0 6L6 0", stroke="#6e7781", fill="none")
        tiles.append(element("pattern", line, id="no-face", width=6, height=6, patternUnits="userSpaceOnUse"))
    if tiles:
        yield element("defs", *tiles)


def _missing(plan: Layout, left: float, cell: float, body: float) -> Iterator[str]:
    for start, length in plan.missing:
        place = {"x": left + start * cell, "y": _TOP, "width": length * cell, "height": body}
        yield element("rect", **place, fill="#fff")
        yield element("rect", **place, fill="url(#no-face)", class_="missing")


def _stages(plan: Layout, left: float, cell: float, body: float) -> Iterator[str]:
    if plan.stages:
        yield words(plan.numbered, left - 8, _TOP - 7, text_anchor="end", font_size=_SMALL, fill=SOFT_INK)
    for number, start, end in plan.stages:
        episode = plan.numbered == "episode"
        if episode:
            place = {"x": left + start * cell, "y": _TOP - 5, "width": max((end - start) * cell, 1.0), "height": 3}
            yield element("rect", **place, fill=INK, class_="episode")
        elif number > 1:
            x = left + start * cell
            yield element(
                "path", d=f"M{x:.1f} {_TOP}V{_TOP + body}", stroke=INK, stroke_opacity=0.6, stroke_dasharray="4 3",
                class_="stage-boundary",
            )  # fmt: skip
        if (end - start) * cell > 8 * len(str(number)) + 3:
            middle = left + (start + end) / 2 * cell
            yield words(str(number), middle, _TOP - 7, text_anchor="middle", font_size=_SMALL, fill=SOFT_INK)


def _curves(data: Timeline, plan: Layout, palette: Palette, left: float, cell: float, top: float) -> Iterator[str]:
    end = left + plan.n_frames * cell
    yield words(plan.curve_title, left, top - 6, font_size=_SMALL, fill=SOFT_INK)
    for y, row in enumerate(plan.rows):
        floor, height = top + (y + 1) * _CURVE - 4, _CURVE - 8
        style = palette.style(row.target, "A")
        yield words(row.name, left - 8, floor - 8, text_anchor="end", font_size=_SMALL, fill=SOFT_INK)
        yield element("path", d=f"M{left:.1f} {floor:.1f}H{end:.1f}", stroke=RULE)
        curve = plan.curve(data, row)
        for start, length, _ in runs([None if np.isnan(value) else "" for value in curve]):
            heights = np.round(floor - height * curve[start : start + length], 1).tolist()
            first, last = left + start * cell, left + (start + length) * cell
            steps = [
                f"H{left + (start + i) * cell:.1f}V{heights[i]}"
                for i in range(1, length)
                if heights[i] != heights[i - 1]
            ]
            line = f"M{first:.1f} {heights[0]}{''.join(steps)}H{last:.1f}"
            area = f"{line}V{floor:.1f}H{first:.1f}Z"
            yield element("path", d=area, fill=style.fill, fill_opacity=0.28)
            yield element("path", d=line, fill="none", stroke=style.edge, stroke_width=1.2)
        if data.threshold is not None:
            level = floor - height * data.threshold
            yield element(
                "path", d=f"M{left:.1f} {level:.1f}H{end:.1f}", stroke=SOFT_INK, stroke_width=0.7,
                stroke_dasharray="3 3",
            )  # fmt: skip


def _axis(data: Timeline, plan: Layout, left: float, cell: float, top: float, per_column: int) -> Iterator[str]:
    n = plan.n_frames
    step = max(1, int(np.ceil(52 / cell))) if n else 1
    # Steps that people count in.
    step = next((nice for nice in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000) if nice >= step), step)
    for at in range(0, n, step):
        x = left + (at + 0.5) * cell
        frame, time = plan.tick(data, at)
        yield element("path", d=f"M{x:.1f} {top}v4", stroke=SOFT_INK)
        yield words(frame, x, top + 16, text_anchor="middle", font_size=_SMALL, fill=INK)
        if time:
            yield words(time, x, top + 28, text_anchor="middle", font_size=_SMALL, fill=SOFT_INK)
    notes = dict(plan.notes)
    if per_column > 1:
        binned = f"each column stands for {per_column} frames: commonest cluster, highest probability"
        notes = {"sampled": binned} | {key: text for key, text in notes.items() if key != "sampled"}
    below = top + (30 if data.fps is None else 40)
    yield words("; ".join(["frame", *notes.values()]), left, below, font_size=_SMALL, fill=SOFT_INK)


def _binned(data: Timeline) -> tuple[Timeline, int]:
    """The timeline in at most `MAX_COLUMNS` columns, and how many frames one of them stands for."""
    n = len(data.frames)
    per_column = -(-n // MAX_COLUMNS)
    if per_column <= 1:
        return data, 1
    first = np.arange(0, n, per_column)
    probability = data.probability
    if probability is not None:
        probability = np.fmax.reduceat(probability, first, axis=1)
    return (
        replace(
            data,
            frames=data.frames[first],
            ok=np.logical_or.reduceat(data.ok, first),
            clusters=tuple(
                tuple(Counter(row[at : at + per_column]).most_common(1)[0][0] for at in first.tolist())
                for row in data.clusters
            ),
            probability=probability,
            annotated=None if data.annotated is None else np.logical_or.reduceat(data.annotated, first, axis=1),
        ),
        per_column,
    )
