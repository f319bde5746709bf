"""The timeline as SVG: the same grammar as `timeline`, light enough to draw one for every sequence of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fer_batch.visualize.colours import UNLETTERED, Palette, Style
from fer_batch.visualize.figure import INK, PALE, RULE, SOFT_INK
from fer_batch.visualize.hatches import TILES
from fer_batch.visualize.timeline import Timeline, rows_shown, runs
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
    label
        Words that stand for the picture.

    Returns
    -------
    str
        Bars have class `run`, bounds of stages `stage-boundary`, frames without a face `missing`.
    """
    data, per_column = _binned(data)
    shown = rows_shown(data)
    curves = shown if data.probability is not None else []
    n = len(data.frames)
    names = [_shortened(data.targets[i]) for i in shown]
    left = 16 + 7.6 * max((len(name) for name in names), default=5)
    cell = (min(WIDTH, max(560.0, left + 26.0 * n)) - left - _RIGHT) / max(n, 1)
    width = left + cell * n + _RIGHT
    body = max(len(shown), 1) * _ROW
    below = len(curves) * _CURVE + (26 if curves else 0)
    axis = _TOP + body + below
    parts = [*_tiles(data, shown, palette)]
    for y in range(max(len(shown), 1)):
        parts.append(
            element("rect", x=left, y=_TOP + y * _ROW, width=cell * n, height=_ROW, fill=PALE if y % 2 == 0 else "#fff")
        )
    starts = np.searchsorted(data.frames, np.asarray(data.stage_starts, dtype=np.int64))
    for y, index in enumerate(shown):
        top = _TOP + y * _ROW
        parts.append(words(names[y], left - 8, top + 20, text_anchor="end", font_size=_FONT, fill=INK))
        for start, length, letter in runs(data.clusters[index]):
            parts += _bar(palette.style(data.targets[index], letter), left, cell, top, start, length, letter, starts)
        if data.annotated is not None:
            for start, length, _ in runs(["" if on else None for on in data.annotated[index]]):
                parts.append(
                    element(
                        "rect",
                        x=left + start * cell,
                        y=top + _ROW - 4.5,
                        width=length * cell,
                        height=3,
                        fill=INK,
                        class_="annotated",
                    )
                )
    parts += _missing(data, left, cell, body)
    parts += _stages(starts, n, left, cell, body)
    if not shown:
        empty = "no target is ever active" if data.ok.any() else "no face was found in any frame"
        parts.append(
            words(
                empty,
                left + cell * n / 2,
                _TOP + 20,
                text_anchor="middle",
                font_size=_FONT,
                fill=SOFT_INK,
                font_style="italic",
            )
        )
    if curves:
        parts += _curves(data, curves, names, palette, left, cell, _TOP + body + 26)
    parts += _axis(data, left, cell, axis, per_column)
    return drawing(width, axis + _AXIS, *parts, label=label, css="timeline")


def _bar(
    style: Style, left: float, cell: float, top: float, start: int, length: int, letter: str, starts: NDArray[np.int64]
) -> Iterator[str]:
    x, width = left + start * cell, length * cell
    place = {"x": x, "y": top + 4, "width": width, "height": _ROW - 10, "rx": 2 if width > 8 else None}
    yield element("rect", **place, fill=style.fill, stroke=style.edge if width > 4 else None, class_="run")
    if style.hatch:
        yield element("rect", **place, fill=f"url(#hatch-{list(TILES).index(style.hatch)})")
    cuts = np.concatenate([[start], starts[(starts > start) & (starts < start + length)], [start + length]])
    widest = int(np.argmax(np.diff(cuts)))  # where no boundary crosses the letter
    if (cuts[widest + 1] - cuts[widest]) * cell > 11 * max(len(letter), 1):
        middle = left + (cuts[widest] + cuts[widest + 1]) / 2 * cell
        yield words(
            letter or UNLETTERED,
            middle,
            top + 19,
            text_anchor="middle",
            font_size=_FONT,
            font_weight=700,
            fill=style.ink,
        )


def _tiles(data: Timeline, shown: Sequence[int], palette: Palette) -> Iterator[str]:
    used = {palette.style(data.targets[i], letter).hatch for i in shown for _, _, letter in runs(data.clusters[i])}
    tiles = [
        element(
            "pattern", element("path", d=path, stroke="#000", stroke_opacity=0.4, fill="none"),
            id=f"hatch-{number}", width=6, height=6, patternUnits="userSpaceOnUse",
        )
        for number, (hatch, path) in enumerate(TILES.items())
        if hatch in used
    ]  # fmt: skip
    if not data.ok.all():
        line = element("path", d="M0 6L6 0", stroke="#6e7781", fill="none")
        tiles.append(element("pattern", line, id="no-face", width=6, height=6, patternUnits="userSpaceOnUse"))
    if tiles:
        yield element("defs", *tiles)


def _missing(data: Timeline, left: float, cell: float, body: float) -> Iterator[str]:
    for start, length, _ in runs(["" if not ok else None for ok in data.ok]):
        place = {"x": left + start * cell, "y": _TOP, "width": length * cell, "height": body}
        yield element("rect", **place, fill="#fff")
        yield element("rect", **place, fill="url(#no-face)", class_="missing")


def _stages(starts: NDArray[np.int64], n: int, left: float, cell: float, body: float) -> Iterator[str]:
    ends = np.append(starts, n)[1:]
    if len(starts):
        yield words("stage", left - 8, _TOP - 7, text_anchor="end", font_size=_SMALL, fill=SOFT_INK)
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True), 1):
        if number > 1:
            x = left + start * cell
            yield element(
                "path", d=f"M{x:.1f} {_TOP}V{_TOP + body}", stroke=INK, stroke_opacity=0.6, stroke_dasharray="4 3",
                class_="stage-boundary",
            )  # fmt: skip
        if (end - start) * cell > 8 * len(str(number)) + 3:
            middle = left + (start + end) / 2 * cell
            yield words(str(number), middle, _TOP - 7, text_anchor="middle", font_size=_SMALL, fill=SOFT_INK)


def _curves(
    data: Timeline, rows: Sequence[int], names: Sequence[str], palette: Palette, left: float, cell: float, top: float
) -> Iterator[str]:
    assert data.probability is not None
    n = len(data.frames)
    dashed = "" if data.threshold is None else f", dashed: threshold {data.threshold:g}"
    yield words(f"probability, 0 to 1{dashed}", left, top - 6, font_size=_SMALL, fill=SOFT_INK)
    for y, index in enumerate(rows):
        floor, height = top + (y + 1) * _CURVE - 4, _CURVE - 8
        style = palette.style(data.targets[index], "A")
        yield words(names[y], left - 8, floor - 8, text_anchor="end", font_size=_SMALL, fill=SOFT_INK)
        yield element("path", d=f"M{left:.1f} {floor:.1f}H{left + n * cell:.1f}", stroke=RULE)
        p = np.where(data.ok, data.probability[index], np.nan)
        for start, length, _ in runs([None if np.isnan(v) else "" for v in p]):
            heights = np.round(floor - height * np.clip(p[start : start + length], 0, 1), 1).tolist()
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
                "path", d=f"M{left:.1f} {level:.1f}H{left + n * cell:.1f}", stroke=SOFT_INK, stroke_width=0.7,
                stroke_dasharray="3 3",
            )  # fmt: skip


def _axis(data: Timeline, left: float, cell: float, top: float, per_column: int) -> Iterator[str]:
    n, frames = len(data.frames), data.frames
    step = max(1, int(np.ceil(52 / cell))) if n else 1
    # Steps that people count in.
    step = next((nice for nice in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000) if nice >= step), step)
    timed = data.fps is not None
    decimals = 2 if timed and n and (frames[-1] - frames[0]) / (data.fps or 1) < 12 else 0
    for at in range(0, n, step):
        x = left + (at + 0.5) * cell
        yield element("path", d=f"M{x:.1f} {top}v4", stroke=SOFT_INK)
        yield words(str(frames[at]), x, top + 16, text_anchor="middle", font_size=_SMALL, fill=INK)
        if data.fps is not None:
            time = f"{frames[at] / data.fps:.{decimals}f} s"
            yield words(time, x, top + 28, text_anchor="middle", font_size=_SMALL, fill=SOFT_INK)
    steps = np.unique(np.diff(frames))
    notes = ["frame"]
    if per_column > 1:
        notes.append(f"each column stands for {per_column} frames: commonest cluster, highest probability")
    elif len(steps) == 1 and steps[0] > 1:
        notes.append(f"every {steps[0]}th frame was analysed")
    if data.annotated is not None:
        notes.append("black line: annotated")
    if not data.ok.all():
        notes.append("hatched: no usable face")
    yield words("; ".join(notes), left, top + (40 if timed else 30), font_size=_SMALL, fill=SOFT_INK)


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


def _shortened(text: str) -> str:
    return text if len(text) <= 18 else text[:17] + "…"
